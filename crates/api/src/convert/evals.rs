//! Evaluations.

use tarpan_model::Evaluation;

use super::text;
use crate::timestamp::Timestamp;
use crate::wire;

pub fn evaluation(row: &Evaluation) -> wire::Evaluation {
    wire::Evaluation {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        priority: row.priority,
        type_: row.type_.to_string(),
        triggered_by: row.triggered_by.to_string(),
        job_id: row.job_id.to_string(),
        job_modify_index: row.job_modify_index,
        node_id: text(row.node_id),
        node_modify_index: row.node_modify_index,
        deployment_id: text(row.deployment_id),
        status: row.status.to_string(),
        status_description: row.status_description.to_string(),
        wait: row.wait,
        wait_until: Timestamp(row.wait_until),
        next_eval: text(row.next_eval),
        previous_eval: text(row.previous_eval),
        blocked_eval: text(row.blocked_eval),
        related_evals: Vec::new(),
        failed_tg_allocs: row.failed_tg_allocs.iter().map(|(g, m)| (g.to_string(), (**m).clone())).collect(),
        plan_annotations: row.plan_annotations.as_deref().map(plan_annotations),
        class_eligibility: row.class_eligibility.iter().map(|(class, yes)| (class.to_string(), *yes)).collect(),
        quota_limit_reached: String::new(),
        missing_non_node_resources: Vec::new(),
        escaped_computed_class: row.escaped_computed_class,
        annotate_plan: row.annotate_plan,
        queued_allocations: row
            .queued_allocations
            .iter()
            .map(|(group, n)| (group.to_string(), i64::try_from(*n).unwrap_or(i64::MAX)))
            .collect(),
        leader_acl: String::new(),
        snapshot_index: row.snapshot_index,
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
        clients: None,
    }
}

/// Counts by group; what would be evicted is known to the dry run only.
pub fn plan_annotations(row: &tarpan_model::plan::PlanAnnotations) -> wire::PlanAnnotations {
    wire::PlanAnnotations {
        groups: row.groups.iter().map(|(group, updates)| (group.to_string(), *updates)).collect(),
        preempted: Vec::new(),
    }
}

pub fn evaluation_stub(row: &Evaluation) -> wire::EvaluationStub {
    wire::EvaluationStub {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        priority: row.priority,
        type_: row.type_.to_string(),
        triggered_by: row.triggered_by.to_string(),
        job_id: row.job_id.to_string(),
        node_id: text(row.node_id),
        deployment_id: text(row.deployment_id),
        status: row.status.to_string(),
        status_description: row.status_description.to_string(),
        wait_until: Timestamp(row.wait_until),
        next_eval: text(row.next_eval),
        previous_eval: text(row.previous_eval),
        blocked_eval: text(row.blocked_eval),
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
    }
}
