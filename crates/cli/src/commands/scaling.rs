//! `scaling policy list`, `scaling policy info`: the `scaling` blocks of groups, as an autoscaler sees them.

use tarpan_api::wire::{ScalingPolicy, ScalingPolicyListStub};
use tarpan_api::{Client, Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup::uuid_prefix;
use crate::output::{Format, Table, block, json, short};

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// Only policies of this job.
    #[arg(long, value_name = "job")]
    job: Option<String>,
    /// Only policies of this type.
    #[arg(long = "type", value_name = "type")]
    type_: Option<String>,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "scaling policy list";
    const ABOUT: &'static str = "Lists scaling policies.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let mut query = Query::new();
        for (name, value) in [("job", &self.job), ("type", &self.type_)] {
            if let Some(value) = value {
                query = query.with(name, value);
            }
        }
        if self.format.asked() {
            let all = calls::scaling_policies(&query);
            return self.format.print_answer(&client, all, "Error listing scaling policies").await;
        }
        let found = policies(&client, &query).await?;
        match found.is_empty() {
            true => println!("No policies found"),
            false => println!("{}", table(&found, self.verbose)),
        }
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Info {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "scaling policy info";
    const USAGE: &'static str = "<policy_id>";
    const ABOUT: &'static str = "Shows a scaling policy.";

    async fn run(self) -> Outcome {
        let [word] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <policy_id>"));
        };
        let client = self.client.client()?;
        let found = policies(&client, &Query::new().prefix(uuid_prefix(word)?)).await?;
        let stub = match found.as_slice() {
            [] => return Err(Fail::new(format!("No scaling policies with prefix or id {word:?} found"))),
            [one] => one,
            many => {
                let list = table(many, self.verbose);
                return Err(Fail::new(format!("Prefix matched multiple scaling policies\n\n{list}")));
            }
        };
        let namespace = stub.target.get("Namespace").map_or("default", String::as_str);
        let call = calls::scaling_policy(&Query::in_namespace(namespace), &stub.id);
        if self.format.asked() {
            return self.format.print_answer(&client, call, "Error querying scaling policy").await;
        }
        let policy = client.call(&call).await.doing("Error querying scaling policy")?.value;
        println!("{}", text(&policy, self.verbose));
        Ok(0)
    }
}

async fn policies(client: &Client, query: &Query) -> Result<Vec<ScalingPolicyListStub>, Fail> {
    Ok(client.scaling_policies(query).await.doing("Error listing scaling policies")?.value)
}

fn table(policies: &[ScalingPolicyListStub], verbose: bool) -> String {
    let mut table = Table::new(["ID", "Enabled", "Type", "Target"]);
    for policy in policies {
        let id = short(&policy.id, verbose).to_owned();
        table.row([id, policy.enabled.to_string(), policy.type_.clone(), target(policy)]);
    }
    table.render()
}

/// From the namespace down to the group.
fn target(policy: &ScalingPolicyListStub) -> String {
    let known = ["Namespace", "Job", "Group", "Task"];
    let place = |key: &str| known.iter().position(|k| *k == key).unwrap_or(known.len());
    let mut parts: Vec<(&String, &String)> = policy.target.iter().collect();
    parts.sort_by_key(|(key, _)| place(key));
    let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    parts.join(",")
}

fn text(policy: &ScalingPolicy, verbose: bool) -> String {
    let facts = block(&[
        ("ID", short(&policy.stub.id, verbose).to_owned()),
        ("Enabled", policy.stub.enabled.to_string()),
        ("Target", target(&policy.stub)),
        ("Min", policy.min.to_string()),
        ("Max", policy.max.to_string()),
    ]);
    let own = policy.policy.as_ref().filter(|own| !own.is_empty());
    let own = own.map_or("<empty>".to_owned(), |own| json::pretty(&serde_json::json!(own), 4));
    format!("{facts}\n\nPolicy:\n{own}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_in_words() {
        let target = [("Group", "a"), ("Job", "grow"), ("Namespace", "default")];
        let mut policy = ScalingPolicy { min: 1, max: 4, ..ScalingPolicy::default() };
        policy.stub.id = "0123456789".to_owned();
        policy.stub.enabled = true;
        policy.stub.target = target.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        insta::assert_snapshot!(text(&policy, false), @r"
        ID      = 01234567
        Enabled = true
        Target  = Namespace:default,Job:grow,Group:a
        Min     = 1
        Max     = 4

        Policy:
        <empty>
        ");
        policy.policy = Some([("cooldown".to_owned(), serde_json::json!("2m"))].into());
        assert!(text(&policy, true).ends_with("Policy:\n{\n    \"cooldown\": \"2m\"\n}"));
    }
}
