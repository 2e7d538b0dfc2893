//! Answers as the field's SDK reads and prints them: programs read `-json`, and templates name fields that the API leaves out.

use serde_json::{Map, Value, json};

/// Applies `shape` to a value, or to each of a list.
pub fn each(mut value: Value, shape: fn(&mut Map<String, Value>)) -> Value {
    match &mut value {
        Value::Array(rows) => rows.iter_mut().filter_map(Value::as_object_mut).for_each(shape),
        Value::Object(row) => shape(row),
        _ => {}
    }
    value
}

/// The API leaves out what is empty.
pub fn evaluation(fields: &mut Map<String, Value>) {
    let empty = json!({
        "AnnotatePlan": false, "BlockedEval": "", "ClassEligibility": null, "DeploymentID": "", "EscapedComputedClass": false,
        "FailedTGAllocs": null, "JobModifyIndex": 0, "MissingNonNodeResources": null, "NextEval": "", "NodeID": "",
        "NodeModifyIndex": 0, "PlanAnnotations": null, "PreviousEval": "", "QueuedAllocations": null, "QuotaLimitReached": "",
        "RelatedEvals": null, "SnapshotIndex": 0, "StatusDescription": "", "Wait": 0, "WaitUntil": null,
    });
    for (name, value) in empty.as_object().into_iter().flatten() {
        fields.entry(name).or_insert_with(|| value.clone());
    }
}

/// An allocation in a list. The SDK knows no wishes there, and an event's disk size that no server fills.
pub fn alloc_stub(fields: &mut Map<String, Value>) {
    fields.remove("DesiredTransition");
    let states = fields.get_mut("TaskStates").and_then(Value::as_object_mut);
    for state in states.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        state.remove("Paused");
        let events = state.get_mut("Events").and_then(Value::as_array_mut);
        for event in events.into_iter().flatten().filter_map(Value::as_object_mut) {
            event.entry("DiskSize").or_insert(json!(0));
        }
    }
}

/// A node in a list.
pub fn node_stub(fields: &mut Map<String, Value>) {
    fields.remove("HostVolumes");
}

/// The scheduler's settings, with the SDK's own words about the request.
pub fn scheduler(fields: &mut Map<String, Value>) {
    fields.remove("Index");
    for name in ["LastIndex", "RequestTime"] {
        fields.entry(name).or_insert(json!(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_for_machines_has_all_its_fields() {
        let eval = each(json!([{"ID": "a", "Wait": 7}]), evaluation);
        assert_eq!(
            (&eval[0]["Wait"], &eval[0]["BlockedEval"], &eval[0]["AnnotatePlan"]),
            (&7.into(), &"".into(), &false.into())
        );
        assert_eq!(eval[0].get("RelatedEvals"), Some(&Value::Null));
    }

    #[test]
    fn what_the_sdk_does_not_know_is_left_out() {
        let stub =
            json!({"ID": "a", "DesiredTransition": {}, "TaskStates": {"t": {"Paused": "", "Events": [{"Type": "x"}]}}});
        let shown = each(stub, alloc_stub);
        assert_eq!(shown, json!({"ID": "a", "TaskStates": {"t": {"Events": [{"Type": "x", "DiskSize": 0}]}}}));
        assert_eq!(each(json!([{"ID": "n", "HostVolumes": {}}]), node_stub), json!([{"ID": "n"}]));
        assert_eq!(each(Value::Null, node_stub), Value::Null);
    }
}
