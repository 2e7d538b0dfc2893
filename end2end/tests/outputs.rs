//! What tasks wrote: of a stretch of time, and after their allocation was collected.

#![allow(clippy::disallowed_methods, reason = "no test here is async")]

use anyhow::{Result, ensure};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::pair::server_and_client_with;
use tarpan_end2end::{Agent, Lab, eventually};

const TALKS: &str = r#"
job "talks" {
  type = "batch"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo early; sleep 6; echo late; echo why >&2"]
      }
    }
  }
}
"#;

fn lines(agent: &Agent, args: &[&str]) -> Result<String> {
    Ok(agent.ok(&[&["alloc", "logs"], args].concat())?.lines().collect::<Vec<_>>().join(" "))
}

#[test]
fn output_is_asked_for_by_time_and_outlives_its_allocation() -> Result<()> {
    let lab = Lab::new()?;
    // One that has ended may stay, until there is another.
    let (agent, _client) = server_and_client_with(&lab, "gc_max_allocs = 1\n", "")?;
    let file = lab.file("talks.nomad.hcl", TALKS)?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    let id = agent.wait_alloc("talks", "complete")?.id;
    ensure!(lines(&agent, &[&id])? == "early late");
    // The pause lies between, wherever in it the moment is.
    eventually("a moment of the pause", PATIENCE, || {
        let (since, until) = (lines(&agent, &["-since", "4s", &id])?, lines(&agent, &["-until", "4s", &id])?);
        Ok((since == "late" && until == "early").then_some(()))
    })?;
    ensure!(lines(&agent, &["-since", "2100-01-01T00:00:00Z", &id])?.is_empty());
    ensure!(lines(&agent, &["-since", "1h", "-search", "a", &id])? == "early late");
    for (args, why) in [
        (
            vec!["-since", "soon", &*id],
            "since \"soon\" is no time: it is written as a duration before now, such as 10m",
        ),
        (vec!["-since", "1m", "-tail", &*id], "-tail, -n and -c don't go with it"),
        (vec!["-until", "1m", "-f", &*id], "-f doesn't go with it"),
    ] {
        let out = agent.run(&[&["alloc", "logs"], args.as_slice()].concat())?;
        ensure!(out.code == 1 && out.text().contains(why), "{args:?}: {}", out.text());
    }

    let next = lab.file("next.nomad.hcl", &TALKS.replace("talks", "next"))?.display().to_string();
    agent.ok(&["job", "run", "-detach", &next])?;
    eventually("the first to be collected", PATIENCE, || {
        Ok((agent.run(&["alloc", "fs", &id])?.code == 1).then_some(()))
    })?;
    let kept = lines(&agent, &[&id])?;
    ensure!(
        kept.starts_with("[the allocation was collected at ") && kept.ends_with("this output was kept] early late"),
        "{kept}"
    );
    ensure!(lines(&agent, &["-stderr", &id])?.ends_with(" why"));
    ensure!(lines(&agent, &["-search", "lat", &id])? == "late");
    ensure!(agent.run(&["alloc", "logs", "-f", "-stdout", &id])?.code == 0, "who follows is not kept waiting");
    Ok(())
}
