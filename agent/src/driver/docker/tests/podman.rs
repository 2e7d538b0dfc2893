//! The same driver on Podman's socket, which speaks Docker's API. Without Podman a sentence and no more, unless
//! `TARPAN_TEST_PODMAN=require` is set.

use std::process::{Child, Stdio};

use super::*;

/// An engine of the test's own, with its own images and containers.
struct Podman {
    dir: tempfile::TempDir,
    service: Child,
}

impl Podman {
    async fn start() -> Option<Podman> {
        let there = Command::new("podman").arg("--version").output().is_ok_and(|out| out.status.success());
        let required = std::env::var("TARPAN_TEST_PODMAN").is_ok_and(|v| v == "require");
        assert!(there || !required, "TARPAN_TEST_PODMAN=require is set, and there is no podman");
        if !there {
            eprintln!("skipped: there is no podman here (apt-get install podman)");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let socket = format!("unix://{}", dir.path().join("podman.sock").display());
        let service = Podman::command(dir.path())
            .args(["system", "service", "--time", "0", &socket])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("podman starts");
        let podman = Podman { dir, service };
        let script = "mkdir -p bin tmp && cp $(command -v busybox) bin/busybox && for n in sh echo cat sleep id ls seq true; do ln -s busybox bin/$n; done && tar c bin tmp";
        let rootfs = tempfile::tempdir().expect("a directory");
        let tar = Command::new("sh").args(["-c", script]).current_dir(&rootfs).output().expect("sh runs");
        std::fs::write(rootfs.path().join("tar"), tar.stdout).expect("written");
        let name = format!("docker.io/{IMAGE}");
        let made = Podman::command(podman.dir.path()).arg("import").arg(rootfs.path().join("tar")).arg(&name).output();
        assert!(made.expect("podman runs").status.success(), "the image is made");
        let begun = std::time::Instant::now();
        while !podman.driver().fingerprint().await.healthy {
            assert!(begun.elapsed() < Duration::from_secs(30), "podman answers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(podman)
    }

    fn command(dir: &Path) -> Command {
        let mut command = Command::new("podman");
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(dir.join(place));
        }
        command.args(["--storage-driver", "vfs", "--events-backend", "file", "--cgroup-manager", "cgroupfs"]);
        command
    }

    fn driver(&self) -> DockerDriver {
        let endpoint = format!("unix://{}", self.dir.path().join("podman.sock").display());
        let plugin = json!({"endpoint": endpoint, "volumes": {"enabled": true}});
        DockerDriver::new(serde_json::from_value(plugin).expect("a plugin block"))
    }

    /// Podman gives containers the most that it may have of these itself, which not every machine lets it.
    fn place(&self, script: &str) -> Place {
        let config = json!({"image": format!("docker.io/{IMAGE}"), "command": "/bin/sh", "args": ["-c", script],
            "ulimit": {"nofile": "1024:2048", "nproc": "1024:2048"}});
        let mut place = Place::new(config);
        place.driver = self.driver();
        place
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
        let _ = Podman::command(self.dir.path()).args(["rm", "--all", "--force", "--time", "0"]).output();
    }
}

#[tokio::test]
async fn a_task_runs_on_podman_as_on_docker() {
    let Some(podman) = Podman::start().await else { return };
    let info = podman.driver().fingerprint().await;
    assert!(info.healthy && info.attributes.contains_key("driver.docker.version"), "{info:?}");
    // Lines within one second, of which Podman tells no more than the second.
    let place = podman.place("echo $GREETING; seq 1 200; echo oops >&2; echo x > /local/made; exit 3");
    assert_eq!(place.run().await.code, 3);
    let numbers: String = (1..=200).map(|n| format!("{n}\n")).collect();
    assert_eq!((place.log("stdout"), place.log("stderr")), (format!("hello\n{numbers}"), "oops\n".to_owned()));
    assert!(place.request.dirs.local.join("made").is_file());
    // Once more under the same name, after one that was left.
    let again = place.start().await.expect("starts");
    again.wait().await;
    place.run().await;
}

#[tokio::test]
async fn a_container_of_podman_is_found_again_and_its_log_has_no_gap() {
    use crate::driver::{ExecOutput, ExecRequest};
    let Some(podman) = Podman::start().await else { return };
    let place = podman.place("for i in $(seq 1 40); do echo line $i; sleep 0.05; done; exec sleep 60");
    let first = place.start().await.expect("starts");
    let begun = std::time::Instant::now();
    while !place.log("stdout").contains("line 5\n") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", place.log("stdout"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (saved, mark) = (first.save(), Mark::of("docker", &place.request));
    drop(first);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let again = podman.driver().recover(&saved).await.expect("found");
    let expected: String = (1..=40).map(|i| format!("line {i}\n")).collect();
    let begun = std::time::Instant::now();
    while place.log("stdout") != expected {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", place.log("stdout"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(again.usage().await.expect("figures").memory > 0);
    let request = ExecRequest { command: ["/bin/echo", "in"].map(str::to_owned).to_vec(), tty: false };
    let mut execution = again.exec(request).await.expect("runs");
    let mut text = String::new();
    while let Some(output) = execution.output().await {
        if let ExecOutput::Stdout(bytes) = output {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    assert_eq!(text, "in\n");
    assert!(place.driver.find(&mark).await.expect("looked").is_some());
    let seen = place.driver.survey(&spot(&place)).await.expect("looked");
    assert_eq!(seen.iter().map(|t| t.running).collect::<Vec<_>>(), [true]);
    again.stop("SIGTERM", Duration::from_millis(300)).await.expect("stopped");
    assert_ne!(again.wait().await.code, 0);
    again.destroy().await;
    assert!(place.driver.survey(&spot(&place)).await.expect("looked").is_empty());
}
