//! Records, as they stand in a file of the log.
//!
//! A record: length of its body (u32), a CRC-32 of all that follows it (u32), the position in this file up to which
//! everything was on disk when it was written (u64), the body. Numbers are little-endian. A body begins with its kind.
//! The position tells what is broken apart: bytes below one that a later record names were promised, others were not.

use crate::raft::types::{LogId, ServerId};

/// Before the body: length, checksum, durable position.
pub const HEAD: usize = 16;
/// A longer record is not one: larger than any command with what surrounds it.
pub const MAX_BODY: usize = 1 << 30;

const ENTRY: u8 = 1;
const TRUNCATE: u8 = 2;
const FACTS: u8 = 3;
const COMMITTED: u8 = 4;
/// Kind, index, term, node: what stands before an entry's data.
pub const ENTRY_HEAD: usize = 25;

/// What one record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Entry {
        id: LogId,
        data: &'a [u8],
    },
    /// Entries from this index on are gone.
    Truncate {
        from: u64,
    },
    /// See [`super::Facts`].
    Facts(&'a [u8]),
    Committed(LogId),
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The file ends within it.
    Short,
    /// Its checksum, its length or its kind is not one.
    Wrong,
}

/// Appends a record to `out`.
pub fn write(out: &mut Vec<u8>, durable: u64, record: &Record<'_>) {
    let start = out.len();
    out.extend([0; 8]);
    out.extend(durable.to_le_bytes());
    match record {
        Record::Entry { id, data } => {
            out.push(ENTRY);
            write_id(out, *id);
            out.extend_from_slice(data);
        }
        Record::Truncate { from } => {
            out.push(TRUNCATE);
            out.extend(from.to_le_bytes());
        }
        Record::Facts(facts) => {
            out.push(FACTS);
            out.extend_from_slice(facts);
        }
        Record::Committed(id) => {
            out.push(COMMITTED);
            write_id(out, *id);
        }
    }
    let body = u32::try_from(out.len() - start - HEAD).expect("a record is smaller than 4 GiB");
    out[start..start + 4].copy_from_slice(&body.to_le_bytes());
    let sum = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// The record at the start of `bytes`: its durable position, what it says, and its length in all.
pub fn read(bytes: &[u8]) -> Result<(u64, Record<'_>, usize), Broken> {
    let head = bytes.get(..HEAD).ok_or(Broken::Short)?;
    let body = number(&head[..4]) as usize;
    if body == 0 || body > MAX_BODY {
        return Err(Broken::Wrong);
    }
    let whole = bytes.get(..HEAD + body).ok_or(Broken::Short)?;
    if u64::from(crc32fast::hash(&whole[8..])) != number(&head[4..8]) {
        return Err(Broken::Wrong);
    }
    let record = parse(&whole[HEAD..]).ok_or(Broken::Wrong)?;
    Ok((number(&head[8..]), record, HEAD + body))
}

fn parse(body: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = body.split_first()?;
    match *kind {
        ENTRY => Some(Record::Entry { id: read_id(rest)?, data: &body[ENTRY_HEAD..] }),
        TRUNCATE => Some(Record::Truncate { from: number(rest.get(..8)?) }),
        FACTS => Some(Record::Facts(rest)),
        COMMITTED => Some(Record::Committed(read_id(rest)?)),
        _ => None,
    }
}

fn write_id(out: &mut Vec<u8>, id: LogId) {
    out.extend(id.index.to_le_bytes());
    out.extend(id.leader_id.term.to_le_bytes());
    out.extend(id.leader_id.node_id.to_le_bytes());
}

fn read_id(bytes: &[u8]) -> Option<LogId> {
    let (index, term, node) = (bytes.get(..8)?, bytes.get(8..16)?, bytes.get(16..24)?);
    let node: ServerId = number(node);
    Some(LogId::new(openraft::CommittedLeaderId::new(number(term), node), number(index)))
}

/// Up to eight bytes, little-endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> LogId {
        LogId::new(openraft::CommittedLeaderId::new(3, 77), index)
    }

    #[test]
    fn what_was_written_is_read() {
        let records = [
            Record::Entry { id: id(5), data: b"data" },
            Record::Entry { id: id(6), data: b"" },
            Record::Truncate { from: 6 },
            Record::Facts(b"facts"),
            Record::Committed(id(5)),
        ];
        let mut bytes = Vec::new();
        for (n, record) in records.iter().enumerate() {
            write(&mut bytes, n as u64 * 10, record);
        }
        let mut rest = &bytes[..];
        for (n, record) in records.iter().enumerate() {
            let (durable, found, length) = read(rest).expect("a record");
            assert_eq!((durable, &found), (n as u64 * 10, record));
            rest = &rest[length..];
        }
        assert_eq!(read(rest), Err(Broken::Short));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let mut bytes = Vec::new();
        write(&mut bytes, 8, &Record::Entry { id: id(5), data: b"some data" });
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Err(Broken::Short), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).is_err(), "bit {bit}");
        }
    }
}
