//! Mistakes and refusals, as a user meets them: where, what, why, and what would help.

use anyhow::{Context, Result, ensure};
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::{Agent, Lab, eventually};

fn sleeper(name: &str, memory: i64) -> String {
    format!(
        r#"
job "{name}" {{
  group "g" {{
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "/bin/sleep"
        args    = ["600"]
      }}
      resources {{
        cpu    = 20
        memory = {memory}
      }}
    }}
  }}
}}
"#
    )
}

#[test]
fn a_job_that_does_not_fit_says_why_and_starts_when_there_is_room() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let total = agent.only_node()?.node_resources.context("what the node has")?.memory.memory_mb;
    let filler = lab.file("filler.nomad.hcl", &sleeper("filler", total - 200))?.display().to_string();
    let wanting = lab.file("wanting.nomad.hcl", &sleeper("wanting", 512))?.display().to_string();
    agent.ok(&["job", "run", &filler])?;
    agent.wait_alloc("filler", "running")?;

    let plan = agent.run(&["job", "plan", &wanting])?;
    ensure!(plan.stdout.contains("memory") && plan.stdout.contains("512"), "the plan says why: {}", plan.text());
    agent.run(&["job", "run", "-detach", &wanting])?;
    let status = eventually("the reason in job status", PATIENCE, || {
        let out = agent.run(&["job", "status", "wanting"])?.text();
        Ok(out.contains("Placement Failure").then_some(out))
    })?;
    ensure!(status.contains("No allocations placed") && status.contains("Resources exhausted on 1 nodes"), "{status}");
    ensure!(status.contains("512"), "asked, free and total are said: {status}");
    let evals = agent.ask(&calls::job_evaluations(&Query::new(), "wanting"))?;
    let mut failures = evals.iter().flat_map(|eval| eval.failed_tg_allocs.values());
    ensure!(failures.any(|metric| !metric.dimension_exhausted.is_empty()), "{evals:#?}");
    let blocked = evals.iter().find(|eval| eval.status == "blocked").context("a blocked evaluation")?;
    let by_client = agent.ok(&["eval", "status", "-clients", &blocked.id])?;
    let line = by_client.lines().find(|l| l.contains("resources")).with_context(|| by_client.clone())?;
    ensure!(line.contains("memory") && line.contains("512"), "the client's own line: {line}");

    agent.ok(&["job", "stop", "-purge", "filler"])?;
    agent.wait_alloc("wanting", "running")?;
    Ok(())
}

#[test]
fn evaluations_that_are_over_are_deleted_by_hand() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let file = lab.file("short.nomad.hcl", &sleeper("short", 16))?.display().to_string();
    agent.ok(&["job", "run", &file])?;
    agent.ok(&["job", "stop", "-purge", "short"])?;
    let filter = "JobID == \"short\"";
    let refused = agent.run(&["eval", "delete", "-yes", "-filter", filter])?;
    ensure!(refused.code == 1 && refused.text().contains("eval broker must be paused"), "{}", refused.text());
    agent.ok(&["operator", "scheduler", "set-config", "-pause-eval-broker=true"])?;
    let evals = agent.ask(&calls::evaluations(&Query::new().filter(filter)))?;
    let asked = agent.run(&["eval", "delete", &evals[0].id[..8]])?;
    ensure!(asked.stdout.contains("Are you sure") && asked.stdout.contains("Cancelling"), "{}", asked.text());
    let done = agent.ok(&["eval", "delete", &evals[0].id])?;
    ensure!(done.contains("Successfully deleted 1 evaluation"), "{done}");
    agent.ok(&["eval", "delete", "-yes", "-filter", filter])?;
    ensure!(agent.ask(&calls::evaluations(&Query::new().filter(filter)))?.is_empty(), "all of them are gone");
    let nothing = agent.run(&["eval", "delete", "-yes", "-filter", filter])?;
    ensure!(nothing.code == 1 && nothing.text().contains("No evaluations match"), "{}", nothing.text());
    Ok(())
}

#[test]
fn five_mistakes_get_five_positions() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let text = r#"
job "wrong" {
  tipe = "service"
  group "g" {
    count = "many"
    task "t" {
      driver = "raw_exec"
      konfig {}
      kill_timeout = "5 parsecs"
      resources {
        cpu = [1]
      }
    }
  }
}
"#;
    let file = lab.file("wrong.nomad.hcl", text)?.display().to_string();
    for command in [["job", "validate"], ["job", "run"]] {
        let out = agent.run(&[&command[..], &[&file]].concat())?;
        ensure!(out.code == 1, "{}", out.text());
        for line in [3, 5, 8, 9, 11] {
            ensure!(
                out.text().contains(&format!("wrong.nomad.hcl:{line},")),
                "line {line} is not named:\n{}",
                out.text()
            );
        }
    }
    let file =
        lab.file("syntax.nomad.hcl", "job \"x\" {\n  group \"g\" {\n    count = = 3\n  }\n}\n")?.display().to_string();
    let out = agent.run(&["job", "validate", &file])?;
    ensure!(out.code == 1 && out.text().contains("syntax.nomad.hcl:3,"), "{}", out.text());
    Ok(())
}

#[test]
fn broken_rules_are_a_list_with_a_place_behind_each() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let text = r#"
job "two" {
  priority = 500
  group "g" {
    task "t" {
      driver = "raw_exec"
      resources {
        memory = 1
      }
    }
  }
}
"#;
    let file = lab.file("two.nomad.hcl", text)?.display().to_string();
    let out = agent.run(&["job", "validate", &file])?;
    ensure!(out.code == 1, "{}", out.text());
    let text = out.text();
    ensure!(text.starts_with("Job validation errors:\n2 errors occurred:\n"), "{text}");
    let bullets: Vec<&str> = text.lines().filter(|l| l.trim_start().starts_with("* ")).collect();
    let at = |line: &str| format!("two.nomad.hcl:{line},");
    for (rule, line) in [("priority must be between", "3"), ("minimum MemoryMB value is 10; got 1", "8")] {
        ensure!(bullets.iter().any(|b| b.contains(rule) && b.contains(&at(line))), "{rule}: {text}");
    }
    Ok(())
}

#[test]
fn a_task_that_cannot_start_says_why_in_its_events() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let text = sleeper("nothing", 10).replace("/bin/sleep", "/no/such/program");
    let file = lab.file("nothing.nomad.hcl", &text)?.display().to_string();
    agent.run(&["job", "run", "-detach", &file])?;
    let events = eventually("a driver failure", PATIENCE, || {
        let newest = agent.allocs("nothing")?.into_iter().next();
        let events = newest.and_then(|mut alloc| alloc.task_states.remove("t")).map(|state| state.events);
        Ok(events.filter(|events| events.iter().any(|event| event.type_ == "Driver Failure")))
    })?;
    let said = events.iter().any(|event| event.display_message.contains("/no/such/program"));
    ensure!(said, "{events:#?}");
    Ok(())
}
