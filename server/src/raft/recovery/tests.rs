use super::super::tests::{key, options, register, start, try_start};
use super::super::types::LogId;
use super::super::{Consensus, Duration, Instant, ServerState};
use super::*;

#[test]
fn a_file_lists_servers() {
    let text = r#"[{"id": "7", "address": "10.0.0.1:4647", "non_voter": false},
                   {"id": 9, "address": "[fe80::1]:4647", "non_voter": true, "name": "nine"},
                   {"id": " 12 ", "address": "server.example:1"}]"#;
    let peer =
        |address: &str, votes, name: Option<&str>| Peer { address: address.into(), votes, name: name.map(Into::into) };
    let expected = [
        (7, peer("10.0.0.1:4647", true, None)),
        (9, peer("[fe80::1]:4647", false, Some("nine"))),
        (12, peer("server.example:1", true, None)),
    ];
    assert_eq!(parse(text), Ok(Peers::from(expected)));
}

#[test]
fn a_bad_file_is_refused_with_what_is_wrong() {
    for (text, why) in [
        ("", "it is no JSON list: EOF"),
        (r#"{"id": 1}"#, "it is no JSON list: invalid type: map"),
        ("[]", "it lists no server that votes"),
        (r#"["10.0.0.1:4647"]"#, "entry 1 is an address alone"),
        (r#"[{"id": 1}]"#, "entry 1: missing field `address`"),
        (r#"[{"id": 1, "address": "a:1", "voter": true}]"#, "entry 1: unknown field `voter`"),
        (r#"[{"id": 1, "address": "a:1"}, {"id": "x", "address": "b:1"}]"#, "entry 2: \"x\" is no id of a server"),
        (
            r#"[{"id": 1, "address": "a:1"}, {"id": "1", "address": "b:1"}]"#,
            "entry 2: server 00000000-0000-0001-0000-000000000000 is listed twice",
        ),
        (r#"[{"id": 1, "address": "a:1"}, {"id": 2, "address": "a:1"}]"#, "entry 2: address a:1 is listed twice"),
        (r#"[{"id": 1, "address": "10.0.0.1"}]"#, "entry 1: \"10.0.0.1\" is no address"),
        (r#"[{"id": 1, "address": "fe80::1:4647"}]"#, "is no address"),
        (r#"[{"id": 1, "address": "a:0"}]"#, "is no address"),
        (r#"[{"id": 1, "address": "a:1", "non_voter": true}]"#, "it lists no server that votes"),
    ] {
        let refused = parse(text).expect_err(text);
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

fn list(peers: &[(ServerId, &str)]) -> String {
    let lines: Vec<Value> =
        peers.iter().map(|(id, at)| serde_json::json!({"id": shown_id(*id), "address": at})).collect();
    serde_json::to_string(&lines).expect("a list")
}

fn write_file(dir: &Path, text: &str) {
    std::fs::write(dir.join("server/raft").join(FILE), text).expect("written");
}

async fn stop(consensus: Consensus) {
    consensus.raft.shutdown().await.expect("stops");
}

/// All that lies in a folder, but for the lock.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => _ = found.insert(path.clone(), std::fs::read(&path).expect("readable")),
        }
    }
    found
}

fn voters(consensus: &Consensus) -> Vec<ServerId> {
    consensus.members().into_iter().filter(|m| m.voter).map(|m| m.id).collect()
}

async fn leads(consensus: &Consensus) -> bool {
    consensus.raft.wait(Some(Duration::from_secs(2))).state(ServerState::Leader, "it leads").await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_survivor_of_three_leads_with_everything_that_was_applied() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = options(Some(dir.path()));
    let (consensus, _) = start(&options).await;
    let id = consensus.id;
    let (index, _) = consensus.propose(register("in-a-snapshot")).await.expect("committed");
    consensus.raft.trigger().snapshot().await.expect("asked for");
    let taken = consensus.raft.wait(Some(Duration::from_secs(10)));
    taken.metrics(|m| m.snapshot.is_some_and(|s| s.index >= index), "a snapshot").await.expect("taken");
    consensus.propose(register("in-the-log")).await.expect("committed");
    stop(consensus).await;

    // Two that never answer make it one of three: it does not lead.
    write_file(dir.path(), &list(&[(id, "127.0.0.1:1"), (5, "127.0.0.1:2"), (6, "127.0.0.1:3")]));
    let (consensus, _) = start(&options).await;
    assert_eq!(voters(&consensus), BTreeSet::from([5, 6, id]).into_iter().collect::<Vec<_>>());
    assert!(!leads(&consensus).await);
    assert_eq!(consensus.store.former(), BTreeSet::new());
    stop(consensus).await;

    // Where the field has the file.
    std::fs::create_dir(dir.path().join("raft")).expect("made");
    std::fs::write(dir.path().join("raft").join(FILE), list(&[(id, "127.0.0.1:1")])).expect("written");
    let (consensus, published) = start(&options).await;
    assert!(leads(&consensus).await && voters(&consensus) == [id]);
    assert_eq!(consensus.store.former(), BTreeSet::from([5, 6]));
    let (index, _) = consensus.propose(register("after")).await.expect("committed");
    let state = published.at_least(index, Instant::now() + Duration::from_secs(5)).await;
    assert!(["in-a-snapshot", "in-the-log", "after"].iter().all(|job| state.job(&key(job)).is_some()));
    stop(consensus).await;

    // It acts once, and what it made outlives the next start.
    let server = dir.path().join("server");
    assert!(!dir.path().join("raft").join(FILE).exists() && !server.join("raft").join(FILE).exists());
    assert!(server.join("raft.aside-2").join(FILE).exists());
    let (consensus, published) = start(&options).await;
    assert!(leads(&consensus).await && voters(&consensus) == [id]);
    let state = published.at_least(index, Instant::now() + Duration::from_secs(5)).await;
    assert!(state.job(&key("after")).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_changes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = options(Some(dir.path()));
    let (consensus, _) = start(&options).await;
    let id = consensus.id;
    consensus.propose(register("kept")).await.expect("committed");
    stop(consensus).await;
    stop(start(&options).await.0).await; // what a crash left is cleared away
    for (text, why) in [
        (
            list(&[(id.wrapping_add(1), "127.0.0.1:1")]),
            format!("does not list this server, whose id is {}", shown_id(id)),
        ),
        ("[".to_owned(), "it is no JSON list".to_owned()),
    ] {
        write_file(dir.path(), &text);
        let before = files(dir.path());
        let refused = loop {
            match try_start(&options).await.map(drop).expect_err("refused") {
                crate::errors::StartError::NotRecovered { source } => break source.to_string(),
                other => assert!(format!("{:?}", std::error::Error::source(&other)).contains("Locked"), "{other}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(refused.contains(&why) && refused.contains("server/raft/peers.json"), "{refused}");
        assert!(before == files(dir.path()), "{why}");
    }
    let go_on = dir.path().join("server/go-on-from-snapshot");
    std::fs::write(&go_on, "").expect("written");
    let refused = try_start(&options).await.map(drop).expect_err("refused");
    let why = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(why.contains("only one of them can be done"), "{why}");
}

#[test]
fn a_server_without_data_has_nothing_to_go_on_from() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = dir.path().join("server");
    std::fs::create_dir_all(server.join("raft")).expect("made");
    write_file(dir.path(), &list(&[(7, "127.0.0.1:1")]));
    let snapshots = Snapshots::open(server.join("snapshots"), true).expect("opens");
    let refused = recover(&server, &snapshots).expect_err("refused").to_string();
    assert!(refused.contains("no data that a cluster could go on from"), "{refused}");
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(term, 1), index)
}

/// A log of three servers as the second of them may have it: a membership early, another one near the end that nobody has committed.
fn log(dir: &Path) -> Snapshots {
    let node = |name: &str| ServerNode { name: name.to_owned(), rpc_addr: "old:1".to_owned(), ..ServerNode::default() };
    let three = BTreeMap::from([(1, node("one")), (2, node("two")), (3, node("three"))]);
    let four = three.clone().into_iter().chain([(4, node("four"))]).collect::<BTreeMap<_, _>>();
    let ids = |nodes: &BTreeMap<ServerId, ServerNode>| nodes.keys().copied().collect::<BTreeSet<_>>();
    let changed = Membership::new(vec![ids(&three), ids(&four)], four);
    let first = Membership::new(vec![ids(&three)], three);
    let snapshots = Snapshots::open(dir.join("snapshots"), true).expect("opens");
    let mut wal = Wal::open(&dir.join("raft"), true).expect("opens");
    wal.change(|facts| (facts.id, facts.vote) = (Some(2), Some(Vote::new_committed(4, 2)))).expect("written");
    let rows: Vec<(LogId, Vec<u8>)> = (0..100)
        .map(|index| {
            let log_id = log_id(1 + index / 30, index);
            let payload = match index {
                0 => EntryPayload::Membership(first.clone()),
                95 => EntryPayload::Membership(changed.clone()),
                _ => EntryPayload::Blank,
            };
            (log_id, encode(&Entry { log_id, payload }))
        })
        .collect();
    wal.append(&rows).expect("written");
    wal.set_committed(Some(log_id(3, 80)));
    wal.change(|_| {}).expect("written");
    wal.flush().expect("flushed");
    let meta = super::super::types::SnapshotMeta {
        last_log_id: Some(log_id(2, 40)),
        last_membership: super::super::types::Membership::new(Some(log_id(1, 0)), first),
        snapshot_id: "2-40".to_owned(),
    };
    snapshots.save(&meta, b"a state").expect("saved");
    std::fs::write(dir.join("raft").join(FILE), list(&[(2, "new:2"), (3, "new:3")])).expect("written");
    snapshots
}

fn check(dir: &Path, snapshots: &Snapshots) {
    let wal = Wal::open(&dir.join("raft"), true).expect("opens");
    assert_eq!(
        (wal.first(), wal.last(), wal.committed()),
        (Some(log_id(1, 0)), Some(log_id(4, 99)), Some(log_id(3, 80)))
    );
    assert_eq!(
        (wal.facts().id, wal.facts().vote),
        (Some(2), Some(Vote::new(5, 2))),
        "it leads in none of the old terms"
    );
    assert_eq!(wal.facts().former, BTreeSet::from([1, 4]));
    let content = snapshots.newest().expect("readable").expect("one is there").1;
    let mut found = vec![content.meta.last_membership.membership().clone()];
    assert_eq!((content.meta.last_membership.log_id(), &*content.state()), (&Some(log_id(1, 0)), &b"a state"[..]));
    let mut index = 0;
    each(&wal, |bytes| {
        let entry: Entry = decode(&bytes, ErrorSubject::Logs).expect("an entry");
        assert_eq!(entry.log_id, log_id(1 + index / 30, index));
        index += 1;
        if let EntryPayload::Membership(membership) = entry.payload {
            found.push(membership);
        }
        Ok(())
    })
    .expect("readable");
    assert_eq!((index, found.len()), (100, 3));
    for membership in found {
        assert_eq!(membership.get_joint_config(), &vec![BTreeSet::from([2, 3])]);
        let nodes: Vec<_> = membership.nodes().map(|(_, node)| (node.name.as_str(), node.rpc_addr.as_str())).collect();
        assert_eq!(nodes, [("two", "new:2"), ("three", "new:3")]);
    }
}

#[test]
fn every_membership_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let snapshots = log(dir.path());
    assert!(recover(dir.path(), &snapshots).expect("recovered"));
    check(dir.path(), &snapshots);
    assert!(!recover(dir.path(), &snapshots).expect("nothing to do"));
    check(dir.path(), &snapshots);
}

#[test]
fn one_that_was_interrupted_is_made_again_or_finished() {
    for step in ["unfinished", "whole", "snapshots", "aside"] {
        let (other, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let done = log(other.path());
        assert!(recover(other.path(), &done).expect("recovered"));
        let snapshots = log(dir.path());
        let places = Places::of(dir.path());
        let copy = |to: &Path| {
            std::fs::create_dir(to).expect("made");
            for entry in std::fs::read_dir(other.path().join("raft")).expect("readable") {
                let entry = entry.expect("an entry");
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            }
        };
        match step {
            "unfinished" => std::fs::create_dir(&places.unfinished).expect("made"),
            _ => copy(&places.recovered),
        }
        if ["snapshots", "aside"].contains(&step) {
            let wal = Wal::open(&places.recovered, true).expect("opens");
            let entry: Entry = decode(&wal.read(0..1).expect("readable")[0], ErrorSubject::Logs).expect("an entry");
            let EntryPayload::Membership(membership) = entry.payload else { panic!("a membership") };
            snapshots.replace_membership(&membership).expect("replaced");
        }
        if step == "aside" {
            set_aside(&places.raft).expect("set aside");
        }
        assert!(recover(dir.path(), &snapshots).expect(step), "{step}");
        check(dir.path(), &snapshots);
        assert!(!places.recovered.exists() && !places.unfinished.exists(), "{step}");
    }
}
