//! Pieces from a stream into a channel whose reader may be slow.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

/// Pieces that may wait for the reader.
const WAITING: usize = 256;
/// How long a reader may take for one piece when no more may wait.
const STUCK: Duration = Duration::from_secs(600);

/// Carries everything over until the stream ends. It goes on reading while the reader is busy: else nobody would see that
/// the sender has left. A reader that is gone gets nothing more, and the stream's end is still waited for.
pub(crate) async fn relay<T>(from: impl Stream<Item = T>, to: mpsc::Sender<T>) {
    let mut from = std::pin::pin!(from);
    let mut waiting: VecDeque<T> = VecDeque::new();
    loop {
        tokio::select! {
            permit = to.reserve(), if !waiting.is_empty() => match (permit, waiting.pop_front()) {
                (Ok(permit), Some(piece)) => permit.send(piece),
                _ => break,
            },
            piece = from.next(), if waiting.len() < WAITING => match piece {
                Some(piece) => waiting.push_back(piece),
                None => return,
            },
            () = tokio::time::sleep(STUCK), if waiting.len() >= WAITING => return,
        }
    }
    while from.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_seen_while_nobody_reads() {
        let (to, mut receiver) = mpsc::channel(1);
        relay(futures::stream::iter(0..100), to).await;
        assert_eq!(receiver.recv().await, Some(0));
        let (to, receiver) = mpsc::channel::<i32>(1);
        drop(receiver);
        relay(futures::stream::iter(0..1000), to).await;
    }
}
