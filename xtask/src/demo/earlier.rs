//! A demo that was started before this one: found by what it wrote down, and ended when somebody says so.
//!
//! A demo locks its record for as long as it lives. One that was killed leaves its agent behind; the record says which process that is
//! and which file its log goes to, so that no other process is taken for it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Seek as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tarpan_end2end::lab::{FixedPorts, eventually, kill_all_of};

use super::ending::PATIENCE;

/// The locked record of this demo.
#[derive(Debug)]
pub struct Own {
    file: Flock<File>,
    pub path: PathBuf,
}

impl Own {
    /// Writes down what runs.
    pub fn write(&mut self, agent: u32, log: &Path) -> Result<()> {
        let text = json!({"demo": std::process::id(), "agent": agent, "log": log.display().to_string()}).to_string();
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes()).with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Who said what is to become of an earlier demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `-take-over`
    TakeOver,
    /// Somebody who can be asked.
    Ask,
    /// Nobody.
    Leave,
}

impl Wish {
    pub fn of(flags: &[&str]) -> Wish {
        match (flags.contains(&"take-over"), std::io::stdin().is_terminal()) {
            (true, _) => Wish::TakeOver,
            (false, true) => Wish::Ask,
            (false, false) => Wish::Leave,
        }
    }
}

/// Where the demo on `port` is written down: in a folder of this user's, for every checkout.
fn record(port: u16) -> Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let runtime = var("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir());
    let home = || var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    let folder = runtime.or_else(home).unwrap_or_else(xtask_start::target).join("tarpan");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder.join(format!("demo-{port}.json")))
}

/// Makes room on `port`, as far as it is ours to make, and takes the record. Errors: an earlier demo that is to stay, or somebody else's
/// program on the port.
pub fn make_room(port: u16, wish: Wish) -> Result<Own> {
    let path = record(port)?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.with_context(|| format!("opening {}", path.display()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
    let known: Value = serde_json::from_str(&text).unwrap_or_default();
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => {
            if let Some(agent) = left_behind(&known) {
                consent(
                    wish,
                    &format!("An earlier demo of yours was killed, and its agent still runs (process {agent})"),
                )?;
                end_agent(agent, &known)?;
            }
            file
        }
        Err((file, _)) => {
            let demo = known["demo"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            let name = demo.map_or("it has just begun".to_owned(), |pid| format!("process {pid}"));
            consent(wish, &format!("An earlier demo of yours still runs ({name})"))?;
            end_demo(demo, file)?
        }
    };
    if !FixedPorts::are_held() && TcpListener::bind(("127.0.0.1", port)).is_err() {
        bail!(
            "port {port} is taken by a program that is no demo of yours (`ss -ltnp sport = :{port}` shows which). \
             End it, or choose another port: -port={}",
            port.saturating_add(1000)
        );
    }
    Ok(Own { file, path })
}

/// The agent of a demo that is gone, where it still runs: its output goes to the log that was written down.
fn left_behind(known: &Value) -> Option<i32> {
    let pid = i32::try_from(known["agent"].as_i64()?).ok()?;
    let log = known["log"].as_str()?;
    let output = std::fs::read_link(format!("/proc/{pid}/fd/1")).ok()?;
    (output == Path::new(log)).then_some(pid)
}

/// Errors: nobody agrees.
fn consent(wish: Wish, found: &str) -> Result<()> {
    match wish {
        Wish::TakeOver => {
            println!("{found}: ending it.");
            Ok(())
        }
        Wish::Leave => bail!("{found}. End it with Ctrl-C where it runs, or say -take-over"),
        Wish::Ask => {
            print!("{found}. End it and go on? [Y/n] ");
            std::io::stdout().flush()?;
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            match answer.trim() {
                "" | "y" | "Y" | "yes" => Ok(()),
                _ => bail!("the earlier demo stays"),
            }
        }
    }
}

fn end_agent(agent: i32, known: &Value) -> Result<()> {
    kill(Pid::from_raw(agent), Signal::SIGINT).context("ending the agent")?;
    eventually("the earlier agent to end", PATIENCE, || Ok(left_behind(known).is_none().then_some(())))?;
    if let Some(folder) = known["log"].as_str().and_then(|log| Path::new(log).parent()) {
        kill_all_of(folder);
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(())
}

/// Ends a demo that lives, which gives its lock back last.
fn end_demo(demo: Option<i32>, file: File) -> Result<Flock<File>> {
    let demo = demo.context("the earlier demo has not said yet what runs: try again in a moment")?;
    kill(Pid::from_raw(demo), Signal::SIGTERM).context("ending the earlier demo")?;
    let mut file = Some(file);
    eventually("the earlier demo to end", PATIENCE + Duration::from_secs(10), || {
        let Some(open) = file.take() else { return Ok(None) };
        match Flock::lock(open, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((open, _)) => {
                file = Some(open);
                Ok(None)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("agent.log");
        let output = File::create(&log).expect("a log");
        let mut child = std::process::Command::new("sleep").arg("600").stdout(output).spawn().expect("a process");
        let known = json!({"demo": 1, "agent": child.id(), "log": log.display().to_string()});
        assert_eq!(left_behind(&known), Some(child.id().cast_signed()));
        let other = json!({"agent": child.id(), "log": "/another/agent.log"});
        assert_eq!(left_behind(&other), None, "a process that took the number over");
        child.kill().expect("ended");
        child.wait().expect("gone");
        assert_eq!(left_behind(&known), None);
        assert_eq!(left_behind(&Value::Null), None);
    }

    #[test]
    fn nobody_is_ended_unasked() {
        let refused =
            consent(Wish::Leave, "An earlier demo of yours still runs (process 1)").expect_err("nobody agreed");
        assert!(refused.to_string().ends_with("or say -take-over"), "{refused}");
        assert!(consent(Wish::TakeOver, "It").is_ok());
        assert_eq!(Wish::of(&["take-over"]), Wish::TakeOver);
    }
}
