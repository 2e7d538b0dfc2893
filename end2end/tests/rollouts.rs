//! Updates that leave tasks running: each is a deployment of its own, and succeeds.

use anyhow::{Context, Result, ensure};
use tarpan_api::wire::Deployment;
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::{Agent, Lab, eventually};

const JOB: &str = r#"
variable "kill_timeout" { default = "5s" }
variable "canary" { default = 0 }
job "web" {
  TYPE
  update {
    canary           = var.canary
    auto_promote     = var.canary > 0
    auto_revert      = true
    min_healthy_time = "1s"
    healthy_deadline = "10s"
    progress_deadline = "30s"
    health_check     = "task_states"
  }
  group "g" {
    COUNT
    task "t" {
      driver       = "raw_exec"
      kill_timeout = var.kill_timeout
      config {
        command = "sleep"
        args    = ["300"]
      }
      resources {
        cpu    = 20
        memory = 20
      }
    }
  }
}
"#;

/// The deployment of this version, once it is over.
fn deployment(agent: &Agent, version: u64) -> Result<Deployment> {
    eventually(&format!("the deployment of version {version} to end"), PATIENCE, || {
        let list = agent.ask(&calls::job_deployments(&Query::new(), "web", false))?;
        Ok(list.into_iter().find(|done| done.job_version == version && done.status != "running"))
    })
    .with_context(|| agent.run(&["job", "status", "web"]).map(|o| o.text()).unwrap_or_default())
}

fn successful(agent: &Agent, version: u64, total: i64) -> Result<()> {
    let done = deployment(agent, version)?;
    let group = done.task_groups.get("g").context("the group")?;
    ensure!(done.status == "successful" && group.healthy_allocs == total, "{done:#?}");
    ensure!(group.unhealthy_allocs == 0, "{done:#?}");
    ensure!(agent.ask(&calls::job(&Query::new(), "web"))?.version == Some(version), "it was rolled back");
    Ok(())
}

/// Ids of what runs; equal as long as nothing was replaced.
fn running(agent: &Agent) -> Result<Vec<String>> {
    let running = agent.allocs("web")?.into_iter().filter(|alloc| alloc.client_status == "running");
    let mut ids: Vec<String> = running.map(|alloc| alloc.id).collect();
    ids.sort();
    Ok(ids)
}

#[test]
fn what_changes_in_place_becomes_healthy_again() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let file = lab.file("web.nomad.hcl", &JOB.replace("TYPE", "").replace("COUNT", "count = 2"))?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    successful(&agent, 0, 2)?;
    let first = running(&agent)?;

    agent.ok(&["job", "run", "-detach", "-var", "kill_timeout=7s", &file])?;
    successful(&agent, 1, 2)?;
    ensure!(running(&agent)? == first, "they go on running");

    agent.ok(&["job", "scale", "-detach", "web", "g", "3"])?;
    successful(&agent, 2, 3)?;
    ensure!(first.iter().all(|id| running(&agent).is_ok_and(|now| now.contains(id))), "the first two go on running");

    agent.ok(&["job", "revert", "-detach", "web", "1"])?;
    successful(&agent, 3, 2)
}

#[test]
fn a_promoted_canary_is_updated_in_place_like_the_others() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let file = lab.file("web.nomad.hcl", &JOB.replace("TYPE", "").replace("COUNT", "count = 2"))?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    successful(&agent, 0, 2)?;
    let other = std::fs::read_to_string(&file)?.replace("\"300\"", "\"301\"");
    let other = lab.file("other.nomad.hcl", &other)?.display().to_string();
    agent.ok(&["job", "run", "-detach", "-var", "canary=1", &other])?;
    successful(&agent, 1, 2)?;
    let promoted = running(&agent)?;
    agent.ok(&["job", "run", "-detach", "-var", "canary=1", "-var", "kill_timeout=7s", &other])?;
    successful(&agent, 2, 2)?;
    ensure!(running(&agent)? == promoted, "they go on running");
    Ok(())
}

#[test]
fn a_system_job_changes_in_place_too() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let text = JOB.replace("TYPE", "type = \"system\"").replace("COUNT", "");
    let file = lab.file("web.nomad.hcl", &text)?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    successful(&agent, 0, 1)?;
    agent.ok(&["job", "run", "-detach", "-var", "kill_timeout=7s", &file])?;
    successful(&agent, 1, 1)
}
