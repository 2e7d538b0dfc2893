//! `operator scheduler get-config`, `set-config`.

use serde_json::json;
use tarpan_api::calls;
use tarpan_api::wire::SchedulerConfiguration;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Format, block, sdk};

#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for Get {
    const PATH: &'static str = "operator scheduler get-config";
    const ABOUT: &'static str = "Shows the scheduler's configuration.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let doing = "Error querying scheduler configuration";
        if self.format.asked() {
            let call = calls::scheduler_configuration();
            return self.format.print_shaped(&client, call, sdk::scheduler, doing).await;
        }
        println!("{}", text(&client.scheduler_configuration().await.doing(doing)?.value.config));
        Ok(0)
    }
}

fn text(c: &SchedulerConfiguration) -> String {
    block(&[
        ("Scheduler Algorithm", c.scheduler_algorithm.clone()),
        ("Memory Oversubscription", c.memory_oversubscription.to_string()),
        ("Reject Job Registration", c.reject_job_registration.to_string()),
        ("Pause Eval Broker", c.pause_eval_broker.to_string()),
        ("Preemption System Scheduler", c.preemption.system.to_string()),
        ("Preemption Service Scheduler", c.preemption.service.to_string()),
        ("Preemption Batch Scheduler", c.preemption.batch.to_string()),
        ("Preemption SysBatch Scheduler", c.preemption.sysbatch.to_string()),
        ("Node Limit For Feasibility Checks", c.node_limit.to_string()),
        ("Modify Index", c.modify_index.to_string()),
    ])
}

#[derive(Debug, clap::Args)]
pub struct Set {
    #[command(flatten)]
    client: ClientFlags,
    /// Change only when the configuration's modify index is this one.
    #[arg(long, value_name = "index")]
    check_index: Option<u64>,
    /// binpack or spread.
    #[arg(long, value_name = "name")]
    scheduler_algorithm: Option<String>,
    /// Whether tasks may use more memory than they reserve.
    #[arg(long, value_name = "true|false")]
    memory_oversubscription: Option<bool>,
    /// Whether new jobs are refused.
    #[arg(long, value_name = "true|false")]
    reject_job_registration: Option<bool>,
    /// Whether evaluations wait.
    #[arg(long, value_name = "true|false")]
    pause_eval_broker: Option<bool>,
    /// Whether batch jobs may push out others.
    #[arg(long, value_name = "true|false")]
    preempt_batch_scheduler: Option<bool>,
    /// Whether service jobs may push out others.
    #[arg(long, value_name = "true|false")]
    preempt_service_scheduler: Option<bool>,
    /// Whether sysbatch jobs may push out others.
    #[arg(long, value_name = "true|false")]
    preempt_sysbatch_scheduler: Option<bool>,
    /// Whether system jobs may push out others.
    #[arg(long, value_name = "true|false")]
    preempt_system_scheduler: Option<bool>,
    /// How many nodes are looked at for a placement; 0: as many as is usual.
    #[arg(long, value_name = "number")]
    node_limit_for_feasibility_checks: Option<u64>,
    args: Vec<String>,
}

impl Command for Set {
    const PATH: &'static str = "operator scheduler set-config";
    const ABOUT: &'static str = "Changes the scheduler's configuration; what is not named stays.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let doing = "Error querying scheduler configuration";
        let mut c = client.scheduler_configuration().await.doing(doing)?.value.config;
        let set = |target: &mut bool, value: Option<bool>| *target = value.unwrap_or(*target);
        c.scheduler_algorithm = self.scheduler_algorithm.clone().unwrap_or(c.scheduler_algorithm);
        set(&mut c.memory_oversubscription, self.memory_oversubscription);
        set(&mut c.reject_job_registration, self.reject_job_registration);
        set(&mut c.pause_eval_broker, self.pause_eval_broker);
        set(&mut c.preemption.batch, self.preempt_batch_scheduler);
        set(&mut c.preemption.service, self.preempt_service_scheduler);
        set(&mut c.preemption.sysbatch, self.preempt_sysbatch_scheduler);
        set(&mut c.preemption.system, self.preempt_system_scheduler);
        c.node_limit = self.node_limit_for_feasibility_checks.unwrap_or(c.node_limit);
        let doing = "Error setting scheduler configuration";
        let answer = client.set_scheduler_configuration(&c, self.check_index).await.doing(doing)?.value;
        if answer.get("Updated") == Some(&json!(false)) && self.check_index.is_some() {
            return Err(Fail::new("Scheduler configuration could not be atomically updated, please try again"));
        }
        println!("Scheduler configuration updated!");
        Ok(0)
    }
}
