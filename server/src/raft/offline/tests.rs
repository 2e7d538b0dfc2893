use std::collections::BTreeMap;

use super::super::log::encode;
use super::super::tests::{key, options, register, start};
use super::super::types::Vote;
use super::super::wal::Facts;
use super::super::{Duration, Instant};
use super::*;

/// All that lies in a folder, with the times of the last change.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                let changed = std::fs::metadata(&path).and_then(|m| m.modified()).expect("a time");
                found.insert(path.clone(), (std::fs::read(&path).expect("readable"), changed));
            }
        }
    }
    found
}

/// Opens what a server that ends lets go of soon.
async fn opened(path: &Path) -> Kept {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match Kept::open(path) {
            Err(OfflineError::Held { .. }) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
            done => return done.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}

fn shown(kept: &Kept) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    let seen = kept.logs(|entry| {
        all.push(serde_json::to_string(&entry).expect("JSON"));
        Ok::<_, OfflineError>(())
    });
    seen.expect("readable");
    all.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_kept_is_shown_and_not_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (consensus, _) = start(&options(Some(dir.path()))).await;
    let (first, _) = consensus.propose(register("first")).await.expect("committed");
    let held = Kept::open(dir.path()).map(drop).expect_err("held").to_string();
    assert!(held.contains("a server is running on") && held.contains("server/raft"), "{held}");
    consensus.raft.trigger().snapshot().await.expect("asked for");
    let taken = consensus.raft.wait(Some(Duration::from_secs(10)));
    taken.metrics(|m| m.snapshot.is_some_and(|s| s.index >= first), "a snapshot").await.expect("taken");
    let (second, _) = consensus.propose(register("second")).await.expect("committed");
    let id = consensus.id;
    consensus.raft.shutdown().await.expect("stops");
    drop(consensus);

    drop(opened(dir.path()).await);
    let before = files(dir.path());
    for path in [dir.path().to_owned(), dir.path().join("server"), dir.path().join("server/raft")] {
        let kept = opened(&path).await;
        let info = kept.info();
        assert_eq!((info.first, info.last, info.length, info.server), (0, second, second + 1, Some(shown_id(id))));
        let entries = shown(&kept);
        assert_eq!((entries.len() as u64, &entries[0]["Type"]), (second + 1, &json!("Membership")));
        assert_eq!(entries[0]["Voters"], json!([[shown_id(id)]]));
        let last = entries.last().expect("one");
        assert_eq!(
            (&last["Index"], &last["Type"], &last["Leader"]),
            (&json!(second), &json!("Commands"), &json!(shown_id(id)))
        );
        assert!(last["Commands"].to_string().contains("second"), "{last}");
        let (now, notes) = kept.state(0).expect("a state");
        assert!(notes.is_empty() && now.job(&key("first")).is_some() && now.job(&key("second")).is_some());
        for back in [-1, i64::try_from(second - 1).expect("small")] {
            let (earlier, _) = kept.state(back).expect("a state");
            assert!(earlier.job(&key("first")).is_some() && earlier.job(&key("second")).is_none(), "{back}");
        }
        let (begun, _) = kept.state(i64::try_from(first - 1).expect("small")).expect("from the log alone");
        assert!(begun.job(&key("first")).is_none());
        let beyond = kept.state(1000).map(drop).expect_err("not there").to_string();
        assert!(beyond.contains(&format!("index 1000 is not there: the log goes to entry {second}")), "{beyond}");
    }
    assert!(before == files(dir.path()), "nothing was changed");
}

fn log_id(index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(1, 7), index)
}

fn blanks(from: u64, to: u64) -> Vec<(LogId, Vec<u8>)> {
    let one = |index| (log_id(index), encode(&Entry { log_id: log_id(index), payload: EntryPayload::Blank }));
    (from..to).map(one).collect()
}

#[test]
fn a_cut_write_stays_and_damage_is_refused_with_how_far_it_could_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let raft = dir.path().join("raft");
    let mut wal = Wal::open(&raft, true).expect("opens");
    wal.change(|facts| *facts = Facts { id: Some(7), vote: Some(Vote::new(1, 7)), ..Facts::default() })
        .expect("written");
    for index in 0..20 {
        wal.append(&blanks(index, index + 1)).expect("written");
        wal.flush().expect("flushed");
    }
    drop(wal);
    let path = raft.join("0000000001.log");
    let whole = std::fs::read(&path).expect("readable");
    std::fs::write(&path, [&whole[..], b"the beginning of another"].concat()).expect("written");
    std::fs::write(raft.join("0000000002.unfinished"), b"TARP").expect("written");
    let before = files(dir.path());
    let kept = Kept::open(dir.path()).expect("readable");
    assert_eq!((kept.info().length, kept.info().last), (20, 19));
    assert!(kept.notes()[0].contains("cut short (24 bytes"), "{:?}", kept.notes());
    assert!(kept.notes()[1].contains("no entry is known to be committed"), "{:?}", kept.notes());
    assert_eq!(shown(&kept).len(), 20);
    drop(kept);
    assert!(before == files(dir.path()));

    let mut changed = whole.clone();
    let at = whole.len() - 300;
    changed[at] ^= 1;
    std::fs::write(&path, &changed).expect("written");
    let refused = Kept::open(dir.path()).map(drop).expect_err("damaged").to_string();
    assert!(refused.contains("is damaged at byte") && refused.contains("entries 0 to 1"), "{refused}");

    std::fs::write(&path, &whole).expect("written");
    std::fs::rename(&path, raft.join("0000000003.log")).expect("renamed");
    std::fs::write(raft.join("0000000001.log"), &whole).expect("written");
    let refused = Kept::open(dir.path()).map(drop).expect_err("one is missing").to_string();
    assert!(refused.contains("0000000002.log is missing") && refused.contains("entries 0 to 19"), "{refused}");
}

#[test]
fn folders_of_others_are_refused_and_stay_as_they_are() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("notes.log"), "a text").expect("written");
    let refused = Kept::open(dir.path()).map(drop).expect_err("foreign").to_string();
    assert!(refused.contains("is no data directory of a server"), "{refused}");
    assert!(Kept::open(&dir.path().join("nowhere")).is_err());
    std::fs::write(dir.path().join("0000000001.log"), "another program's").expect("written");
    let refused = Kept::open(dir.path()).map(drop).expect_err("foreign").to_string();
    assert!(refused.contains("does not begin as a log of this release does"), "{refused}");
    let earlier = dir.path().join("server/raft");
    std::fs::create_dir_all(&earlier).expect("made");
    std::fs::write(earlier.join("db"), "").expect("written");
    let refused = Kept::open(dir.path()).map(drop).expect_err("earlier").to_string();
    assert!(refused.contains("the log of an earlier release"), "{refused}");
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_what_is_missing_then_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut wal = Wal::open(&dir.path().join("raft"), true).expect("opens");
    wal.change(|facts| facts.purged = Some(log_id(9))).expect("written");
    wal.append(&blanks(10, 13)).expect("written");
    wal.flush().expect("flushed");
    drop(wal);
    let snapshots = snapshots::Snapshots::open(dir.path().join("snapshots"), true).expect("opens");
    let save = |index: u64, state: &[u8]| {
        let meta = super::super::types::SnapshotMeta { last_log_id: Some(log_id(index)), ..Default::default() };
        drop(snapshots.save(&meta, state).expect("saved"));
    };
    save(9, &State::default().snapshot());
    save(11, &State::default().snapshot());
    let newest = dir.path().join("snapshots").join(format!("{:020}.snapshot", 11));
    let mut bytes = std::fs::read(&newest).expect("readable");
    bytes[40] ^= 1;
    std::fs::write(&newest, bytes).expect("written");
    let kept = Kept::open(dir.path()).expect("readable");
    let (_, notes) = kept.state(0).expect("from the older one");
    assert!(notes[0].contains("is damaged (it does not match its checksum), and was passed over"), "{notes:?}");
    assert!(newest.exists(), "it is not set aside");
    std::fs::remove_file(dir.path().join("snapshots").join(format!("{:020}.snapshot", 9))).expect("removed");
    let refused = kept.state(12).map(drop).expect_err("a gap").to_string();
    assert!(
        refused.contains("the log begins at entry 10, and no snapshot that can be read goes that far back"),
        "{refused}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let mut node = tarpan_testkit::nodes::ready(1);
    node.secret_id = uuid::Uuid::from_u128(0x5ec4e7);
    let commands = [
        Command::UpsertNode { node: Box::new(node), now: tarpan_testkit::START, evals: Vec::new() },
        Command::StageRestore { id: u128::MAX, number: 3, part: b"5ec4e7".to_vec() },
    ];
    let envelopes: Vec<Envelope> =
        (1..).zip(commands).map(|(n, command)| Envelope { id: tarpan_state::CommandId(n), command }).collect();
    let encoded = envelopes.iter().map(super::super::types::encode).collect();
    let payload = EntryPayload::Normal(Commands::new(envelopes, encoded));
    let text = serde_json::to_string(&Logged(redacted(Entry { log_id: log_id(1), payload }))).expect("JSON");
    assert!(!text.contains("5ec4e7") && text.contains("\"bytes\":6"), "{text}");
}
