//! Has a node's agent do something with a CSI plugin that runs there.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tarpan_model::NodeId;
use tarpan_rpc::agent::HttpRequest;
use tarpan_rpc::csi::{Answer, Ask, Failed, FailedKind, PATH};

use crate::peers;
use crate::sessions::host::Host;

/// The agent gives a plugin two minutes a call, and takes back a volume in two of them.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Bytes of an answer: lists come in pages.
const MOST: usize = 8 << 20;

/// The plugin's answer, as it gave it.
pub(crate) async fn ask(host: &Host, node: NodeId, ask: &Ask) -> Result<Vec<u8>, Failed> {
    let request = HttpRequest {
        method: "POST".to_owned(),
        path: PATH.to_owned(),
        body: tarpan_rpc::pack(ask).into(),
        ..HttpRequest::default()
    };
    let answered = tokio::time::timeout(PATIENCE, answer(host, node, request)).await;
    let bytes = answered.unwrap_or_else(|_| Err(unreachable(format!("node {node} did not answer in time"))))?;
    let answer: Answer =
        tarpan_rpc::unpack(&bytes).map_err(|error| unreachable(format!("node {node}: {}", tarpan_rpc::why(&error))))?;
    answer.map(|done| done.answer)
}

fn unreachable(message: String) -> Failed {
    Failed { message, kind: FailedKind::Unreachable }
}

async fn answer(host: &Host, node: NodeId, request: HttpRequest) -> Result<Vec<u8>, Failed> {
    let answer = peers::node_request(host, node, request).await.map_err(|error| unreachable(error.to_string()))?;
    // What the asker would send stays open: closing it would end the answer.
    let (status, mut body, _send) = (answer.status, answer.body, answer.send);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part: Bytes = part.map_err(|error| unreachable(format!("node {node}: {error}")))?;
        if bytes.len() + part.len() > MOST {
            return Err(unreachable(format!("node {node} answered with more than {MOST} bytes")));
        }
        bytes.extend_from_slice(&part);
    }
    match status.is_success() {
        true => Ok(bytes),
        false => Err(unreachable(format!("node {node} answered {status}"))),
    }
}
