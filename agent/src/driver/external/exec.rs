//! A further command in a plugin's task.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use tarpan_rpc::plugin::driver_client::DriverClient;
use tarpan_rpc::plugin::exec_input::Input;
use tarpan_rpc::plugin::exec_output::Output;
use tarpan_rpc::plugin::{ExecBegin, ExecInput as Said, Size};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::driver::{DriverError, ExecInput, ExecOutput, ExecRequest, Execution};
use crate::plugin::said;

/// Pieces that wait on either side: what is not taken holds up whoever sends it.
const QUEUE: usize = 16;

struct External {
    output: mpsc::Receiver<ExecOutput>,
    input: mpsc::Sender<ExecInput>,
}

impl Execution for External {
    fn output(&mut self) -> BoxFuture<'_, Option<ExecOutput>> {
        Box::pin(self.output.recv())
    }

    fn input(&self) -> mpsc::Sender<ExecInput> {
        self.input.clone()
    }
}

/// Begins it. When the execution is dropped, the call is given up, and the plugin ends the command.
pub(super) async fn begin(
    mut client: DriverClient<Channel>,
    id: &str,
    request: ExecRequest,
) -> Result<Box<dyn Execution>, DriverError> {
    let (input, inputs) = mpsc::channel(QUEUE);
    let (output, outputs) = mpsc::channel(QUEUE);
    let first = ExecBegin { id: id.to_owned(), command: request.command, tty: request.tty };
    let first = Said { input: Some(Input::Begin(first)) };
    let further = ReceiverStream::new(inputs).map(|input| Said { input: Some(message(input)) });
    let stream = futures::stream::once(std::future::ready(first)).chain(further);
    // A plugin may begin to answer with the command's first word, which may never come: the call itself is not waited for.
    tokio::spawn(async move {
        let carried = async {
            match client.exec(stream).await {
                Ok(answers) => carry(answers.into_inner(), &output).await,
                Err(status) => end(&output, &status).await,
            }
        };
        tokio::select! {
            () = carried => {}
            () = output.closed() => {}
        }
    });
    Ok(Box::new(External { output: outputs, input }))
}

async fn carry(mut answers: tonic::Streaming<tarpan_rpc::plugin::ExecOutput>, output: &mpsc::Sender<ExecOutput>) {
    loop {
        let piece = match answers.message().await {
            Ok(Some(answer)) => match answer.output {
                Some(Output::Stdout(bytes)) => ExecOutput::Stdout(bytes),
                Some(Output::Stderr(bytes)) => ExecOutput::Stderr(bytes),
                Some(Output::ExitCode(code)) => {
                    let _ = output.send(ExecOutput::Exited(code)).await;
                    return;
                }
                None => continue,
            },
            Ok(None) => return drop(output.send(ExecOutput::Exited(-1)).await),
            Err(status) => return end(output, &status).await,
        };
        if output.send(piece).await.is_err() {
            return;
        }
    }
}

/// Says why there is no command, as a command would.
async fn end(output: &mpsc::Sender<ExecOutput>, status: &tonic::Status) {
    let why = match status.code() {
        Code::Unimplemented => "exec is not supported by this task driver".to_owned(),
        _ => format!("the task driver: {}", said("Exec", status)),
    };
    let _ = output.send(ExecOutput::Stderr(Bytes::from(format!("{why}\n")))).await;
    let _ = output.send(ExecOutput::Exited(1)).await;
}

fn message(input: ExecInput) -> Input {
    match input {
        ExecInput::Stdin(bytes) => Input::Stdin(bytes),
        ExecInput::CloseStdin => Input::CloseStdin(true),
        ExecInput::Resize { height, width } => {
            Input::Resize(Size { height: u32::from(height), width: u32::from(width) })
        }
    }
}
