//! A job that came as JSON is a text to whoever reads it: on the command line, in the browser, and sent again.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tarpan_end2end::{Agent, Lab};

#[test]
fn a_job_sent_as_json_is_inspected_and_sent_again_as_hcl() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::dev(&lab)?;
    let script = "echo \"${NOMAD_META_say}\" ${HOME:-/}\nexec sleep 600\n";
    let job = json!({"Job": {"ID": "from-sdk", "Meta": {"say": "$${x} and \"quotes\""}, "TaskGroups": [{
        "Name": "g", "RestartPolicy": {"Attempts": 7}, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sh", "args": ["local/run.sh"]},
            "Templates": [{"EmbeddedTmpl": script, "DestPath": "local/run.sh"}],
            "Resources": {"CPU": 20, "MemoryMB": 32}
        }]
    }]}});
    let file = lab.file("from-sdk.json", &job.to_string())?.display().to_string();
    agent.ok(&["job", "run", "-json", &file])?;
    agent.wait_alloc("from-sdk", "running")?;

    let text = agent.ok(&["job", "inspect", "-hcl", "from-sdk"])?;
    ensure!(text.starts_with("job \"from-sdk\" {"), "{text}");
    ensure!(
        text.contains("attempts = 7") && text.contains("<<EOF\necho \"${NOMAD_META_say}\" $${HOME:-/}\n"),
        "{text}"
    );
    ensure!(!text.contains("ModifyIndex") && !text.contains("kill_timeout"), "nothing but what was said: {text}");

    let again = lab.file("again.nomad.hcl", &text)?.display().to_string();
    let plan = agent.run(&["job", "plan", &again])?;
    ensure!(plan.code == 0 && !plan.stdout.contains("+/-"), "nothing would change: {}", plan.text());
    ensure!(agent.run(&["fmt", "-check", &again])?.code == 0, "it is laid out as fmt would");

    let page =
        ureq::get(format!("{}/ui/jobs/from-sdk?tab=definition", agent.addr)).call()?.body_mut().read_to_string()?;
    let code = page.split("<pre").nth(1).context("a text")?;
    ensure!(
        code.contains("job &quot;from-sdk&quot; {") || code.contains("job \"from-sdk\" {"),
        "HCL and not JSON: {code}"
    );
    Ok(())
}
