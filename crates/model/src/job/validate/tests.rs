use super::super::finding::text;
use super::*;
use crate::duration::Dur;
use crate::job::*;
use crate::schema::Free;

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
fn a_signal_tells_nobody_of_new_variables() {
    let with = |mode: &str, envvars: bool| Template {
        embedded_tmpl: Some("A=1".into()),
        dest_path: Some("local/e".into()),
        envvars: Some(envvars),
        change_mode: Some(mode.into()),
        change_signal: Some("SIGHUP".into()),
        ..Template::default()
    };
    let refused = "TaskGroups[0].Tasks[0].Templates[0]: cannot use signals with env var templates";
    check("service", |j| task(j).templates = Some(vec![with("signal", true)]), &[refused]);
    check("service", |j| task(j).templates = Some(vec![with("signal", false)]), &[]);
    check("service", |j| task(j).templates = Some(vec![with("restart", true)]), &[]);
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
    check("service", |j| j.priority = Some(101), &["Priority: job priority must be between [1, 100]"]);
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
fn a_sidecar_is_held_to_its_group() {
    let mesh = |j: &mut Job| {
        let port = |label: &str, value: Option<i64>| Port { label: Some(label.into()), value, ..Port::default() };
        group(j).networks = Some(vec![NetworkResource {
            mode: Some("bridge".into()),
            dynamic_ports: Some(vec![port("chosen", None)]),
            reserved_ports: Some(vec![port("fixed", Some(9000))]),
            ..NetworkResource::default()
        }]);
        let ports = ["fixed", "9002", "chosen", "nowhere"].map(str::to_owned).to_vec();
        let transparent_proxy =
            Some(ConsulTransparentProxy { exclude_inbound_ports: Some(ports), ..ConsulTransparentProxy::default() });
        let proxy = Some(ConsulProxy { transparent_proxy, ..ConsulProxy::default() });
        let mount = |volume: &str| VolumeMount {
            volume: Some(volume.into()),
            destination: Some("/x".into()),
            ..VolumeMount::default()
        };
        let volume = VolumeRequest { type_: Some("host".into()), source: Some("d".into()), ..VolumeRequest::default() };
        group(j).volumes = Some([("data".to_owned(), volume)].into());
        let connect = ConsulConnect {
            sidecar_service: Some(ConsulSidecarService { proxy, ..ConsulSidecarService::default() }),
            sidecar_task: Some(SidecarTask {
                volume_mounts: Some(vec![mount("data"), mount("certs")]),
                ..SidecarTask::default()
            }),
            ..ConsulConnect::default()
        };
        group(j).services =
            Some(vec![Service { name: Some("api".into()), connect: Some(connect), ..Service::default() }]);
    };
    check(
        "service",
        mesh,
        &[
            "TaskGroups[0].Services[0].Connect: Consul Connect transparent proxy port \"chosen\" must be numeric or one of network.port labels",
            "TaskGroups[0].Services[0].Connect: Consul Connect transparent proxy port \"nowhere\" must be numeric or one of network.port labels",
            "TaskGroups[0].Services[0].Connect.SidecarTask.VolumeMounts[1].Volume: Volume Mount (1) references undefined volume certs",
        ],
    );
}

#[test]
fn rules_of_what_stands_in_a_task() {
    let messages = |change: &dyn Fn(&mut Task)| {
        let mut job = job("service");
        change(task(&mut job));
        job.canonicalise();
        job.validate().into_iter().map(|f| f.message).collect::<Vec<_>>().join("; ")
    };
    let resources = |resources: Resources| messages(&|t| t.resources = Some(resources.clone()));
    let device = |name: &str| RequestedDevice { name: Some(name.into()), ..RequestedDevice::default() };
    let with = |name: &str| resources(Resources { devices: Some(vec![device(name)]), ..Resources::default() });
    assert_eq!([with("gpu"), with("nvidia/gpu"), with("nvidia/gpu/1080ti")].concat(), "");
    for name in ["", "a/b/c/d", "nvidia/"] {
        assert!(with(name).contains("must be one of: <type>, <vendor>/<type>"), "{name:?}");
    }
    let numa = |affinity: &str, wanted: &str| {
        let numa = NUMAResource { affinity: Some(affinity.into()), devices: Some(vec![wanted.into()]) };
        resources(Resources { numa: Some(numa), devices: Some(vec![device("gpu")]), ..Resources::default() })
    };
    assert_eq!(numa("none", "gpu"), "");
    assert_eq!(numa("close", "gpu"), "numa affinity must be one of none, prefer, or require");
    assert_eq!(numa("none", "fpga"), "numa device \"fpga\" not requested as task resource");

    let identity = WorkloadIdentity { ttl: Some(Dur::from_secs(60)), ..WorkloadIdentity::default() };
    assert_eq!(messages(&|t| t.identity = Some(identity.clone())), "ttl for default identity not yet supported");
    let identity =
        WorkloadIdentity { name: Some("x".into()), filepath: Some("a".into()), ..WorkloadIdentity::default() };
    let said = messages(&|t| t.identities = Some(vec![identity.clone()]));
    assert_eq!(said, "file parameter must be true in order to specify filepath");
    let secret = Secret {
        name: Some("s".into()),
        provider: Some("mine".into()),
        path: Some("p".into()),
        config: Some(Free([("a".to_owned(), serde_json::json!(1))].into())),
        ..Secret::default()
    };
    let said = messages(&|t| t.secrets = Some(vec![secret.clone()]));
    assert_eq!(said, "custom plugin provider mine cannot use the config block");
    // A wait that says only its least time.
    let wait = Some(WaitConfig { min: Some(Dur::from_secs(600)), max: None });
    let template =
        Template { wait, embedded_tmpl: Some("x".into()), dest_path: Some("x".into()), ..Template::default() };
    assert_eq!(messages(&|t| t.templates = Some(vec![template.clone()])), "");
}

#[test]
fn only_consul_counts_results_of_checks() {
    let said = |provider: &str, kind: &str, times: i64| {
        let mut job = job("service");
        let check = ServiceCheck {
            type_: Some(kind.into()),
            command: Some("/bin/true".into()),
            path: Some("/".into()),
            interval: Some(Dur::from_secs(10)),
            timeout: Some(Dur::from_secs(2)),
            success_before_passing: Some(times),
            ..ServiceCheck::default()
        };
        let service = Service {
            name: Some("s".into()),
            provider: Some(provider.into()),
            checks: Some(vec![check]),
            ..Service::default()
        };
        group(&mut job).services = Some(vec![service]);
        job.canonicalise();
        job.validate().into_iter().map(|f| f.message).collect::<Vec<_>>().concat()
    };
    assert_eq!(said("consul", "http", 3), "");
    assert_eq!(said("consul", "script", 3), "", "the field takes it");
    assert_eq!(said("consul", "http", -1), "success_before_passing must be non-negative");
    assert_eq!(said("nomad", "http", 2), "success_before_passing may only be set for Consul service checks");
    assert_eq!(said("nomad", "http", 0), "");
}

#[test]
fn memory_beyond_the_normal_amount_is_warned_of_where_nobody_gets_it() {
    let mut job = job("service");
    assert!(job.memory_warnings().is_empty());
    for most in [128, -1] {
        task(&mut job).resources = Some(Resources { memory_max_mb: Some(most), ..Resources::default() });
        let warnings = job.memory_warnings();
        assert_eq!(warnings.len(), 1, "{most}");
        assert!(warnings[0].contains("Task \"g.t\" memory_max value will be ignored"), "{warnings:?}");
    }
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
        ("semver", ">= 1.2, < 3", ""),
        ("semver", "< 5.14.0-1.el9_2", "Semver constraint is invalid: malformed constraint: < 5.14.0-1.el9_2"),
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

#[test]
fn volume_mounts_take_the_labels_that_engines_know() {
    let labelled = |label: &'static str| {
        move |j: &mut Job| {
            let request =
                VolumeRequest { source: Some("s".into()), type_: Some("host".into()), ..VolumeRequest::default() };
            group(j).volumes = Some([("data".to_owned(), request)].into());
            let (volume, destination) = (Some("data".into()), Some("/x".into()));
            let mount =
                VolumeMount { volume, destination, selinux_label: Some(label.into()), ..VolumeMount::default() };
            group(j).tasks.as_mut().expect("one")[0].volume_mounts = Some(vec![mount]);
        }
    };
    check("service", labelled("Z"), &[]);
    check(
        "service",
        labelled("shared"),
        &[
            "TaskGroups[0].Tasks[0].VolumeMounts[0].SELinuxLabel: Volume Mount (0) has an invalid SELinux label: \"shared\" is neither \"z\" nor \"Z\"",
        ],
    );
}

#[test]
fn names_that_would_lead_elsewhere_are_refused() {
    for (name, wrong) in [
        ("..", "is not a name: as a directory it would lead elsewhere"),
        (".", "is not a name: as a directory it would lead elsewhere"),
        ("../other", "cannot include slashes"),
        ("a\\b", "cannot include slashes"),
        ("a\nb", "cannot include the control character U+000A"),
        (&"x".repeat(201), "is 201 bytes long; 200 are the most"),
    ] {
        let quoted = crate::name::quoted(name);
        check(
            "service",
            |j| task(j).name = Some(name.into()),
            &[&format!("TaskGroups[0].Tasks[0].Name: Task name {quoted} {wrong}")],
        );
        check(
            "service",
            |j| group(j).name = Some(name.into()),
            &[&format!("TaskGroups[0].Name: Task group name {quoted} {wrong}")],
        );
    }
}

#[test]
fn names_that_no_address_can_hold_or_that_look_like_others_are_refused() {
    for id in [".", "..", "team/../web"] {
        let wrong =
            "cannot have \".\" or \"..\" for itself or between slashes: in an address that would lead elsewhere";
        let said = format!("ID: Job ID {id:?} {wrong}");
        check("service", |j| (j.id, j.name) = (Some(id.into()), Some("web".into())), &[&said]);
        check("service", |j| j.node_pool = Some(id.into()), &[&format!("NodePool: Node pool {id:?} {wrong}")]);
    }
    let turned = "web\u{202e}bew";
    let wrong = "cannot include the invisible character U+202E";
    check(
        "service",
        |j| (j.id, j.name) = (Some(turned.into()), Some(turned.into())),
        &[&format!("ID: Job ID {turned:?} {wrong}"), &format!("Name: Job name {turned:?} {wrong}")],
    );
    check(
        "service",
        |j| group(j).name = Some(turned.into()),
        &[&format!("TaskGroups[0].Name: Task group name {turned:?} {wrong}")],
    );
    check(
        "service",
        |j| task(j).name = Some(turned.into()),
        &[&format!("TaskGroups[0].Tasks[0].Name: Task name {turned:?} {wrong}")],
    );
    let map = Some([(turned.to_owned(), "fine\u{202e}".to_owned())].into());
    check("service", |j| j.meta = map.clone(), &[&format!("Meta: Meta key {turned:?} {wrong}")]);
    check(
        "service",
        |j| task(j).env = map.clone(),
        &[&format!("TaskGroups[0].Tasks[0].Env: Environment variable {turned:?} {wrong}")],
    );
}

#[test]
fn names_that_users_have_are_taken() {
    let long = format!("{}/dispatch-nightly-1764335000-0a1b2c3d", "j".repeat(512));
    for id in ["team/web", "100%", "größe/任务", "a.b..c", "می\u{200c}خواهم", "...", &"j".repeat(512)] {
        check("service", |j| j.id = Some(id.into()), &[]);
    }
    check("service", |j| (j.id, j.parent_id) = (Some(long.clone()), Some("j".repeat(512))), &[]);
    check("service", |j| j.name = Some("a name with spaces".into()), &[]);
    for name in ["web api", "größe", "100%", "a.b", "..."] {
        check("service", |j| task(j).name = Some(name.into()), &[]);
        check("service", |j| group(j).name = Some(name.into()), &[]);
    }
    let headers = |j: &mut Job| {
        let map = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
        task(j).env = map("with.dots-and-dashes", "two\nlines");
        task(j).artifacts = Some(vec![TaskArtifact {
            getter_source: Some("https://${meta.host}/x".into()),
            getter_headers: map("X-${meta.header}", "${meta.value}"),
            ..TaskArtifact::default()
        }]);
    };
    check("service", headers, &[]);
}

#[test]
fn control_characters_and_endless_names_are_refused_wherever_a_name_goes() {
    let map = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
    check(
        "service",
        |j| j.id = Some("a\u{1b}[2J".into()),
        &[
            "ID: Job ID \"a\\u{1b}[2J\" cannot include the control character U+001B",
            "Name: Job name \"a\\u{1b}[2J\" cannot include the control character U+001B",
        ],
    );
    let long = "j".repeat(513);
    check(
        "service",
        |j| (j.id, j.name) = (Some(long.clone()), Some("j".into())),
        &[&format!("ID: Job ID \"{}…\" is 513 bytes long; 512 are the most", "j".repeat(60))],
    );
    check(
        "service",
        |j| j.meta = map("a\0", "b\0"),
        &[
            "Meta: Meta key \"a\\0\" cannot include the control character U+0000",
            "Meta: The value of \"a\\0\" cannot include a null character",
        ],
    );
    check(
        "service",
        |j| task(j).env = map("A", "x\0y"),
        &["TaskGroups[0].Tasks[0].Env: The value of \"A\" cannot include a null character"],
    );
    let artifact = |j: &mut Job| {
        task(j).artifacts = Some(vec![TaskArtifact {
            getter_source: Some("https://x/\r\n".into()),
            relative_dest: Some("local/a\u{7}".into()),
            getter_headers: map("X: y", "a\r\nHost: b"),
            ..TaskArtifact::default()
        }]);
    };
    check(
        "service",
        artifact,
        &[
            "TaskGroups[0].Tasks[0].Artifacts[0].GetterSource: Artifact source \"https://x/\\r\\n\" cannot include the control character U+000D",
            "TaskGroups[0].Tasks[0].Artifacts[0].RelativeDest: Artifact destination \"local/a\\u{7}\" cannot include the control character U+0007",
            "TaskGroups[0].Tasks[0].Artifacts[0].GetterHeaders: Header \"X: y\" cannot include ':': a header's name has letters, digits and !#$%&'*+-.^_`|~",
            "TaskGroups[0].Tasks[0].Artifacts[0].GetterHeaders: The value of the header \"X: y\" cannot include the control character U+000D",
        ],
    );
    let port = |j: &mut Job| {
        let port = Port { label: Some("a\tb".into()), ..Port::default() };
        let network = NetworkResource { dynamic_ports: Some(vec![port]), ..NetworkResource::default() };
        group(j).networks = Some(vec![network]);
    };
    check(
        "service",
        port,
        &[
            "TaskGroups[0].Networks[0].DynamicPorts[0].Label: Port label \"a\\tb\" cannot include the control character U+0009",
        ],
    );
    let volume = |j: &mut Job| {
        let request =
            VolumeRequest { source: Some("s".into()), type_: Some("host".into()), ..VolumeRequest::default() };
        group(j).volumes = Some([("..".to_owned(), request)].into());
    };
    check(
        "service",
        volume,
        &["TaskGroups[0].Volumes[\"..\"]: Volume name \"..\" is not a name: as a directory it would lead elsewhere"],
    );
}
