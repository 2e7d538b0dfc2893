//! Programs beside the agent, the examples in Python, on the real binary: a driver through everything that may befall it, and devices.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tarpan_end2end::lab::{PATIENCE, mounts_below, pids, root};
use tarpan_end2end::pair::server_and_client_with;
use tarpan_end2end::{Agent, Lab, eventually};

/// Whether this machine can run the example; a sentence where it can't, and a failure where everything has to be there.
fn speaks_grpc() -> bool {
    let python = Command::new("/usr/bin/python3").args(["-c", "import grpc, google.protobuf"]).output();
    let there =
        python.is_ok_and(|out| out.status.success()) && Command::new("protoc").arg("--version").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "python3-grpcio, python3-protobuf or protobuf-compiler is missing"
    );
    if !there {
        eprintln!("skipped: python3-grpcio, python3-protobuf or protobuf-compiler is missing");
    }
    there
}

fn program(dir: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    std::fs::write(dir.join(name), text)?;
    Ok(std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(mode))?)
}

/// A `plugin_dir` with the example, and with programs that are of no use.
fn plugins(lab: &Lab) -> Result<PathBuf> {
    let dir = lab.path().canonicalize()?.join("plugins");
    std::fs::create_dir(&dir)?;
    for (example, mode) in [("processes", 0o755), ("listed", 0o755), ("tarpan_plugin.py", 0o644)] {
        program(&dir, example, &std::fs::read_to_string(root().join("examples/plugins").join(example))?, mode)?;
    }
    std::fs::copy(root().join("crates/rpc/proto/plugin.proto"), dir.join("plugin.proto"))?;
    program(&dir, "fails", "#!/bin/sh\necho no such engine >&2\nexit 3\n", 0o755)?;
    program(&dir, "open", "#!/bin/sh\nexec sleep 600\n", 0o757)?;
    Ok(dir)
}

fn job(config: &str) -> String {
    format!(
        "job \"own\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"processes\"\n      config {{\n{config}\n      }}\n      \
         resources {{\n        cpu = 50\n        memory = 64\n      }}\n    }}\n  }}\n}}\n"
    )
}

const COUNT: &str =
    "command = \"/bin/sh\"\nargs = [\"-c\", \"i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done\"]";

/// `line 1`, `line 2`, … without a gap; gives the last number.
fn unbroken(text: &str) -> Result<u64> {
    let mut last = 0;
    for line in text.lines() {
        let number: u64 = line.strip_prefix("line ").with_context(|| format!("not {line:?}"))?.parse()?;
        ensure!(number == last + 1, "after line {last} came {line:?}");
        last = number;
    }
    Ok(last)
}

fn goes_on(server: &Agent, id: &str, beyond: u64) -> Result<u64> {
    eventually("the log to go on without a gap", PATIENCE, || {
        Ok(Some(unbroken(&server.ok(&["alloc", "logs", id])?)?).filter(|last| *last > beyond))
    })
}

/// The shell that waits for the task's command, as the example wrote it down; its number of tasks has to be one.
fn waiter(lab: &Lab) -> Result<String> {
    let tasks = lab.path().join("client/client/plugins/processes/state/tasks");
    let dirs: Vec<PathBuf> = std::fs::read_dir(tasks)?.flatten().map(|entry| entry.path()).collect();
    ensure!(dirs.len() == 1, "there is one task: {dirs:?}");
    Ok(std::fs::read_to_string(dirs[0].join("pid"))?.trim().to_owned())
}

fn plugin(dir: &Path) -> Result<String> {
    let all = pids(&format!("{}/processes", dir.display()));
    ensure!(all.len() == 1, "there is one process of the plugin: {all:?}");
    Ok(all[0].clone())
}

/// What is left of the lab's tasks: processes that read output, and control groups.
fn left(lab: &Lab, id: &str) -> Vec<String> {
    let mut found = pids(&format!("__task-output {}", lab.path().display()));
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("*{id}*")]).output();
    found.extend(
        groups
            .map(|out| String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect::<Vec<_>>())
            .unwrap_or_default(),
    );
    found.extend(mounts_below(lab.path()).iter().map(|path| path.display().to_string()));
    found
}

#[test]
fn a_driver_of_ones_own_goes_through_everything() -> Result<()> {
    if !speaks_grpc() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let dir = plugins(&lab)?;
    let beside = format!("plugin_dir = \"{}\"\nplugin \"absent\" {{ config {{ }} }}\n", dir.display());
    let (server, mut client) = server_and_client_with(&lab, "", &beside)?;

    // What each program is worth, the node says.
    let says = |name: &str, expected: &str| {
        eventually(&format!("{name}: {expected}"), PATIENCE, || {
            let node = server.only_node()?;
            let info = node.drivers.get(name).with_context(|| format!("the node has {name}"))?;
            Ok(info.health_description.contains(expected).then_some(info.detected))
        })
    };
    ensure!(says("processes", "Healthy")?, "it is there");
    ensure!(!says("fails", "ended with exit status: 3")?, "it is not there");
    ensure!(!says("fails", "no such engine")?, "its last words are told");
    ensure!(!says("open", "can be written by everybody")?, "it is not run");
    ensure!(!says("absent", "there is no program \"absent\" in plugin_dir")?, "it is not there");
    ensure!(pids(&format!("{}/open", dir.display())).is_empty(), "what anybody can write was run");
    let attributes = server.only_node()?.attributes;
    ensure!(attributes.get("driver.processes.version").is_some_and(|version| version == "1.0"), "{attributes:?}");

    // A mistake in a job is named.
    let file = lab.file("job.nomad.hcl", &job("comand = \"/bin/true\""))?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    let expected = "config has a key \"comand\" that this driver does not know; it knows args, command";
    eventually("the mistake to be named", PATIENCE, || Ok(server.tasks_tail().contains(expected).then_some(())))
        .with_context(|| server.tasks_tail())?;
    server.ok(&["job", "stop", "-purge", "-detach", "own"])?;

    let file = lab.file("job.nomad.hcl", &job(COUNT))?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    let id = server.wait_alloc("own", "running").with_context(|| server.tasks_tail())?.id;
    let mut lines = goes_on(&server, &id, 5)?;
    let exec =
        || server.ok(&["alloc", "exec", "-i=false", "-t=false", &id, "/bin/sh", "-c", "echo $NOMAD_TASK_NAME; exit 0"]);
    ensure!(exec()? == "t\n", "a command runs with the task's environment");
    let (task, process) = (waiter(&lab)?, plugin(&dir)?);

    // The agent dies: plugin and task don't notice.
    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    lines = goes_on(&server, &id, lines + 10)?;
    ensure!((waiter(&lab)?, plugin(&dir)?) == (task.clone(), process.clone()), "neither was started anew");
    ensure!(exec()? == "t\n", "a command runs in a task that was found again");

    // The plugin dies: another one finds the task.
    kill(Pid::from_raw(process.parse()?), Signal::SIGKILL)?;
    let other = eventually("another plugin", PATIENCE, || Ok(plugin(&dir).ok().filter(|pid| *pid != process)))?;
    goes_on(&server, &id, lines + 10)?;
    eventually("a command in the task", PATIENCE, || Ok(exec().ok().filter(|said| said == "t\n")))?;
    ensure!(waiter(&lab)? == task && server.allocs("own")?.len() == 1, "nothing was started anew");

    server.ok(&["job", "stop", "-purge", "-detach", "own"])?;
    eventually("the task and all of it to be gone", PATIENCE, || {
        let gone = !Path::new(&format!("/proc/{task}")).exists() && waiter(&lab).is_err();
        Ok((gone && left(&lab, &id).is_empty()).then_some(()))
    })
    .with_context(|| format!("{:?}\n{}", left(&lab, &id), client.log_tail()))?;
    ensure!(plugin(&dir)? == other, "the plugin stays while its agent does");

    // Without tasks the plugin ends with the agent.
    client.stop()?;
    ensure!(plugin(&dir).is_err(), "the plugin outlives an agent for which it runs nothing");
    Ok(())
}

const DEVICES: &str = r#"[{"vendor": "acme", "type": "gpu", "name": "x1", "attributes": {"memory": "16 GiB"},
    "instances": {"a": {"node": "/dev/zero", "used": 3, "of": 16, "unit": "GiB"}, "b": {"node": "/dev/zero"}}}]"#;

/// Says which devices it has, and reads four bytes of each.
const USES: &str =
    "echo has $LISTED_DEVICES; for f in /dev/listed-*; do echo $f $(head -c 4 $f | od -An -tx1); done; sleep 600";

fn wanting(driver: &str, count: u32) -> String {
    format!(
        "job \"wanting\" {{\n  group \"g\" {{\n    count = {count}\n    task \"t\" {{\n      driver = \"{driver}\"\n      config {{\n        command = \"/bin/sh\"\n        \
         args = [\"-c\", \"{USES}\"]\n      }}\n      resources {{\n        cpu = 50\n        memory = 64\n        device \"acme/gpu\" {{\n          constraint {{\n            \
         attribute = \"$${{device.attr.memory}}\"\n            operator = \">\"\n            value = \"900 MB\"\n          }}\n        }}\n      }}\n    }}\n  }}\n}}\n"
    )
    .replace("$${", "${")
}

#[test]
fn devices_are_given_to_one_task_each() -> Result<()> {
    if !speaks_grpc() || !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let dir = plugins(&lab)?;
    let list = lab.file("devices.json", DEVICES)?;
    let beside = format!(
        "plugin_dir = \"{}\"\nplugin \"listed\" {{\n  config {{\n    file = \"{}\"\n  }}\n}}\n",
        dir.display(),
        list.display()
    );
    let (server, client) = server_and_client_with(&lab, "", &beside)?;
    let node = eventually("the node's devices", PATIENCE, || {
        let node = server.only_node()?;
        let healthy = node.node_resources.as_ref().is_some_and(|r| r.devices.iter().any(|d| d.instances.len() == 2));
        Ok(healthy.then_some(node))
    })
    .with_context(|| client.log_tail())?;
    ensure!(!node.drivers.contains_key("listed"), "what knows devices is no driver");

    // Two get one each, in a root of their own; for a third there is none.
    let file = lab.file("wanting.nomad.hcl", &wanting("exec", 3))?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    let ids = eventually("two that run", PATIENCE, || {
        let running = server.allocs("wanting")?.into_iter().filter(|a| a.client_status == "running");
        let ids: Vec<String> = running.map(|alloc| alloc.id).collect();
        Ok((ids.len() == 2).then_some(ids))
    })
    .with_context(|| server.tasks_tail())?;
    let mut said = Vec::new();
    for id in &ids {
        said.push(eventually("what it has", PATIENCE, || {
            Ok(Some(server.ok(&["alloc", "logs", id])?).filter(|text| text.lines().count() == 2))
        })?);
    }
    said.sort();
    ensure!(said == ["has a\n/dev/listed-a 00 00 00 00\n", "has b\n/dev/listed-b 00 00 00 00\n"], "{said:?}");
    let status = server.ok(&["job", "status", "wanting"])?;
    ensure!(status.contains("devices: no devices available"), "{status}");

    // Everybody is told.
    let shown = server.ok(&["node", "status", "-verbose", &node.id])?;
    ensure!(shown.contains("acme/gpu/x1[a]") && shown.contains("3 / 16 GiB"), "{shown}");
    let a = &ids[usize::from(!server.ok(&["alloc", "status", &ids[0]])?.contains("acme/gpu/x1  a"))];
    let shown = server.ok(&["alloc", "status", "-stats", a])?;
    ensure!(shown.contains("acme/gpu/x1  a") && shown.contains("Used   = 3 / 16 GiB"), "{shown}");

    // What is not there any more is not given: those that have it go on.
    lab.file("devices.json", "[]")?;
    eventually("the devices to be gone", PATIENCE, || {
        Ok(server.only_node()?.node_resources.is_some_and(|r| r.devices.is_empty()).then_some(()))
    })?;
    ensure!(server.allocs("wanting")?.iter().filter(|a| a.client_status == "running").count() == 2, "they go on");
    server.ok(&["job", "stop", "-purge", "-detach", "wanting"])?;
    let file = lab.file("wanting.nomad.hcl", &wanting("raw_exec", 1))?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    let status = eventually("why it can't be placed", PATIENCE, || {
        Ok(Some(server.ok(&["job", "status", "wanting"])?).filter(|text| text.contains("missing devices")))
    });
    ensure!(status.is_ok(), "{}", server.ok(&["job", "status", "wanting"])?);
    lab.file("devices.json", DEVICES)?;
    let id = server.wait_alloc("wanting", "running")?.id;
    let said = eventually("what it has", PATIENCE, || {
        Ok(Some(server.ok(&["alloc", "logs", &id])?).filter(|text| text.contains("has ")))
    })?;
    ensure!(said.starts_with("has a\n"), "{said}");
    server.ok(&["job", "stop", "-purge", "-detach", "wanting"])?;
    Ok(())
}
