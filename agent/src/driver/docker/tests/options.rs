//! Each group of a task's options, as the engine and the container itself show them.

use super::*;

impl Place {
    pub(super) fn of_plugin(config: Value, plugin: Value) -> Place {
        let mut place = Place::new(config);
        let mut block = json!({"volumes": {"enabled": true}});
        block.as_object_mut().expect("an object").extend(plugin.as_object().cloned().expect("an object"));
        place.driver = DockerDriver::new(serde_json::from_value(block).expect("a plugin block"));
        place
    }

    /// Runs it to its end, and gives what it wrote.
    pub(super) async fn output(&self) -> String {
        let exit = self.run().await;
        assert!(exit.success(), "{exit:?}: {} {}", self.log("stdout"), self.log("stderr"));
        self.log("stdout")
    }

    /// What the engine knows of it while it runs.
    pub(super) async fn inspected(&self) -> Value {
        let handle = self.start().await.expect("starts");
        let id = handle.save()["container"].as_str().expect("an id").to_owned();
        let out = docker(&["inspect", &id]);
        handle.destroy().await;
        serde_json::from_str::<Value>(&out).expect("JSON")[0].take()
    }
}

pub(super) fn docker(args: &[&str]) -> String {
    let out = Command::new("docker").args(args).output().expect("docker runs");
    assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// `sh(script)` with further options.
pub(super) fn with(script: &str, more: Value) -> Value {
    let mut config = sh(script);
    config.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    config
}

#[tokio::test]
async fn limits_of_memory_processors_and_processes() {
    if !engine_there() {
        return;
    }
    let options = json!({
        "memory_hard_limit": 96, "cpu_hard_limit": true, "cpu_cfs_period": 50000, "pids_limit": 77,
        "ulimit": [{"nofile": "1024:2048"}], "shm_size": 8388608, "oom_score_adj": 100,
        "sysctl": {"net.core.somaxconn": "333"}, "cpuset_cpus": "0",
    });
    let script = "ulimit -n; cat /proc/sys/net/core/somaxconn; cat /proc/self/oom_score_adj; sleep 5";
    let place = Place::new(with(script, options));
    let shown = place.inspected().await;
    let host = &shown["HostConfig"];
    for (key, value) in [
        ("Memory", json!(96 << 20)),
        ("MemorySwap", json!(96 << 20)),
        ("MemoryReservation", json!(64 << 20)),
        ("CpuPeriod", json!(50000)),
        ("PidsLimit", json!(77)),
        ("ShmSize", json!(8388608)),
        ("CpusetCpus", json!("0")),
        ("CpuShares", json!(100)),
    ] {
        assert_eq!(host[key], value, "{key}");
    }
    // 100 of 4000 MHz, on each of the processors.
    let cores = std::thread::available_parallelism().expect("counted").get() as i64;
    assert_eq!(host["CpuQuota"], json!(50000 * 100 / 4000 * cores));
    let place = Place::new(with(
        "ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn /proc/self/oom_score_adj",
        json!({"ulimit": {"nofile": "1024:2048"}, "oom_score_adj": 100, "sysctl": [{"net.core.somaxconn": "333"}]}),
    ));
    assert_eq!(place.output().await, "1024\n2048\n333\n100\n");
}

#[tokio::test]
async fn memory_over_the_reservation_and_reserved_cores() {
    if !engine_there() {
        return;
    }
    let mut place = Place::new(sh("sleep 5"));
    place.request.resources.memory_mb_max = 128;
    place.request.resources.cores = vec![0];
    let shown = place.inspected().await;
    let host = &shown["HostConfig"];
    assert_eq!(host["Memory"], json!(128 << 20));
    assert_eq!(host["MemoryReservation"], json!(64 << 20));
    assert_eq!(host["CpusetCpus"], "0");
}

#[tokio::test]
async fn who_runs_out_of_memory_is_told_the_limit() {
    if !engine_there() {
        return;
    }
    let config = json!({"image": IMAGE, "command": "/bin/busybox",
        "args": ["dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"]});
    let exit = Place::new(config).run().await;
    assert!(exit.oom_killed, "{exit:?}");
    assert_eq!(exit.error.as_deref(), Some("OOM Killed: its memory is limited to 64 MiB"));
}

#[tokio::test]
async fn names_and_addresses_that_a_container_sees() {
    if !engine_there() {
        return;
    }
    let options = json!({
        "hostname": "web-1", "extra_hosts": ["db:10.1.2.3"], "dns_servers": ["10.9.9.9"],
        "dns_search_domains": ["example.test"], "dns_options": ["ndots:3"],
        "work_dir": "/tmp", "group_add": ["4321"], "labels": {"team": "a"},
    });
    let script = "cat /proc/sys/kernel/hostname; pwd; id -G; cat /etc/hosts /etc/resolv.conf";
    let text = Place::new(with(script, options)).output().await;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(&lines[..2], ["web-1", "/tmp"], "{text}");
    assert!(lines[2].split(' ').any(|group| group == "4321"), "{text}");
    let has = |words: [&str; 2]| lines.iter().any(|l| l.split_whitespace().eq(words));
    assert!(has(["10.1.2.3", "db"]) && has(["nameserver", "10.9.9.9"]), "{text}");
    assert!(has(["search", "example.test"]) && has(["options", "ndots:3"]), "{text}");
}

#[tokio::test]
async fn walls_that_a_task_may_move() {
    if !engine_there() {
        return;
    }
    let options = json!({
        "readonly_rootfs": true, "init": true, "cap_drop": ["all"], "cap_add": ["chown"], "runtime": "runc",
        "security_opt": ["no-new-privileges"], "healthchecks": {"disable": true}, "cgroupns": "private",
        "interactive": true, "tty": true, "pid_mode": "host", "ipc_mode": "shareable", "uts_mode": "host",
    });
    let plugin = json!({"allowed_modes": {"pid": ["host"]}});
    let shown = Place::of_plugin(with("sleep 5", options), plugin).inspected().await;
    let (host, config) = (&shown["HostConfig"], &shown["Config"]);
    for (key, value) in [
        ("ReadonlyRootfs", json!(true)),
        ("Init", json!(true)),
        ("Runtime", json!("runc")),
        ("PidMode", json!("host")),
        ("IpcMode", json!("shareable")),
        ("UTSMode", json!("host")),
        ("Privileged", json!(false)),
    ] {
        assert_eq!(host[key], value, "{key}");
    }
    // The engine adds what the processes of the node ask for.
    assert!(host["SecurityOpt"].to_string().contains("no-new-privileges"), "{host}");
    let caps = |key: &str| host[key].to_string().to_ascii_lowercase();
    assert!(caps("CapDrop").contains("all") && caps("CapAdd").contains("chown"), "{host}");
    assert_eq!((&config["OpenStdin"], &config["Tty"]), (&json!(true), &json!(true)));
    assert_eq!(config["Healthcheck"]["Test"], json!(["NONE"]));
    let text = Place::new(with("echo x > /made || echo refused", json!({"readonly_rootfs": true}))).output().await;
    assert_eq!(text, "refused\n");
    // Not every machine that runs containers runs one that may do everything: what the engine is asked for.
    let open = Place::of_plugin(with("true", json!({"privileged": true})), json!({"allow_privileged": true}));
    let config: TaskConfig = crate::driver::decode(&open.request.config).expect("readable");
    let body = create::body(&open.driver.plugin, &config, &open.request, IMAGE).expect("allowed");
    assert_eq!(body.host_config.and_then(|host| host.privileged), Some(true));
    for (wrong, sentence) in [
        (json!({"cgroupns": "hst"}), "invalid cgroupns \"hst\": host and private are known"),
        (json!({"isolation": "vm"}), "invalid isolation \"vm\": default, process and hyperv are known"),
        (json!({"image_pull_timeout": "soon"}), "image_pull_timeout: \"soon\" is no length of time"),
        (json!({"force_pull": true, "image_pull_timeout": "soon"}), "image_pull_timeout: \"soon\" is no length"),
        (json!({"mount": {"type": "bind", "target": "/x", "source": "local", "read_only": true}}), "failed to parse"),
    ] {
        let error = Place::new(with("true", wrong.clone())).start().await.err().expect("refused").to_string();
        assert!(error.starts_with(sentence), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn mounts_of_all_kinds_and_devices() {
    if !engine_there() {
        return;
    }
    let volume = format!("tarpan-test-{}", uuid::Uuid::new_v4());
    let options = json!({
        "mount": [
            {"type": "bind", "source": "local/in", "target": "/in", "readonly": true,
             "bind_options": {"propagation": "rprivate"}},
            {"type": "tmpfs", "target": "/scratch", "tmpfs_options": {"size": 4194304, "mode": 448}},
        ],
        "mounts": [{"type": "volume", "source": volume, "target": "/data", "volume_options": {
            "no_copy": true, "labels": {"team": "a"}, "driver_config": {"name": "local", "options": {}}}}],
        "devices": [{"host_path": "/dev/null", "container_path": "/dev/mine", "cgroup_permissions": "rw"}],
    });
    let script =
        "echo no > /in/x || echo read-only; echo kept > /data/x; grep ' /scratch ' /proc/mounts; ls -l /dev/mine";
    let mut place = Place::of_plugin(
        with(&script.replace("grep", "busybox grep"), options),
        json!({"allow_devices": ["/dev/null"]}),
    );
    place.request.env.insert("PATH".to_owned(), "/bin".to_owned());
    let text = place.output().await;
    let labels = docker(&["volume", "inspect", &volume, "--format", "{{.Labels.team}}"]);
    docker(&["volume", "rm", &volume]);
    assert_eq!(labels.trim(), "a");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "read-only", "{text}");
    assert!(lines[1].contains("size=4096k") && lines[1].contains("mode=700"), "{text}");
    assert!(lines[2].starts_with("crw") && lines[2].ends_with("/dev/mine"), "{text}");
}

#[tokio::test]
async fn entrypoint_command_and_arguments() {
    if !engine_there() {
        return;
    }
    let config = json!({"image": IMAGE, "entrypoint": ["/bin/echo", "a"], "command": "b", "args": ["c", "${d}"]});
    assert_eq!(Place::new(config).output().await, "a b c ${d}\n");
}

#[tokio::test]
async fn labels_are_those_that_the_operator_wants() {
    if !engine_there() {
        return;
    }
    let mut place =
        Place::of_plugin(with("sleep 5", json!({"labels": [{"team": "a"}]})), json!({"extra_labels": ["job_*"]}));
    let names = [("job_name", "shop"), ("job_id", "shop"), ("task_name", "web")];
    place.request.labels = names.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let shown = place.inspected().await;
    let labels = &shown["Config"]["Labels"];
    assert_eq!((&labels["team"], &labels["com.hashicorp.nomad.job_name"]), (&json!("a"), &json!("shop")));
    assert_eq!(labels["com.hashicorp.nomad.alloc_id"], place.request.alloc_id.to_string());
    assert!(labels.get("com.hashicorp.nomad.task_name").is_none());
}

#[tokio::test]
async fn output_that_goes_elsewhere_is_said_to() {
    if !engine_there() {
        return;
    }
    let gone = Place::new(with("echo lost", json!({"logging": {"type": "none"}})));
    assert!(gone.run().await.success());
    let said = gone.log("stderr");
    assert!(said.starts_with("the output of this task is not kept here: "), "{said:?}");
    assert_eq!(gone.log("stdout"), "");
    // Other drivers keep what they send for whoever asks.
    let kept = Place::new(with("echo kept", json!({"logging": {"driver": "local", "config": {"max-size": "1m"}}})));
    assert_eq!(kept.output().await, "kept\n");
    let by_plugin = Place::of_plugin(sh("sleep 5"), json!({"logging": {"type": "local", "config": {"max-file": "3"}}}));
    let log = by_plugin.inspected().await["HostConfig"]["LogConfig"].take();
    assert_eq!(log, json!({"Type": "local", "Config": {"max-file": "3"}}));
    let off = Place::of_plugin(sh("echo silent"), json!({"disable_log_collection": true}));
    assert!(off.run().await.success());
    assert_eq!(off.log("stdout"), "");
}

#[tokio::test]
async fn a_network_of_the_jobs_own() {
    if !engine_there() {
        return;
    }
    let name = format!("tarpan-test-{}", &uuid::Uuid::new_v4().to_string()[..8]);
    docker(&["network", "create", "--subnet", "10.213.77.0/24", &name]);
    let options = json!({"network_mode": name, "network_aliases": ["db"], "ipv4_address": "10.213.77.9",
        "mac_address": "02:42:0a:d5:4d:09"});
    let place = Place::new(with("sleep 60", options.clone()));
    let handle = place.start().await.expect("starts");
    let network = handle.network().expect("an address");
    let id = handle.save()["container"].as_str().expect("an id").to_owned();
    let shown: Value = serde_json::from_str(&docker(&["inspect", &id])).expect("JSON");
    handle.destroy().await;
    docker(&["network", "rm", &name]);
    assert_eq!((&*network.ip, network.advertise), ("10.213.77.9", true));
    let endpoint = &shown[0]["NetworkSettings"]["Networks"][&name];
    assert!(endpoint["Aliases"].to_string().contains("\"db\""), "{endpoint}");
    assert_eq!(endpoint["MacAddress"], "02:42:0a:d5:4d:09");
    // Elsewhere they do nothing, and that is said.
    let mut without = options;
    without.as_object_mut().expect("an object").remove("network_mode");
    let place = Place::new(with("true", without));
    assert!(place.run().await.success());
    let told = place.notices.lock().expect("held").join("\n");
    for option in ["network_aliases", "ipv4_address", "mac_address"] {
        assert!(told.contains(&format!("{option} has no effect: the network \"default\"")), "{told}");
    }
}

#[tokio::test]
async fn a_container_stays_where_the_operator_wants_it_to() {
    if !engine_there() {
        return;
    }
    let place = Place::of_plugin(sh("exit 4"), json!({"gc": {"container": false}}));
    assert_eq!(place.run().await.code, 4);
    let name = create::name(&place.request);
    assert_eq!(docker(&["inspect", "--format", "{{.State.ExitCode}}", &name]).trim(), "4");
    assert!(place.driver.survey(&spot(&place)).await.expect("looked").is_empty(), "nobody is told to remove it");
    // The next start of the task takes its name.
    assert_eq!(place.run().await.code, 4);
    docker(&["rm", "-f", "-v", &name]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tasks_own_container_is_somebodys() {
    use crate::agent_tests::{Fake, Home, alloc_of, options, stopped};
    use crate::test_support::{job, task};
    use tarpan_rpc::agent::{Orders, from_server};
    if !engine_there() {
        return;
    }
    let (fake, dir) = (Fake::start().await, Home::new());
    let rules = json!({"period": "1s", "creation_grace": "0s"});
    let options = crate::Options {
        options: BTreeMap::new(),
        drivers: [("docker".to_owned(), json!({"gc": {"dangling_containers": rules}}))].into(),
        ..options(&fake, dir.path())
    };
    let agent = crate::Agent::start(options).await.expect("starts");
    let alloc = alloc_of(job("own", "service", vec![task("web", "docker", sh("exec sleep 300"))]));
    fake.order(&alloc).await;
    fake.status(&alloc, tarpan_model::ClientStatus::Running).await;
    let orders = Orders { complete: true, ..Orders::default() };
    fake.tell(from_server::Body::Orders(orders)).await;
    agent.allocs().context.contacted.subscribe().wait_for(|told| *told).await.expect("the servers have spoken");
    let name = format!("web-{}", alloc.id);
    let started = docker(&["inspect", "--format", "{{.State.StartedAt}}", &name]);
    // It is looked for some times.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(docker(&["inspect", "--format", "{{.State.StartedAt}}", &name]), started, "the same one runs on");
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, tarpan_model::ClientStatus::Complete).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_nobodys_is_removed_and_others_are_not() {
    if !engine_there() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let agent = |name: &str, dry_run: bool| {
        let rules = json!({"period": "1s", "creation_grace": "1s", "dry_run": dry_run});
        crate::Options {
            data_dir: dir.path().join(name),
            network_interface: Some("lo".to_owned()),
            drivers: [("docker".to_owned(), json!({"gc": {"dangling_containers": rules}}))].into(),
            ..crate::Options::default()
        }
    };
    let (strict, dry) = (agent("strict", false), agent("dry", true));
    let mut running = Vec::new();
    for options in [strict.clone(), dry.clone()] {
        running.push(crate::Agent::start(options).await.expect("starts"));
    }
    let stray = |options: &crate::Options, label: bool| {
        let id = uuid::Uuid::new_v4();
        let root = options.alloc_dir().join(id.to_string()).join("alloc");
        std::fs::create_dir_all(&root).expect("made");
        let (mount, name) = (format!("{}:/alloc", root.display()), format!("web-{id}"));
        let label = format!("{}={id}", if label { ALLOC_LABEL } else { "other" });
        docker(&["run", "-d", "--name", &name, "-v", &mount, "--label", &label, IMAGE, "/bin/sleep", "300"]);
        name
    };
    let (ours, unmarked, dry) = (stray(&strict, true), stray(&strict, false), stray(&dry, true));
    let there = |name: &str| docker(&["ps", "-q", "--filter", &format!("name={name}")]).trim() != "";
    let begun = std::time::Instant::now();
    while there(&ours) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The other agent has had as long.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let left = [there(&unmarked), there(&dry)];
    docker(&["rm", "-f", &unmarked, &dry]);
    assert_eq!(left, [true, true]);
    for agent in running {
        agent.shutdown().await;
    }
}
