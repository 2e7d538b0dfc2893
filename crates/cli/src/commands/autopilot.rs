//! `operator autopilot get-config`, `operator autopilot health`: how servers look after each other.

use serde_json::Value;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Format, Table};

#[derive(Debug, clap::Args)]
pub struct GetConfig {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for GetConfig {
    const PATH: &'static str = "operator autopilot get-config";
    const ABOUT: &'static str = "Shows by which rules servers look after each other.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let config = client.autopilot_configuration().await.doing("Error querying Autopilot configuration")?.value;
        if self.format.asked() {
            return self.format.print(&config);
        }
        for key in [
            "CleanupDeadServers",
            "LastContactThreshold",
            "MaxTrailingLogs",
            "MinQuorum",
            "ServerStabilizationTime",
            "EnableRedundancyZones",
            "DisableUpgradeMigration",
            "EnableCustomUpgrades",
        ] {
            println!("{key} = {}", plain(&config[key]));
        }
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Health {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the answer of the API as JSON.
    #[arg(long)]
    json: bool,
    args: Vec<String>,
}

impl Command for Health {
    const PATH: &'static str = "operator autopilot health";
    const ABOUT: &'static str = "Shows how the servers are, one by one.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let health: Value = match client.autopilot_health().await {
            // Where the servers are not well the answer says so, and is one all the same.
            Err(tarpan_api::Error::Status { code: 429, message }) => {
                serde_json::from_str(&message).map_err(|e| Fail::new(format!("Error reading the answer: {e}")))?
            }
            answer => answer.doing("Error querying Autopilot health")?.value,
        };
        if self.json {
            return Format { json: true, template: None }.print(&health);
        }
        print!("{}", text(&health));
        Ok(0)
    }
}

fn text(health: &Value) -> String {
    let mut out = format!(
        "Healthy: {}\nFailureTolerance: {}\nLeader: {}\nVoters:\n",
        plain(&health["Healthy"]),
        plain(&health["FailureTolerance"]),
        plain(&health["Leader"])
    );
    for voter in health["Voters"].as_array().into_iter().flatten() {
        out.push_str(&format!("\t{}\n", plain(voter)));
    }
    let columns = [
        "ID",
        "Name",
        "Address",
        "SerfStatus",
        "Version",
        "Leader",
        "Voter",
        "Healthy",
        "LastContact",
        "LastTerm",
        "LastIndex",
        "StableSince",
    ];
    let mut table = Table::new(columns);
    for server in health["Servers"].as_array().into_iter().flatten() {
        table.row(columns.map(|key| plain(&server[key])));
    }
    out.push_str(&format!("Servers:\n{}\n", table.render()));
    out
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_stand_below_the_voters() {
        let health = serde_json::json!({
            "Healthy": true, "FailureTolerance": 0, "Leader": "a", "Voters": ["a"],
            "Servers": [{"ID": "a", "Name": "one.global", "Healthy": true, "LastTerm": 2}],
        });
        let text = text(&health);
        assert!(
            text.starts_with("Healthy: true\nFailureTolerance: 0\nLeader: a\nVoters:\n\ta\nServers:\nID  Name"),
            "{text}"
        );
        assert!(text.lines().last().is_some_and(|line| line.starts_with("a   one.global")), "{text}");
    }
}
