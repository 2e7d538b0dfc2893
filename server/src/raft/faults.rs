//! What a full disk, damaged files and missing ones do to a server: said, and survived where that can be.

use std::path::Path;
use std::process::Command as Process;

use super::tests::{key, options, register, start, try_start};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server that registered `jobs`, each followed by a snapshot.
async fn with_snapshots(dir: &Path, jobs: &[&str]) {
    let (consensus, _) = start(&options(Some(dir))).await;
    for job in jobs {
        let (index, _) = consensus.propose(register(job)).await.expect("committed");
        consensus.raft.trigger().snapshot().await.expect("asked for");
        until("a snapshot", || consensus.stats().last_snapshot_index >= index).await;
        consensus.raft.trigger().purge_log(index).await.expect("asked for");
    }
    consensus.propose(register("last")).await.expect("committed");
    consensus.shutdown().await;
}

/// Snapshots, newest first.
fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("server/snapshots")).expect("listed");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "snapshot"));
    files.sort_unstable_by(|a, b| b.cmp(a));
    files
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// The sentence of a start that is refused; the store's lock goes with the last task of the server before.
async fn refused(dir: &Path) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let error = try_start(&options(Some(dir))).await.err().expect("refused");
        let text = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        if !text.contains("another process has") {
            return text;
        }
        assert!(Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_costs_nothing_the_one_before_and_the_log_are_enough() {
    let dir = tempfile::tempdir().expect("a folder");
    with_snapshots(dir.path(), &["one", "two", "three"]).await;
    let newest = snapshots(dir.path()).remove(0);
    damage(&newest);
    let (consensus, published) = start(&options(Some(dir.path()))).await;
    until("all jobs", || {
        let state = published.state();
        ["one", "two", "three", "last"].iter().all(|job| state.job(&key(job)).is_some())
    })
    .await;
    assert!(newest.with_extension("snapshot.damaged").exists() && !newest.exists());
    consensus.propose(register("more")).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_snapshot_may_be_damaged_while_the_whole_log_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    with_snapshots(dir.path(), &["one"]).await;
    std::fs::write(&snapshots(dir.path())[0], b"").expect("emptied");
    let (_consensus, published) = start(&options(Some(dir.path()))).await;
    until("both jobs", || {
        let state = published.state();
        state.job(&key("one")).is_some() && state.job(&key("last")).is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_whole_snapshot_the_files_are_named_and_nothing_begins_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    with_snapshots(dir.path(), &["one", "two", "three"]).await;
    let both = snapshots(dir.path());
    both.iter().for_each(|path| damage(path));
    for _ in 0..2 {
        let why = refused(dir.path()).await;
        assert!(both.iter().all(|p| why.contains(&p.display().to_string())), "{why}");
        assert!(why.contains("begins behind entry") && why.contains("Ways out"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_log_is_said_and_its_server_goes_on_from_the_snapshot_when_told() {
    let dir = tempfile::tempdir().expect("a folder");
    with_snapshots(dir.path(), &["one", "two"]).await;
    refused_without_log(dir.path()).await;
    std::fs::write(dir.path().join("server/go-on-from-snapshot"), b"").expect("written");
    let (consensus, published) = start(&options(Some(dir.path()))).await;
    consensus.propose(register("after")).await.expect("it leads");
    let state = published.state();
    assert!(
        state.job(&key("two")).is_some() && state.job(&key("last")).is_none(),
        "what came after the snapshot is lost"
    );
    consensus.shutdown().await;
    drop(consensus);
    let (consensus, published) = start(&options(Some(dir.path()))).await;
    consensus.propose(register("later")).await.expect("and once more without being told");
    assert!(published.state().job(&key("after")).is_some());
}

async fn refused_without_log(dir: &Path) {
    std::fs::remove_dir_all(dir.join("server/raft")).expect("removed");
    let why = refused(dir).await;
    assert!(why.contains("server/raft is missing or empty") && why.contains("go-on-from-snapshot"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_named_with_the_ways_out_and_one_of_them_works() {
    let dir = tempfile::tempdir().expect("a folder");
    with_snapshots(dir.path(), &["one", "two"]).await;
    let log = dir.path().join("server/raft/0000000001.log");
    let whole = std::fs::read(&log).expect("readable");
    damage(&log);
    let why = refused(dir.path()).await;
    assert!(why.contains("0000000001.log is damaged at byte") && why.contains("Ways out"), "{why}");
    std::fs::write(&log, whole).expect("a copy is put back");
    let (_consensus, published) = start(&options(Some(dir.path()))).await;
    until("everything", || published.state().job(&key("last")).is_some()).await;
}

/// A file system of its own, of a size; `None` where this process may not mount one.
struct Small {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Small {
    fn mount(size: &str) -> Option<Small> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).expect("made");
        let mount =
            Process::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path).status();
        if !mount.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this process may not mount a file system");
            return None;
        }
        Some(Small { path, _dir: dir })
    }

    /// Fills it until not a byte more goes in.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.path.join("filler")).expect("created");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_what_is_accepted_and_nothing_else_until_there_is_room() {
    let Some(disk) = Small::mount("16m") else { return };
    let (consensus, published) = start(&options(Some(&disk.path))).await;
    consensus.propose(register("before")).await.expect("committed");
    disk.fill();
    until("it is noticed", || consensus.no_room().is_some()).await;
    let refused = consensus.propose(register("refused")).await.expect_err("refused");
    assert!(matches!(&refused, ProposeError::NoRoom(why) if why.contains("no room")), "{refused}");
    assert!(published.state().job(&key("before")).is_some(), "reading goes on");
    assert!(consensus.stopped().is_none() && consensus.leadership().me);
    disk.free();
    until("it goes on", || consensus.no_room().is_none()).await;
    consensus.propose(register("after")).await.expect("goes on by itself");
    consensus.shutdown().await;
    drop(consensus);
    let (_consensus, published) = start(&options(Some(&disk.path))).await;
    until("what was acknowledged", || {
        let state = published.state();
        state.job(&key("before")).is_some() && state.job(&key("after")).is_some()
    })
    .await;
    assert!(published.state().job(&key("refused")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_finds_no_room_is_held_and_done_when_there_is() {
    let Some(disk) = Small::mount("16m") else { return };
    let (consensus, published) = start(&options(Some(&disk.path))).await;
    let consensus = Arc::new(consensus);
    consensus.propose(register("before")).await.expect("committed");
    // Handed in behind the check for room, as happens when the disk fills up in between.
    disk.fill();
    let mut tickets = Vec::new();
    for i in 0..20 {
        tickets.push(consensus.enqueue(Encoded::new(register(&format!("held-{i}")))).await);
    }
    until("it is said", || consensus.no_room().is_some_and(|why| why.contains("no room"))).await;
    let asked = consensus.clone();
    let asked = tokio::spawn(async move { asked.propose(register("asked")).await });
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("answered while it is full").expect("no panic");
    assert!(matches!(answer, Err(ProposeError::NoRoom(_))), "{answer:?}");
    disk.free();
    for ticket in tickets {
        let answer = tokio::time::timeout(PATIENCE, ticket.answer()).await.expect("it goes on");
        answer.map_err(|e| format!("{e:?}")).expect("committed");
    }
    let state = published.state();
    assert!((0..20).all(|i| state.job(&key(&format!("held-{i}"))).is_some()));
    assert!(consensus.stopped().is_none());
}
