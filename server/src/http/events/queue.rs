//! Lines on their way to one reader: so many, and so many bytes of them. Beyond that the feed waits, and says what it left out.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Lines that wait for a slow reader.
const LINES: usize = 64;
/// Bytes of them. A longer line waits alone.
const BYTES: usize = 4 << 20;

/// Where lines are put in.
pub struct Writer {
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
}

/// Where they are taken out.
pub struct Reader(mpsc::Receiver<Line>);

struct Line {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Nobody reads any more.
#[derive(Debug)]
pub struct Gone;

pub fn queue() -> (Writer, Reader) {
    let (lines, reader) = mpsc::channel(LINES);
    (Writer { lines, room: Arc::new(Semaphore::new(BYTES)) }, Reader(reader))
}

impl Writer {
    /// Waits until there is room. When the reader goes, what waits for it goes too, and so there is.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        let size = bytes.len().min(BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(size).await.expect("the semaphore is never closed");
        self.lines.send(Line { bytes, _room: room }).await.map_err(|_| Gone)
    }

    pub async fn closed(&self) {
        self.lines.closed().await;
    }
}

impl Reader {
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await.map(|line| line.bytes)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// How many lines of `size` bytes go in while nobody reads.
    async fn taken(writer: &Writer, size: usize) -> usize {
        let line = Bytes::from(vec![b'x'; size]);
        let mut taken = 0;
        while writer.send(line.clone()).now_or_never().is_some() {
            taken += 1;
        }
        taken
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_lines_and_in_bytes() {
        let (writer, mut reader) = queue();
        assert_eq!(taken(&writer, 2).await, LINES);
        for _ in 0..LINES {
            reader.next().await.expect("a line");
        }
        assert_eq!(taken(&writer, 1 << 20).await, BYTES >> 20);
        assert!(writer.send(Bytes::from_static(b"{}")).now_or_never().is_none(), "no byte more");
        for _ in 0..BYTES >> 20 {
            reader.next().await.expect("a line");
        }
        assert_eq!(taken(&writer, 3 * BYTES).await, 1, "a line longer than all room waits alone");
        drop(reader);
        assert!(writer.send(Bytes::from_static(b"{}")).await.is_err());
        writer.closed().await;
    }
}
