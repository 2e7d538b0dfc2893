//! A Docker daemon and the demo's images, made here: nothing is pulled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Lab, eventually};

/// Does a daemon answer?
pub fn answers() -> bool {
    Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|out| out.status.success())
}

/// A daemon for the tests: the machine's own, or one that was started here and ends with this value.
pub struct Daemon(Option<Child>);

impl Daemon {
    /// Uses the daemon that answers, or starts `dockerd` as root. `None` when the machine can't run Docker, with why.
    pub fn find_or_start() -> Result<std::result::Result<Daemon, String>> {
        if answers() {
            return Ok(Ok(Daemon(None)));
        }
        if !nix::unistd::geteuid().is_root() {
            return Ok(Err("no Docker daemon answers, and only root may start one".to_owned()));
        }
        let log_path = std::env::temp_dir().join("tarpan-dockerd.log");
        let log = fs::File::create(&log_path).with_context(|| format!("making {}", log_path.display()))?;
        let child = Command::new("dockerd").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("no Docker daemon answers, and dockerd can't be started: {error}"))),
        };
        let up = eventually("dockerd to answer", Duration::from_secs(60), || {
            if let Some(status) = child.try_wait()? {
                bail!("dockerd ended with {status}; see {}", log_path.display());
            }
            Ok(answers().then_some(()))
        });
        match up {
            Ok(()) => Ok(Ok(Daemon(Some(child)))),
            Err(error) => {
                let _ = child.kill();
                Ok(Err(format!("{error:#}")))
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// An engine of one test alone, in the namespaces of the thread that starts it. It ends with this value.
pub struct Engine {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Engine {
    /// With its files below `dir`, and its containers' control groups in `group`. `None` where the machine can't run one, with why.
    pub fn start(dir: &Path, group: &str) -> Result<std::result::Result<Engine, String>> {
        fs::create_dir_all(dir)?;
        let (socket, log) = (dir.join("sock"), dir.join("log"));
        let file = fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(dir.join("data")).arg("--exec-root").arg(dir.join("exec"));
        command.arg("--pidfile").arg(dir.join("pid")).arg("--cgroup-parent").arg(format!("/{group}"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("dockerd can't be started: {error}"))),
        };
        let mut engine = Engine { child, socket, log };
        let up = eventually("dockerd to answer", Duration::from_secs(60), || {
            if let Some(status) = engine.child.try_wait()? {
                bail!("dockerd ended with {status}");
            }
            engine.docker(&["version"]).map(Some)
        });
        Ok(match up {
            Ok(_) => Ok(engine),
            Err(error) => Err(format!("{error:#}: {}", engine.log_tail())),
        })
    }

    /// What drivers are told: `unix://…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What `docker ARGS` prints.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("docker");
        let out = command.env("DOCKER_HOST", self.endpoint()).args(args).stdin(Stdio::null()).output()?;
        if !out.status.success() {
            bail!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Makes an image of the machine's own busybox.
    pub fn busybox(&self, lab: &Lab, name: &str) -> Result<()> {
        let root = lab.path().join("busybox-rootfs");
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(root.join("tmp"))?;
        fs::copy("/bin/busybox", root.join("bin/busybox")).context("busybox-static is needed")?;
        for applet in ["sh", "sleep", "echo", "cat", "true", "false"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
        }
        let archive = root.with_extension("tar");
        run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg("."))?;
        self.docker(&["import", "--change", "ENV PATH=/bin", &archive.display().to_string(), name]).map(drop)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for id in self.docker(&["ps", "-aq"]).unwrap_or_default().lines() {
            let _ = self.docker(&["rm", "-f", id]);
        }
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// The images of the first demo, made from `ptc` and Debian's Redis (package `redis-tools`).
pub fn make_images(lab: &Lab) -> Result<()> {
    let rootfs = lab.path().join("ptc-rootfs");
    copy_program(&lab.ptc, &rootfs, "ptc")?;
    for (part, image) in [("web", "ptc-web"), ("setup", "ptc-setup"), ("employee", "ptc-employee")] {
        import(&rootfs, &format!("tarpan.example/{image}:1.0"), &format!("[\"/bin/ptc\",\"{part}\"]"))?;
    }
    let redis_root = lab.path().join("redis-rootfs");
    let redis = redis_program()?;
    copy_program(&redis, &redis_root, "redis-server")?;
    let entry = "[\"/bin/redis-server\",\"--protected-mode\",\"no\",\"--save\",\"\"]";
    import(&redis_root, "redis:7.0.7-alpine", entry)
}

/// The images of the second demo as archives in `folder`, not in the daemon: jobs load them.
pub fn save_archives(lab: &Lab, folder: &Path) -> Result<()> {
    let rootfs = lab.path().join("second-rootfs");
    copy_program(&lab.ptc, &rootfs, "ptc")?;
    for (part, image) in [("store", "bvc-db"), ("web", "tetris")] {
        let name = format!("tarpan.example/{image}:1.0");
        import(&rootfs, &name, &format!("[\"/bin/ptc\",\"{part}\"]"))?;
        let archive = folder.join(format!("{image}.tar"));
        docker(&["save", "-o", &archive.display().to_string(), &name])?;
        docker(&["rmi", &name])?;
    }
    Ok(())
}

/// An image of programs from this machine's `/bin`, with what they need, that runs what a task names.
pub fn make_image(lab: &Lab, programs: &[&str], name: &str) -> Result<()> {
    let rootfs = lab.path().join("programs-rootfs");
    for program in programs {
        copy_program(&Path::new("/bin").join(program), &rootfs, program)?;
    }
    import(&rootfs, name, "[]")
}

/// Debian's `redis-check-rdb` is the server's own program under another name, so that no service needs to be installed.
fn redis_program() -> Result<PathBuf> {
    ["/usr/bin/redis-server", "/usr/bin/redis-check-rdb"]
        .iter()
        .map(Path::new)
        .find(|p| p.exists())
        .map(Path::to_owned)
        .context("no redis-server here: apt-get install redis-tools")
}

/// Copies a program and the shared libraries it needs into `rootfs`.
fn copy_program(program: &Path, rootfs: &Path, name: &str) -> Result<()> {
    let place = |path: &Path| rootfs.join(path.strip_prefix("/").unwrap_or(path));
    for folder in ["bin", "tmp", "etc"] {
        fs::create_dir_all(rootfs.join(folder))?;
    }
    fs::copy(program, rootfs.join("bin").join(name)).with_context(|| format!("copying {}", program.display()))?;
    let out = Command::new("ldd").arg(program).output().context("running ldd")?;
    for word in String::from_utf8_lossy(&out.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
        let to = place(Path::new(word));
        fs::create_dir_all(to.parent().context("a library lies in a folder")?)?;
        fs::copy(word, &to).with_context(|| format!("copying {word}"))?;
    }
    Ok(())
}

/// Makes an image of one layer from a folder.
fn import(rootfs: &Path, name: &str, entrypoint: &str) -> Result<()> {
    let archive = rootfs.with_extension("tar");
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(rootfs).arg("."))?;
    let change = format!("ENTRYPOINT {entrypoint}");
    docker(&["import", "--change", &change, "--change", "ENV PATH=/bin", &archive.display().to_string(), name])
}

/// Runs `docker ARGS`; errors with what it printed.
pub fn docker(args: &[&str]) -> Result<()> {
    run(Command::new("docker").args(args))
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
