//! Tables of allocations.

use tarpan_api::wire::AllocListStub;
use tarpan_model::time::UnixNanos;

use super::time::{ago, ago_or_stamp};
use super::{Table, short};

/// The table of `job status` and `job allocs`; verbose adds evaluation and node name and shows everything in full.
pub fn table(stubs: &[AllocListStub], verbose: bool, now: UnixNanos) -> String {
    if stubs.is_empty() {
        return "No allocations placed".to_owned();
    }
    let heading: &[&str] = match verbose {
        true => &[
            "ID",
            "Eval ID",
            "Node ID",
            "Node Name",
            "Task Group",
            "Version",
            "Desired",
            "Status",
            "Created",
            "Modified",
        ],
        false => &["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"],
    };
    let mut table = Table::new(heading.iter().copied());
    for stub in stubs {
        let mut cells = vec![short(&stub.id, verbose).to_owned()];
        if verbose {
            cells.push(stub.eval_id.clone());
        }
        cells.push(short(&stub.node_id, verbose).to_owned());
        if verbose {
            cells.push(stub.node_name.clone());
        }
        cells.extend([
            stub.task_group.clone(),
            stub.job_version.to_string(),
            stub.desired_status.clone(),
            stub.client_status.clone(),
            ago_or_stamp(UnixNanos(stub.create_time), now, verbose),
            ago_or_stamp(UnixNanos(stub.modify_time), now, verbose),
        ]);
        table.row(cells);
    }
    table.render()
}

/// The table of `eval status`, whose ids may be long while its times stay short.
pub fn placed(stubs: &[AllocListStub], verbose: bool, now: UnixNanos) -> String {
    let heading = ["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"];
    let mut table = Table::new(heading);
    for stub in stubs {
        table.row([
            short(&stub.id, verbose).to_owned(),
            short(&stub.node_id, verbose).to_owned(),
            stub.task_group.clone(),
            stub.job_version.to_string(),
            stub.desired_status.clone(),
            stub.client_status.clone(),
            ago(UnixNanos(stub.create_time), now),
            ago(UnixNanos(stub.modify_time), now),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_table() {
        let second = 1_000_000_000;
        let stub = AllocListStub {
            id: "0a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            node_id: "ffeeddcc-0000-0000-0000-000000000000".to_owned(),
            task_group: "web".to_owned(),
            desired_status: "run".to_owned(),
            client_status: "running".to_owned(),
            create_time: 10 * second,
            modify_time: 70 * second,
            ..AllocListStub::default()
        };
        insta::assert_snapshot!(table(&[stub], false, UnixNanos(75 * second)), @r"
        ID        Node ID   Task Group  Version  Desired  Status   Created   Modified
        0a1b2c3d  ffeeddcc  web         0        run      running  1m5s ago  5s ago
        ");
    }
}
