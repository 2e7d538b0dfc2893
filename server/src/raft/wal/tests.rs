//! What the files keep, what a crash may leave of them, and what is said of damage.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn id(index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(1, 7), index)
}

fn entries(range: Range<u64>) -> Vec<(LogId, Vec<u8>)> {
    range.map(|i| (id(i), format!("entry {i}").into_bytes())).collect()
}

fn texts(wal: &Wal, range: Range<u64>) -> Vec<String> {
    let read = wal.read(range).expect("readable");
    read.into_iter().map(|data| String::from_utf8(data).expect("text")).collect()
}

fn open(dir: &tempfile::TempDir) -> Wal {
    Wal::open(dir.path(), true).expect("opens")
}

fn refused(dir: &tempfile::TempDir) -> String {
    let error = Wal::open(dir.path(), true).err().expect("refused");
    assert!(error.is_damage(), "{error}");
    error.to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A log of `n` entries that were flushed one by one.
fn filled(dir: &tempfile::TempDir, n: u64) -> Wal {
    let mut wal = open(dir);
    for i in 1..=n {
        wal.append(&entries(i..i + 1)).expect("written");
        wal.flush().expect("flushed");
    }
    wal
}

fn first_file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("0000000001.log")
}

#[test]
fn what_was_told_is_there_after_opening_again() {
    let dir = folder();
    let mut wal = open(&dir);
    assert!(wal.is_new());
    wal.change(|facts| (facts.id, facts.vote) = (Some(7), Some(Vote::new(3, 7)))).expect("written");
    wal.append(&entries(1..10)).expect("written");
    wal.truncate(6).expect("written");
    wal.set_committed(Some(id(4)));
    wal.append(&[(id(6), b"another 6".to_vec())]).expect("written");
    drop(wal);
    let wal = open(&dir);
    assert!(!wal.is_new());
    assert_eq!((wal.facts().id, wal.facts().vote), (Some(7), Some(Vote::new(3, 7))));
    assert_eq!((wal.last(), wal.committed()), (Some(id(6)), Some(id(4))));
    assert_eq!(texts(&wal, 4..100), ["entry 4", "entry 5", "another 6"]);
}

#[test]
fn purged_entries_go_and_so_do_their_files() {
    let dir = folder();
    let mut wal = open(&dir);
    for part in 0..3 {
        wal.append(&entries(part * 10 + 1..part * 10 + 11)).expect("written");
        wal.begin_segment().expect("begun");
    }
    wal.purge(id(15)).expect("purged");
    assert!(!first_file(&dir).exists() && dir.path().join("0000000002.log").exists());
    drop(wal);
    let mut wal = open(&dir);
    assert_eq!((wal.facts().purged, wal.last()), (Some(id(15)), Some(id(30))));
    assert_eq!(texts(&wal, 0..17), ["entry 16"]);
    wal.purge(id(99)).expect("a snapshot may be ahead of the log");
    assert_eq!(wal.last(), Some(id(99)));
    wal.append(&entries(100..101)).expect("written");
    drop(wal);
    let wal = open(&dir);
    assert_eq!((wal.last(), texts(&wal, 0..200)), (Some(id(100)), vec!["entry 100".to_owned()]));
}

#[test]
fn a_log_cut_anywhere_in_its_last_unpromised_write_opens_without_it() {
    let dir = folder();
    let mut wal = filled(&dir, 3);
    let promised = wal.end;
    wal.append(&entries(4..6)).expect("written");
    let whole = wal.end;
    drop(wal);
    let bytes = std::fs::read(first_file(&dir)).expect("readable");
    for cut in promised..whole {
        std::fs::write(first_file(&dir), &bytes[..cut as usize]).expect("written");
        let mut wal = open(&dir);
        let last = wal.last().expect("entries").index;
        assert!((3..5).contains(&last), "cut at {cut}: {last}");
        wal.append(&entries(last + 1..last + 2)).expect("goes on");
        assert_eq!(texts(&wal, 1..100).len() as u64, last + 1);
    }
}

#[test]
fn a_hole_in_what_was_never_flushed_is_no_damage() {
    let dir = folder();
    let mut wal = filled(&dir, 3);
    let promised = wal.end as usize;
    wal.append(&entries(4..5)).expect("written");
    wal.append(&entries(5..6)).expect("written");
    drop(wal);
    let mut bytes = std::fs::read(first_file(&dir)).expect("readable");
    bytes[promised..promised + 20].fill(0); // a power cut kept the later page alone
    std::fs::write(first_file(&dir), bytes).expect("written");
    assert_eq!(open(&dir).last(), Some(id(3)));
}

#[test]
fn damage_of_what_was_promised_is_named() {
    let dir = folder();
    drop(filled(&dir, 5));
    let bytes = std::fs::read(first_file(&dir)).expect("readable");
    let mut changed = bytes.clone();
    let middle = bytes.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(first_file(&dir), changed).expect("written");
    let why = refused(&dir);
    assert!(why.contains("0000000001.log is damaged at byte") && why.contains("checksum"), "{why}");
    std::fs::write(first_file(&dir), b"").expect("written");
    assert!(refused(&dir).contains("0000000001.log is damaged at byte 0"));
    std::fs::write(first_file(&dir), b"TARPLOG\x09 and more").expect("written");
    assert!(refused(&dir).contains("of this release"));
    std::fs::write(first_file(&dir), bytes).expect("written");
    assert_eq!(open(&dir).last(), Some(id(5)), "nothing was changed meanwhile");
}

#[test]
fn a_missing_file_in_the_middle_and_one_that_was_cut_are_named() {
    let dir = folder();
    let mut wal = open(&dir);
    for part in 0..3 {
        wal.append(&entries(part * 10 + 1..part * 10 + 11)).expect("written");
        wal.flush().expect("flushed");
        wal.begin_segment().expect("begun");
    }
    drop(wal);
    let second = dir.path().join("0000000002.log");
    let bytes = std::fs::read(&second).expect("readable");
    std::fs::write(&second, &bytes[..bytes.len() - 3]).expect("written");
    assert!(refused(&dir).contains("0000000002.log is damaged"), "{}", refused(&dir));
    std::fs::remove_file(&second).expect("removed");
    assert!(refused(&dir).contains("0000000002.log is missing"), "{}", refused(&dir));
}

#[test]
fn damage_found_while_reading_names_file_and_entry() {
    let dir = folder();
    let wal = filled(&dir, 3);
    let file = OpenOptions::new().write(true).open(first_file(&dir)).expect("opens");
    file.write_all_at(b"X", wal.at(2).expect("there").offset + 45).expect("written");
    let why = wal.read(1..4).expect_err("damaged").to_string();
    assert!(why.contains("0000000001.log: entry 2 at byte") && why.contains("checksum"), "{why}");
}

#[test]
fn a_log_is_opened_once() {
    let dir = folder();
    let _wal = open(&dir);
    let error = Wal::open(dir.path(), true).err().expect("refused");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

#[test]
fn half_a_new_file_is_no_file() {
    let dir = folder();
    drop(filled(&dir, 2));
    std::fs::write(dir.path().join("0000000002.unfinished"), b"TARP").expect("written");
    std::fs::write(dir.path().join("notes.txt"), b"of somebody").expect("written");
    assert_eq!(open(&dir).last(), Some(id(2)));
    assert!(!dir.path().join("0000000002.unfinished").exists() && dir.path().join("notes.txt").exists());
}

#[test]
fn what_the_system_refuses_names_the_path() {
    let dir = folder();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, b"").expect("written");
    let error = Wal::open(&blocked.join("raft"), true).err().expect("refused");
    assert!(error.to_string().contains("file/raft") && !error.is_damage(), "{error}");
    drop(filled(&dir, 1));
    std::fs::set_permissions(first_file(&dir), std::fs::Permissions::from_mode(0o000)).expect("changed");
    if let Err(error) = Wal::open(dir.path(), true) {
        assert!(error.to_string().contains("0000000001.log") && !error.is_damage(), "{error}");
    } // root may read it all the same
}

#[test]
fn what_a_failed_flush_may_have_lost_is_written_again() {
    let dir = folder();
    let mut wal = filled(&dir, 2);
    wal.append(&entries(3..4)).expect("written");
    let file = wal.segments.back().expect("one").file.clone();
    file.write_all_at(&[0; 30], wal.durable).expect("the system forgot what it was to write");
    wal.write_again().expect("written");
    wal.flush().expect("flushed");
    drop(wal);
    assert_eq!(texts(&open(&dir), 3..4), ["entry 3"]);
}

/// Records with sums that are right: what they say is the input's. Each is its kind, its length, its durable position, its body.
fn records(mut input: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    while let [kind, length, durable, rest @ ..] = input {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let start = file.len();
        record::write(&mut file, u64::from(*durable), &Record::Facts(body));
        file[start + HEAD] = *kind;
        let sum = crc32fast::hash(&file[start + 8..]);
        file[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
        input = rest;
    }
    file
}

/// One record as [`records`] reads it.
fn spelled(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::write(&mut bytes, 0, record);
    let body = &bytes[HEAD..];
    let length = u8::try_from(body.len() - 1).expect("short");
    [&[body[0], length, 0][..], &body[1..]].concat()
}

/// The first byte of an input says whether the sums are its own.
#[test]
fn fuzz_any_file_is_a_log_or_damaged() {
    let facts = |facts: &Facts| spelled(&Record::Facts(&pack(facts)));
    let first = facts(&Facts::default());
    let behind = facts(&Facts {
        id: Some(7),
        vote: Some(Vote::new(3, 7)),
        purged: Some(id(4)),
        last: Some(id(4)),
        ..Facts::default()
    });
    let entry = |index| spelled(&Record::Entry { id: id(index), data: b"entry" });
    let rest = [
        spelled(&Record::Truncate { from: 6 }),
        spelled(&Record::Committed(id(5))),
        facts(&Facts { purged: Some(id(5)), ..Facts::default() }),
    ];
    let seeds = [
        [&[1][..], &first[..], &entry(1), &entry(2), &rest.concat()].concat(),
        [&[1][..], &behind[..], &entry(5), &entry(6), &rest[0], &entry(6), &entry(9), &rest[1]].concat(),
        [&[1][..], &first[..], &entry(u64::MAX), &entry(0), &rest[2]].concat(),
        [&[1][..], &first[..], &spelled(&Record::Facts(&[0x91; 200]))].concat(),
        [&[0][..], &records(&[&first[..], &entry(1)].concat())[..]].concat(),
    ];
    let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "logs").seeds(seeds);
    let dir = folder();
    fuzz.bytes(|input| {
        let bytes = match input {
            [1, rest @ ..] => records(rest),
            other => other.get(1..).unwrap_or_default().to_vec(),
        };
        std::fs::write(first_file(&dir), bytes).expect("written");
        let open = || Wal::open(dir.path(), false).map_err(|error| (error.is_damage(), error.to_string()));
        let mut wal = match open() {
            Ok(wal) => wal,
            Err((damage, why)) => {
                assert!(damage, "{why}");
                return why.rsplit(": ").next().unwrap_or_default().to_owned();
            }
        };
        // What was taken from it can be read, written on, and is the same the next time.
        let said =
            |wal: &Wal| (wal.facts().clone(), wal.committed(), wal.last(), wal.read(0..u64::MAX).expect("readable"));
        let before = said(&wal);
        wal.change(|facts| facts.id = Some(9)).expect("written");
        let next = wal.last().map_or(1, |last| last.index.saturating_add(1)).min(u64::MAX - 1);
        wal.append(&[(id(next), b"more".to_vec())]).expect("written");
        drop(wal);
        let after = said(&open().expect("opens again"));
        assert_eq!((after.0.id, after.0.vote, after.1), (Some(9), before.0.vote, before.1));
        assert_eq!(after.3.last().map(Vec::as_slice), Some(&b"more"[..]));
        format!("{} {} {}", before.3.len().min(4), before.0.purged.is_some(), before.1.is_some())
    });
}
