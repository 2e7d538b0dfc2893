//! `alloc exec`: runs a further command in a running task, with this terminal as its own.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt as _, StreamExt as _};
use nix::sys::termios::{self, SetArg, Termios};
use serde_json::{Value, json};
use tarpan_api::client::Raw;
use tarpan_api::{Call, calls};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::{of_job, query_of, task_of};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::lookup;

/// A quiet connection is kept open by an empty frame this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Exec {
    #[command(flatten)]
    client: ClientFlags,
    /// The task; needed when there are several.
    #[arg(long, value_name = "task")]
    task: Option<String>,
    /// The argument is a job: take one of its running allocations.
    #[arg(long)]
    job: bool,
    /// With -job: only of this group.
    #[arg(long, value_name = "group")]
    group: Option<String>,
    #[command(flatten)]
    terminal: Terminal,
    args: Vec<String>,
}

/// How a command on a node is connected to whoever typed this one.
#[derive(Debug, clap::Args)]
pub struct Terminal {
    /// Pass standard input on.
    #[arg(long = "i", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    stdin: bool,
    /// Give the command a terminal; by default when this is one.
    #[arg(long = "t", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tty: Option<bool>,
    /// The character that, after a line break and before a dot, ends the session of a terminal; "none" for none.
    #[arg(long = "e", value_name = "char", default_value = "~")]
    escape: String,
}

impl Command for Exec {
    const PATH: &'static str = "alloc exec";
    const ALIASES: &'static [&'static str] = &["exec"];
    const USAGE: &'static str = "<allocation> <command>";
    const ABOUT: &'static str = "Runs a command in a running task.";
    const DETAILS: &'static str = "Exits with the exit code of the command.";
    const STOPS_AT_FIRST_WORD: bool = true;

    async fn run(self) -> Outcome {
        let [word, command @ ..] = self.args.as_slice() else {
            return Err(Fail::usage(if self.job { "A job ID is required" } else { "An allocation ID is required" }));
        };
        if command.is_empty() {
            return Err(Fail::usage("A command is required"));
        }
        let client = self.client.client()?;
        let alloc = match self.job {
            true => of_job(&client, word, self.group.as_deref()).await?,
            false => lookup::alloc(&client, word).await?,
        };
        let task = task_of(&alloc, self.task.as_deref())?;
        let call = calls::exec(&query_of(&alloc), &alloc.id, &task, command, self.terminal.tty());
        self.terminal.run(&self.client, &call, "failed to exec into task").await
    }
}

impl Terminal {
    /// Does the command get a terminal?
    pub fn tty(&self) -> bool {
        self.tty.unwrap_or_else(is_terminal)
    }

    /// Talks to what runs behind the socket that `call` opens until it ends, and gives its exit code. `doing` begins errors.
    pub async fn run(&self, client: &ClientFlags, call: &Call<Raw>, doing: &str) -> Outcome {
        let here = self.tty() && is_terminal();
        let raw = (here && self.stdin).then(RawTerminal::enter).flatten();
        let outcome = self.talk(client, call, here, doing).await;
        drop(raw);
        outcome
    }

    async fn talk(&self, client: &ClientFlags, call: &Call<Raw>, tty: bool, doing: &str) -> Outcome {
        let failed = |text: String| Fail::new(format!("{doing}: {text}"));
        let address = client.transport()?.url(call.path());
        let uri: http::Uri = address.parse().map_err(|_| failed(format!("{address} is no address")))?;
        // `http` becomes `ws`, `https` becomes `wss`; which of them is spoken the connection knows.
        let socket = address.replacen("http", "ws", 1);
        let mut request = socket.into_client_request().map_err(|e| failed(e.to_string()))?;
        let token = client.token();
        if let Some(token) = token.as_deref().and_then(|t| HeaderValue::from_str(t).ok()) {
            request.headers_mut().insert("x-nomad-token", token);
        }
        let stream = client.caller().connect(&uri).await.map_err(failed)?;
        let upgraded = tokio_tungstenite::client_async(request, stream).await;
        let (socket, _) = upgraded.map_err(|e| failed(refusal(&e)))?;
        let (mut sink, mut frames) = socket.split();
        let hello = json!({"version": 1, "auth_token": token.unwrap_or_default()});
        sink.send(Message::text(hello.to_string())).await.map_err(|e| failed(e.to_string()))?;
        if let Some(size) = tty.then(terminal_size).flatten() {
            sink.send(Message::text(size.to_string())).await.map_err(|e| failed(e.to_string()))?;
        }
        let mut input =
            if self.stdin { read_stdin(tty.then(|| escape_char(&self.escape)).flatten()) } else { closed() };
        let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
        let mut input_open = true;
        loop {
            tokio::select! {
                typed = input.recv(), if input_open => {
                    let frame = match typed {
                        Some(Typed::Bytes(bytes)) => json!({"stdin": {"data": STANDARD.encode(bytes)}}),
                        Some(Typed::Leave) => return Ok(1),
                        None => {
                            input_open = false;
                            json!({"stdin": {"close": true}})
                        }
                    };
                    sink.send(Message::text(frame.to_string())).await.map_err(|e| failed(e.to_string()))?;
                }
                _ = keep_alive.tick() => {
                    // The command may have ended in this moment: reading will tell.
                    let _ = sink.send(Message::text("{}")).await;
                }
                frame = frames.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(code) = show(&text)? {
                            return Ok(code);
                        }
                    }
                    Some(Ok(Message::Close(Some(close)))) if !close.reason.is_empty() => {
                        return Err(failed(close.reason.to_string()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(failed(error.to_string())),
                    None => return Err(failed("the connection ended before the command".to_owned())),
                },
            }
        }
    }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// What the server said instead of upgrading the connection.
fn refusal(error: &SocketError) -> String {
    match error {
        SocketError::Http(answer) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            format!("Unexpected response code: {} ({})", answer.status().as_u16(), body.trim())
        }
        other => other.to_string(),
    }
}

/// Prints a frame's output; gives the exit code when the command has ended.
fn show(text: &str) -> Result<Option<i32>, Fail> {
    let frame: Value = serde_json::from_str(text).map_err(|e| Fail::new(format!("unexpected frame: {e}")))?;
    let bytes = |name: &str| frame[name]["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
    if let Some(bytes) = bytes("stdout") {
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(Fail::new)?;
    }
    if let Some(bytes) = bytes("stderr") {
        std::io::stderr().lock().write_all(&bytes).map_err(Fail::new)?;
    }
    let exited = frame["exited"].as_bool() == Some(true);
    Ok(exited.then(|| frame["result"]["exit_code"].as_i64().and_then(|c| i32::try_from(c).ok()).unwrap_or(0)))
}

enum Typed {
    Bytes(Vec<u8>),
    /// The escape character and a dot.
    Leave,
}

fn escape_char(text: &str) -> Option<u8> {
    if text == "none" { None } else { text.bytes().next() }
}

/// Standard input as it comes, read by a thread of its own: a read from a terminal can't be cancelled.
fn read_stdin(escape: Option<u8>) -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut last = [b'\n', 0];
        while let Ok(n) = std::io::stdin().lock().read(&mut buffer) {
            if n == 0 {
                break;
            }
            for byte in &buffer[..n] {
                if escape.is_some() && matches!(last[0], b'\n' | b'\r') && Some(last[1]) == escape && *byte == b'.' {
                    let _ = sender.blocking_send(Typed::Leave);
                    return;
                }
                last = if last[1] == 0 { [last[0], *byte] } else { [last[1], *byte] };
            }
            if sender.blocking_send(Typed::Bytes(buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    });
    receiver
}

fn closed() -> mpsc::Receiver<Typed> {
    mpsc::channel(1).1
}

fn terminal_size() -> Option<Value> {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call fills the structure that it is given and nothing else.
    let done = unsafe { nix::libc::ioctl(1, nix::libc::TIOCGWINSZ, &mut size) };
    (done == 0 && size.ws_row > 0).then(|| json!({"tty_size": {"height": size.ws_row, "width": size.ws_col}}))
}

/// The terminal without echo and line editing, until it goes out of scope.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Option<RawTerminal> {
        let before = termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
