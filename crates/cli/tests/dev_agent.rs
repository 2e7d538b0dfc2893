//! The real binary: a dev agent on free ports, and the commands a person types against it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A dev agent that ends with the test.
struct Dev {
    child: Child,
    address: String,
    work: tempfile::TempDir,
}

impl Dev {
    fn start() -> Dev {
        let work = tempfile::tempdir().expect("a temporary directory");
        let config = work.path().join("agent.hcl");
        let text = format!(
            "name = \"test-node\"\ndata_dir = \"{}\"\nports {{ http = 0 rpc = 0 serf = 0 }}\nlog_level = \"WARN\"\n",
            work.path().join("data").display()
        );
        std::fs::write(&config, text).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tarpan"))
            .args(["agent", "-dev", "-config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut address = String::new();
        for line in lines.by_ref() {
            let line = line.expect("text");
            if let Some((_, rest)) = line.split_once("Advertise Addrs: HTTP: ") {
                address = format!("http://{}", rest.split(';').next().unwrap_or_default());
            }
            if line.contains("Agent started") {
                break;
            }
        }
        assert!(!address.is_empty(), "the agent says where it answers");
        // The pipe has to stay open, or the agent's log would break.
        std::thread::spawn(move || lines.for_each(drop));
        Dev { child, address, work }
    }

    /// Runs a command; gives its exit code and everything it printed.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tarpan"))
            .args(words)
            .current_dir(self.work.path())
            .env("NOMAD_ADDR", &self.address)
            .env_remove("NOMAD_NAMESPACE")
            .env_remove("NOMAD_TOKEN")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let (code, text) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {text}");
        text
    }

    /// Repeats a command until what it prints holds `wanted`.
    #[track_caller]
    fn until(&self, words: &[&str], wanted: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let (_, text) = self.run(words);
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < end, "{words:?} never said {wanted:?}: {text}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.work.path().join(name), text).expect("written");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVICE: &str = r#"
job "hello" {
  group "g" {
    count = 2
    update {
      min_healthy_time = "0s"
      health_check     = "task_states"
    }
    task "talk" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo to out $NOMAD_ALLOC_INDEX; echo to err >&2; sleep 600"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"#;

#[test]
fn a_service_runs_is_seen_and_stops() {
    let dev = Dev::start();
    dev.until(&["node", "status"], "ready");
    dev.file("hello.nomad.hcl", SERVICE);

    let (code, plan) = dev.run(&["job", "plan", "hello.nomad.hcl"]);
    assert_eq!(code, 1, "{plan}");
    assert!(plan.contains("+ Task Group: \"g\" (2 create)"), "{plan}");
    assert!(plan.contains("- All tasks successfully allocated."), "{plan}");

    let run = dev.ok(&["job", "run", "hello.nomad.hcl"]);
    assert!(run.contains("Evaluation triggered by job \"hello\""), "{run}");
    assert!(run.contains("finished with status \"complete\""), "{run}");
    assert!(run.contains("Deployment completed successfully"), "{run}");

    let list = dev.ok(&["status"]);
    assert!(list.contains("hello  service  50        running"), "{list}");
    let status = dev.ok(&["job", "status", "hello"]);
    assert!(status.contains("g           0       0         2        0"), "{status}");

    let allocs = dev.ok(&["job", "allocs", "hello"]);
    let first = allocs.lines().nth(1).and_then(|l| l.split_whitespace().next()).expect("an allocation").to_owned();
    let out = dev.until(&["alloc", "logs", &first], "to out");
    assert!(!out.contains("to err"), "{out}");
    dev.until(&["alloc", "logs", "-stderr", &first], "to err");
    let one = dev.ok(&["alloc", "status", &first]);
    assert!(one.contains("Task \"talk\" is \"running\""), "{one}");
    assert!(one.contains("Task started by client"), "{one}");

    dev.ok(&["job", "stop", "-purge", "hello"]);
    dev.until(&["job", "status"], "No running jobs");
}

#[test]
fn what_does_not_fit_says_why() {
    let dev = Dev::start();
    dev.until(&["node", "status"], "ready");
    dev.file("big.nomad.hcl", &SERVICE.replace("memory = 16", "memory = 90000000"));
    let (code, plan) = dev.run(&["job", "plan", "big.nomad.hcl"]);
    assert_eq!(code, 1, "{plan}");
    assert!(plan.contains("Dimension \"memory\" exhausted on 1 nodes"), "{plan}");
    let (code, run) = dev.run(&["job", "run", "big.nomad.hcl"]);
    assert_eq!(code, 2, "{run}");
    assert!(run.contains("failed to place"), "{run}");
    assert!(run.contains("90000000 MB asked"), "{run}");
    let status = dev.ok(&["job", "status", "hello"]);
    assert!(status.contains("Placement Failure"), "{status}");
}

const ACTIONS: &str = r#"
job "life" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
      action "hello" {
        command = "/bin/echo"
        args    = ["action", "ran in"]
      }
      action "fail" {
        command = "/bin/sh"
        args    = ["-c", "echo $NOMAD_TASK_NAME; exit 7"]
      }
    }
  }
}
"#;

#[test]
fn an_action_runs_in_its_task() {
    let dev = Dev::start();
    dev.until(&["node", "status"], "ready");
    dev.file("life.nomad.hcl", ACTIONS);
    dev.ok(&["job", "run", "-detach", "life.nomad.hcl"]);
    dev.until(&["job", "status", "life"], "running  ");
    let ran = dev.until(&["action", "-job", "life", "-group", "g", "-task", "t", "hello"], "action ran in");
    assert_eq!(ran, "action ran in\n");
    let (code, text) = dev.run(&["job", "action", "-job", "life", "-group", "g", "fail"]);
    assert_eq!((code, text.as_str()), (7, "t\n"), "its own exit code, in the task's environment");
    let allocs = dev.ok(&["job", "allocs", "life"]);
    let first = allocs.lines().nth(1).and_then(|l| l.split_whitespace().next()).expect("an allocation").to_owned();
    assert_eq!(dev.ok(&["action", "-job", "life", "-alloc", &first, "hello"]), "action ran in\n");
    for (words, said) in [
        (&["-job", "life", "-group", "g", "nope"][..], "action \"nope\" not found"),
        (&["-job", "life", "-group", "h", "hello"], "no allocation of group \"h\" runs"),
        (&["-job", "life", "hello"], "A task group name is required"),
        (&["-group", "g", "hello"], "A job ID is required"),
    ] {
        let (code, text) = dev.run(&[&["job", "action"], words].concat());
        assert!(code == 1 && text.contains(said), "{words:?}: {text}");
    }
    dev.ok(&["job", "stop", "-purge", "life"]);
}

#[test]
fn the_first_job_runs_here_without_a_warning() {
    let dev = Dev::start();
    dev.until(&["node", "status"], "ready");
    let templates = dev.ok(&["job", "init", "-list-templates"]);
    assert!(templates.contains("raw_exec/pytechco-redis"), "{templates}");
    dev.ok(&["job", "init", "-template", "raw_exec/pytechco-redis", "redis.nomad.hcl"]);
    let valid = dev.ok(&["job", "validate", "redis.nomad.hcl"]);
    assert_eq!(valid, "Job validation successful\n");
    let (code, text) = dev.run(&["job", "init", "-connect", "mesh.nomad.hcl"]);
    assert!(code == 1 && text.contains("which this version does not have"), "{text}");

    let written = dev.ok(&["job", "init"]);
    assert_eq!(written, "Example job file written to example.nomad.hcl\n");
    let docker = dev
        .ok(&["node", "status", "-self", "-verbose"])
        .lines()
        .any(|l| l.starts_with("docker") && l.contains("true      true"));
    if docker {
        return;
    }
    let run = dev.ok(&["job", "run", "-detach", "example.nomad.hcl"]);
    assert!(!run.contains("Warning"), "{run}");
    dev.until(&["job", "status", "example"], "running  ");
    dev.until(&["alloc", "logs", "-job", "example"], "tell on ");
    // Newest first.
    dev.ok(&["job", "stop", "-detach", "example"]);
    let evals = dev.until(&["eval", "list"], "job-deregister");
    let at = |word: &str| evals.find(word).unwrap_or_else(|| panic!("{word} in {evals}"));
    assert!(at("job-deregister") < at("job-register"), "{evals}");
}

#[test]
fn mistakes_have_their_own_exit_codes() {
    let binary = Path::new(env!("CARGO_BIN_EXE_tarpan"));
    let run = |words: &[&str]| {
        let output = Command::new(binary)
            .args(words)
            .env("NOMAD_ADDR", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    };
    let check = |words: &[&str], code: i32, part: &str| {
        let (got, text) = run(words);
        assert_eq!(got, code, "{words:?}: {text}");
        assert!(text.contains(part), "{words:?}: {text}");
    };
    check(&[], 127, "Commands:");
    check(&["nosuchcommand"], 127, "Commands:");
    check(&["job"], 1, "Subcommands:");
    check(&["var", "get", "x"], 1, "\"tarpan var get\" is not built yet, because this version has no variables");
    check(&["acl"], 1, "is not built yet");
    check(&["job", "-h"], 0, "Subcommands:");
    check(&["job", "plan", "-h"], 0, "Usage: tarpan job plan [options] <path>");
    check(&["job", "run"], 1, "This command takes one argument: <path>");
    check(&["job", "run", "-nope", "x.hcl"], 1, "flag provided but not defined: -nope");
    check(&["job", "run", "missing.nomad.hcl"], 1, "no such file or directory");
    check(&["job", "plan", "missing.nomad.hcl"], 255, "no such file or directory");
    check(&["status"], 1, "Error querying jobs");
    check(&["agent"], 1, "Must specify either server, client or dev mode");
    check(&["agent", "-dev", "-config", "/nonexistent.hcl"], 1, "/nonexistent.hcl");
}
