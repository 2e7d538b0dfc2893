//! Deployments: the block, the table of what was deployed, the list.

use tarpan_api::wire::Deployment;

use super::time::stamp;
use super::{Table, block, short, title};

/// `ID … Description`.
pub fn heading(d: &Deployment, verbose: bool) -> String {
    block(&[
        ("ID", short(&d.id, verbose).to_owned()),
        ("Job ID", d.job_id.clone()),
        ("Job Version", d.job_version.to_string()),
        ("Status", d.status.clone()),
        ("Description", d.status_description.clone()),
    ])
}

/// Block and table, as `deployment status` shows them.
pub fn whole(d: &Deployment, verbose: bool) -> String {
    let mut text = heading(d, verbose);
    if !d.task_groups.is_empty() {
        text.push('\n');
        text.push_str(&title("Deployed"));
        text.push_str(&groups(d));
    }
    text
}

/// A row a group; columns that no group uses are left out.
pub fn groups(d: &Deployment) -> String {
    let states = || d.task_groups.values();
    let reverts = states().any(|s| s.auto_revert);
    let canaries = states().any(|s| s.desired_canaries > 0);
    let promotes = canaries;
    let mut heading = vec!["Task Group"];
    heading.extend(reverts.then_some("Auto Revert"));
    heading.extend(promotes.then_some("Promoted"));
    heading.push("Desired");
    heading.extend(canaries.then_some("Canaries"));
    heading.extend(["Placed", "Healthy", "Unhealthy", "Progress Deadline"]);
    let mut table = Table::new(heading);
    for (name, s) in &d.task_groups {
        let mut row = vec![name.clone()];
        row.extend(reverts.then(|| s.auto_revert.to_string()));
        row.extend(promotes.then(|| if s.desired_canaries > 0 { s.promoted.to_string() } else { "N/A".to_owned() }));
        row.push(s.desired_total.to_string());
        row.extend(canaries.then(|| s.desired_canaries.to_string()));
        row.extend([
            s.placed_allocs.to_string(),
            s.healthy_allocs.to_string(),
            s.unhealthy_allocs.to_string(),
            stamp(s.require_progress_by.0),
        ]);
        table.row(row);
    }
    table.render()
}

/// The list of `deployment list` and `job deployments`.
pub fn table(deployments: &[Deployment], verbose: bool) -> String {
    if deployments.is_empty() {
        return "No deployments found".to_owned();
    }
    let mut table = Table::new(["ID", "Job ID", "Job Version", "Status", "Description"]);
    for d in deployments {
        let version = d.job_version.to_string();
        table.row([short(&d.id, verbose), &d.job_id, &version, &d.status, &d.status_description]);
    }
    table.render()
}

/// Nothing more will happen to it.
pub fn is_terminal(d: &Deployment) -> bool {
    matches!(d.status.as_str(), "successful" | "failed" | "cancelled" | "blocked" | "unblocking")
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::DeploymentState;

    use super::*;

    #[test]
    fn columns_follow_the_groups() {
        let mut d = Deployment {
            id: "0a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            job_id: "web".to_owned(),
            status: "running".to_owned(),
            status_description: "Deployment is running".to_owned(),
            ..Deployment::default()
        };
        d.task_groups.insert("g".to_owned(), DeploymentState { desired_total: 2, ..DeploymentState::default() });
        insta::assert_snapshot!(whole(&d, false), @r"
        ID          = 0a1b2c3d
        Job ID      = web
        Job Version = 0
        Status      = running
        Description = Deployment is running

        Deployed
        Task Group  Desired  Placed  Healthy  Unhealthy  Progress Deadline
        g           2        0       0        0          N/A
        ");
        d.task_groups.insert("h".to_owned(), DeploymentState { desired_canaries: 1, ..DeploymentState::default() });
        insta::assert_snapshot!(groups(&d), @r"
        Task Group  Promoted  Desired  Canaries  Placed  Healthy  Unhealthy  Progress Deadline
        g           N/A       2        0         0       0        0          N/A
        h           false     0        1         0       0        0          N/A
        ");
    }
}
