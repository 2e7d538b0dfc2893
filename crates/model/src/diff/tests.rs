use std::fmt::Write;

use super::*;
use crate::job::{Constraint, NetworkResource, Port, Resources};
use crate::schema::Free;

fn job() -> Job {
    let task = Task {
        name: Some("t".into()),
        driver: Some("raw_exec".into()),
        config: Some(Free(
            [("args".to_owned(), serde_json::json!(["500"])), ("command".to_owned(), "/bin/sleep".into())].into(),
        )),
        env: Some([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into()),
        ..Task::default()
    };
    let group = TaskGroup { name: Some("g".into()), tasks: Some(vec![task]), ..TaskGroup::default() };
    let mut job = Job { id: Some("app".into()), task_groups: Some(vec![group]), ..Job::default() };
    job.canonicalise();
    job
}

/// One line a change, indented by depth.
fn shown(diff: &JobDiff) -> String {
    let mut text = format!("{} {}\n", diff.type_, diff.id);
    show(&mut text, 1, &diff.fields, &diff.objects);
    for group in &diff.task_groups {
        let _ = writeln!(text, " {} group {}", group.type_, group.name);
        show(&mut text, 2, &group.fields, &group.objects);
        for task in &group.tasks {
            let _ = writeln!(text, "  {} task {} {}", task.type_, task.name, task.annotations.join(", "));
            show(&mut text, 3, &task.fields, &task.objects);
        }
    }
    text
}

fn show(text: &mut String, depth: usize, fields: &[FieldDiff], objects: &[ObjectDiff]) {
    let indent = " ".repeat(depth);
    for f in fields {
        let _ = writeln!(text, "{indent}{} {} {:?} {:?}{}", f.type_, f.name, f.old, f.new, f.annotations.concat());
    }
    for o in objects {
        let _ = writeln!(text, "{indent}{} {}", o.type_, o.name);
        show(text, depth + 1, &o.fields, &o.objects);
    }
}

#[test]
fn the_same_job_has_no_changes() {
    let diff = job_diff(Some(&job()), Some(&job()), true);
    assert_eq!(shown(&diff), "None app\n None group g\n  None task t \n");
}

#[test]
fn changes_are_told_apart_by_kind() {
    let old = job();
    let mut new = job();
    new.meta = Some([("release".to_owned(), "2".to_owned())].into());
    let group = &mut new.task_groups.as_mut().unwrap()[0];
    group.count = Some(3);
    let port = Port { label: Some("http".into()), host_network: Some("default".into()), ..Port::default() };
    group.networks = Some(vec![NetworkResource { dynamic_ports: Some(vec![port]), ..NetworkResource::default() }]);
    let task = &mut group.tasks.as_mut().unwrap()[0];
    task.env = Some([("A".to_owned(), "9".to_owned()), ("C".to_owned(), "3".to_owned())].into());
    task.config.as_mut().unwrap().0.insert("args".into(), serde_json::json!(["700"]));
    task.resources = Some(Resources { memory_mb: Some(64), ..task.resources.clone().unwrap() });
    let mut diff = job_diff(Some(&old), Some(&new), true);
    annotate(&mut diff, &[("g".into(), DesiredUpdates { place: 2, ..DesiredUpdates::default() })].into());
    assert_eq!(diff.task_groups[0].updates, [("create".to_owned(), 2)].into());
    let want = r#"Edited app
 Added Meta[release] "" "2"
 Edited group g
  Edited Count "1" "3"forces create
  Added Network
   None Hostname "" ""
   None MBits "" ""
   None Mode "" ""
   Added Dynamic Port
    Added HostNetwork "" "default"
    Added Label "" "http"
    Added To "" "0"
  Edited task t forces create/destroy update
   Edited Env[A] "1" "9"
   Deleted Env[B] "2" ""
   Added Env[C] "" "3"
   Edited Config
    Edited args[0] "500" "700"
    None command "/bin/sleep" "/bin/sleep"
   Edited Resources
    None CPU "100" "100"
    None Cores "0" "0"
    None DiskMB "0" "0"
    None IOPS "0" "0"
    Edited MemoryMB "300" "64"
    None MemoryMaxMB "0" "0"
    None SecretsMB "0" "0"
"#;
    assert_eq!(shown(&diff), want.replace("   None MBits \"\" \"\"\n", ""));
}

#[test]
fn blocks_without_a_name_come_and_go_whole() {
    let constraint = |value: &str| Constraint {
        l_target: Some("${attr.cpu.arch}".into()),
        r_target: Some(value.into()),
        operand: Some("=".into()),
    };
    let (mut old, mut new) = (job(), job());
    old.constraints = Some(vec![constraint("amd64"), constraint("arm64")]);
    new.constraints = Some(vec![constraint("arm64"), constraint("riscv64")]);
    let diff = job_diff(Some(&old), Some(&new), false);
    let kinds: Vec<(&str, &str)> = diff.objects.iter().map(|o| (o.type_.as_str(), o.name.as_str())).collect();
    assert_eq!(kinds, [("Added", "Constraint"), ("Deleted", "Constraint")]);
}

#[test]
fn a_log_setting_or_service_is_taken_in_place() {
    let old = job();
    let mut new = job();
    let task = &mut new.task_groups.as_mut().unwrap()[0].tasks.as_mut().unwrap()[0];
    task.log_config.as_mut().unwrap().max_files = Some(3);
    task.kill_timeout = Some(crate::Dur::from_secs(9));
    let mut diff = job_diff(Some(&old), Some(&new), true);
    annotate(&mut diff, &BTreeMap::new());
    assert_eq!(diff.task_groups[0].tasks[0].annotations, ["forces in-place update"]);
    let mut added = job_diff(None, Some(&old), true);
    annotate(&mut added, &BTreeMap::new());
    assert_eq!(
        (added.type_.as_str(), &added.task_groups[0].tasks[0].annotations[..]),
        ("Added", &["forces create".to_owned()][..])
    );
}
