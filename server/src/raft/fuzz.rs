//! What lies in the files of a server, and what its peers send: whatever it is, reading it ends, in an error where it is wrong.

use std::error::Error as _;
use std::io::Write as _;

use openraft::{EntryPayload, ErrorSubject};
use tarpan_state::{Command, CommandId, Envelope, State};
use tarpan_testkit::fuzz::Fuzz;
use tarpan_testkit::{at, jobs, nodes};

use super::log::{decode, encode, pack};
use super::snapshots;
use super::types::{self, Commands, Entry, LogId, SnapshotMeta};

const MARKS: [&str; 6] = ["payload", "Normal", "Membership", "log_id", "command", "id"];

fn fuzz(name: &'static str) -> Fuzz {
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), name).words(&MARKS)
}

fn id(index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(1, 7), index)
}

fn an_entry() -> Entry {
    let node = Command::UpsertNode { node: Box::new(nodes::ready(1)), now: at(0), evals: Vec::new() };
    let envelopes = vec![Envelope { id: CommandId(7), command: node }];
    let encoded = envelopes.iter().map(types::encode).collect();
    Entry { log_id: id(4), payload: EntryPayload::Normal(Commands::new(envelopes, encoded)) }
}

#[test]
fn entries() {
    let blank = Entry { log_id: id(1), payload: EntryPayload::Blank };
    let whole = encode(&an_entry());
    let seeds = [encode(&blank), pack(whole.clone()), pack([whole.clone(), vec![0; 4096]].concat()), whole];
    fuzz("entries").seeds(seeds).longest(6_000).bytes(|bytes| match decode::<Entry>(bytes, ErrorSubject::Logs) {
        Ok(entry) => {
            let again: Entry = decode(&pack(encode(&entry)), ErrorSubject::Logs).expect("what is written is read");
            assert_eq!(encode(&again), encode(&entry));
            "an entry".to_owned()
        }
        Err(error) => error.to_string(),
    });
}

/// A snapshot's file whose sum is right, whatever is in it. The first byte is the length of what stands before the state.
fn file_of(input: &[u8]) -> Vec<u8> {
    let Some((length, rest)) = input.split_first() else { return Vec::new() };
    let (meta, state) = rest.split_at(rest.len().min(usize::from(*length)));
    let lengths = [&(meta.len() as u32).to_be_bytes()[..], &(state.len() as u64).to_be_bytes()].concat();
    let mut file = [&b"TARPAN\x02"[..], &lengths[..], meta, state].concat();
    let sum = crc32fast::hash(&file);
    file.extend(sum.to_be_bytes());
    file
}

#[test]
fn snapshots() {
    let meta = SnapshotMeta { last_log_id: Some(id(8)), snapshot_id: "1-8".to_owned(), ..SnapshotMeta::default() };
    let meta = rmp_serde::to_vec_named(&meta).expect("encodes");
    let whole = [&[1, meta.len() as u8][..], &meta[..], b"state"].concat();
    let seeds = [[&[0][..], &file_of(&whole[1..])].concat(), whole];
    fuzz("snapshots").seeds(seeds).bytes(|input| {
        let bytes = match input {
            [1, rest @ ..] => file_of(rest),
            other => other.get(1..).unwrap_or_default().to_vec(),
        };
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        match snapshots::read(&mut file) {
            Ok(content) => {
                format!("{} {} {}", content.checked, content.meta.last_log_id.is_some(), content.state().is_empty())
            }
            Err(error) => error.to_string(),
        }
    });
}

/// Readers go down with what is nested, on stacks that have an end: those of threads are 2 MiB, and a level takes up to 2.5 KiB.
#[test]
fn what_is_nested_too_deep_is_refused_and_not_suffered() {
    let nested = |mark: u8, levels: usize| {
        // Of a field that nobody knows, which is skipped.
        let level: &[u8] = if mark == 0x81 { b"\x81\xa1x" } else { b"\x91" };
        [&b"\x81\xa3odd"[..], &level.repeat(levels)[..], b"\xc0"].concat()
    };
    let on_a_small_stack = |work: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work);
        thread.expect("a thread").join().expect("no panic");
    };
    for mark in [0x91, 0x81] {
        for levels in [330, 1_000, 100_000] {
            let bytes = nested(mark, levels);
            on_a_small_stack(Box::new(move || {
                let why = State::restore(&bytes).err().and_then(|e| Some(e.source()?.to_string()));
                assert!(why.as_ref().is_some_and(|why| why.contains("depth limit")), "state: {why:?}");
                let mut entry = vec![1];
                entry.extend(&bytes);
                for entry in [entry.clone(), pack([entry, vec![0; 4096]].concat())] {
                    let why = decode::<Entry>(&entry, ErrorSubject::Logs).err().map(|e| e.to_string());
                    assert!(why.as_ref().is_some_and(|why| why.contains("depth limit")), "entry: {why:?}");
                }
                let why = tarpan_rpc::unpack::<SnapshotMeta>(&bytes).err().map(|e| tarpan_rpc::why(&e));
                assert!(why.as_ref().is_some_and(|why| why.contains("depth limit")), "head: {why:?}");
            }));
        }
    }
}

/// The deepest job that a body can bring is read back from the log and from a snapshot.
#[test]
fn the_deepest_job_comes_back() {
    let mut value = serde_json::json!(1);
    for _ in 0..120 {
        value = serde_json::json!([value]);
    }
    let mut job = jobs::service("deep", 1);
    let task = job.task_groups.as_mut().and_then(|g| g[0].tasks.as_mut()).expect("it has one");
    task[0].config = Some(serde_json::from_value(serde_json::json!({"deep": value})).expect("a block"));
    let register = tarpan_state::command::RegisterJob::of(job, None, at(0));
    let envelope = Envelope { id: CommandId(1), command: Command::RegisterJob(Box::new(register)) };
    let back: Envelope = tarpan_rpc::unpack(&types::encode(&envelope)).expect("read back");
    let mut state = State::default();
    state.apply(1, &[back]);
    let again = State::restore(&state.snapshot()).expect("restored");
    assert_eq!(again.snapshot(), state.snapshot());
    assert_eq!(again.jobs().count(), 1);
}

/// Four bytes can't ask for four gigabytes.
#[test]
fn a_packed_entry_is_no_longer_than_its_bytes_can_be() {
    let claim = [&[2][..], &u32::MAX.to_le_bytes(), b"\x10a"].concat();
    let why = decode::<Entry>(&claim, ErrorSubject::Logs).expect_err("refused").to_string();
    assert!(why.contains("too small"), "{why}");
}
