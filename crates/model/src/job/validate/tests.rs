use super::super::finding::text;
use super::*;
use crate::job::*;

fn job(kind: &str) -> Job {
    let task = Task { name: Some("t".into()), driver: Some("raw_exec".into()), ..Task::default() };
    let group = TaskGroup { name: Some("g".into()), tasks: Some(vec![task]), ..TaskGroup::default() };
    let type_ = Some(kind.to_owned());
    Job { id: Some("j".into()), type_, task_groups: Some(vec![group]), ..Job::default() }
}

fn job_of_services() -> Job {
    job("service")
}

/// Changes a job of a type, canonicalises it and compares `path: message` lines.
fn check(kind: &str, change: impl FnOnce(&mut Job), wanted: &[&str]) {
    let mut job = job(kind);
    change(&mut job);
    job.canonicalise();
    let found: Vec<String> = job.validate().iter().map(|f| format!("{}: {}", f.path, f.message)).collect();
    assert_eq!(found, wanted);
}

fn group(job: &mut Job) -> &mut TaskGroup {
    &mut job.task_groups.as_mut().unwrap()[0]
}

fn task(job: &mut Job) -> &mut Task {
    &mut group(job).tasks.as_mut().unwrap()[0]
}

#[test]
fn every_type_has_a_valid_smallest_job() {
    for kind in ["service", "batch", "system", "sysbatch"] {
        check(kind, |_| {}, &[]);
    }
}

#[test]
fn rules_of_the_job() {
    check("cronjob", |_| {}, &["Type: Invalid job type: \"cronjob\""]);
    check("service", |j| j.id = Some("a b".into()), &["ID: Job ID contains a space"]);
    check("service", |j| j.priority = Some(101), &["Priority: Job priority must be between [1, 100]"]);
    check("service", |j| j.task_groups = None, &["TaskGroups: Missing job task groups"]);
    check(
        "service",
        |j| j.parameterized_job = Some(ParameterizedJobConfig::default()),
        &["ParameterizedJob: Parameterized job can only be used with \"batch\" or \"sysbatch\" scheduler"],
    );
    let zone = |j: &mut Job| {
        let specs = Some(vec!["@daily".to_owned(), "99 * * * *".to_owned()]);
        j.periodic =
            Some(PeriodicConfig { specs, time_zone: Some("Mars/Olympus".into()), ..PeriodicConfig::default() });
    };
    check(
        "batch",
        zone,
        &[
            "Periodic.TimeZone: Invalid time zone \"Mars/Olympus\": unknown time zone Mars/Olympus",
            "Periodic.Specs[1]: Invalid cron spec \"99 * * * *\": \"99\" is no minute from 0 to 59",
        ],
    );
}

#[test]
fn rules_of_groups() {
    check(
        "system",
        |j| group(j).count = Some(2),
        &["TaskGroups[0].Count: Job task group g has count 2. Count cannot exceed 1 with system scheduler"],
    );
    check(
        "batch",
        |j| group(j).update = Some(UpdateStrategy::default()),
        &["TaskGroups[0].Update: Job type \"batch\" does not allow update block"],
    );
    let restart = |j: &mut Job| {
        group(j).restart_policy = Some(RestartPolicy { mode: Some("explode".into()), ..RestartPolicy::default() });
    };
    check("service", restart, &["TaskGroups[0].RestartPolicy.Mode: Unsupported restart mode: \"explode\""]);
    let ports = |j: &mut Job| {
        let port = |label: &str| Port { label: Some(label.into()), value: Some(9000), ..Port::default() };
        let network =
            NetworkResource { reserved_ports: Some(vec![port("a"), port("b")]), ..NetworkResource::default() };
        group(j).networks = Some(vec![network]);
    };
    check(
        "service",
        ports,
        &["TaskGroups[0].Networks[0].ReservedPorts[1].Value: Static port 9000 already reserved by taskgroup network:a"],
    );
    let leaders = |j: &mut Job| {
        task(j).leader = Some(true);
        let second = Task { name: Some("u".into()), ..task(j).clone() };
        group(j).tasks.as_mut().unwrap().push(second);
    };
    check("service", leaders, &["TaskGroups[0].Tasks[1].Leader: Only one task may be marked as leader"]);
}

#[test]
fn rules_of_tasks_and_services() {
    check("service", |j| task(j).driver = None, &["TaskGroups[0].Tasks[0].Driver: Missing task driver"]);
    check(
        "service",
        |j| task(j).resources = Some(Resources { memory_mb: Some(2), ..Resources::default() }),
        &["TaskGroups[0].Tasks[0].Resources.MemoryMB: minimum MemoryMB value is 10; got 2"],
    );
    let service = |j: &mut Job| {
        let check = ServiceCheck { type_: Some("tcp".into()), ..ServiceCheck::default() };
        let service = Service {
            name: Some("under_score!".into()),
            provider: Some("nomad".into()),
            checks: Some(vec![check]),
            ..Service::default()
        };
        group(j).services = Some(vec![service]);
    };
    check(
        "service",
        service,
        &[
            "TaskGroups[0].Services[0].Name: Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be no longer than 63 characters: \"under_score!\"",
            "TaskGroups[0].Services[0].Checks[0].Interval: missing required value interval. Interval cannot be less than 1s",
        ],
    );
    let template = |j: &mut Job| {
        let dest_path = Some("../../../x".to_owned());
        task(j).templates = Some(vec![Template { dest_path, perms: Some("rw".into()), ..Template::default() }]);
    };
    check(
        "service",
        template,
        &[
            "TaskGroups[0].Tasks[0].Templates[0]: Must specify a source path or have an embedded template",
            "TaskGroups[0].Tasks[0].Templates[0].DestPath: template destination escapes allocation directory",
            "TaskGroups[0].Tasks[0].Templates[0].Perms: Failed to parse \"rw\" as octal",
        ],
    );
}

#[test]
fn constraints_say_what_is_wrong_with_them() {
    let constrained = |operand: &str, value: &str| {
        let constraint = Constraint {
            l_target: Some("${attr.cpu.arch}".into()),
            r_target: Some(value.into()),
            operand: Some(operand.into()),
        };
        let mut job = job("service");
        job.constraints = Some(vec![constraint]);
        job.canonicalise();
        job.validate().into_iter().map(|f| f.message).collect::<Vec<_>>().concat()
    };
    for (operand, value, wanted) in [
        ("=", "amd64", ""),
        ("version", ">= 1.2, < 3", ""),
        ("version", "~> 1.2", ""),
        ("semver", "~> 1.2", "Semver constraint is invalid: malformed constraint: ~> 1.2"),
        ("version", "banana", "Version constraint is invalid: malformed constraint: banana"),
        ("regexp", "^(a|b", "Regular expression failed to compile: missing closing ) in \"^(a|b\""),
        ("resembles", "x", "Unknown constraint type \"resembles\""),
        ("distinct_property", "0", "Distinct Property must have an allowed count of 1 or greater"),
        ("is_set", "", ""),
    ] {
        assert_eq!(constrained(operand, value), wanted, "{operand} {value}");
    }
}

#[test]
fn findings_print_nested_and_warnings_as_a_list() {
    let mut job = job("service");
    task(&mut job).resources = Some(Resources { memory_mb: Some(2), ..Resources::default() });
    job.canonicalise();
    assert_eq!(
        text(&job.validate()),
        "1 error occurred:\n\t* Task group g validation failed: 1 error occurred:\n\t* Task t validation failed: 1 error occurred:\n\t\
         * 1 error occurred:\n\t* 1 error occurred:\n\t* minimum MemoryMB value is 10; got 2\n\n\n\n\n\n\n\n\n\n"
    );
    let mut job = job_of_services();
    group(&mut job).services = Some(vec![Service::default()]);
    task(&mut job).identities =
        Some(vec![WorkloadIdentity { name: Some("api".into()), ..WorkloadIdentity::default() }]);
    job.canonicalise();
    let warnings = warnings_text(&job.warnings());
    assert!(warnings.starts_with("2 warnings:\n\n* group \"g\" defines services, but"), "{warnings}");
    assert!(warnings.ends_with("* Identity[api] identities without an expiration are insecure"), "{warnings}");
}
