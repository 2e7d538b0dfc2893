//! Native checks of services: http and tcp, run on the node that has the allocation. `reference/semantics.md` 19.2.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use tarpan_api::wire::{CheckQueryResult, CheckRun};
use tarpan_model::job::{Service, ServiceCheck};
use tarpan_model::{Allocation, Dur};
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::env::{TaskEnv, join};
use crate::runner::health::Checks;
use crate::services;

/// Bytes of an answer that are kept as a check's output.
const OUTPUT: usize = 3 << 10;

/// Runs of a check that are kept, and characters of what each was answered.
const RUNS: usize = 20;
const RUN_OUTPUT: usize = 200;

/// More than this between the passed and the measured time of a check: the agent was stopped while it ran.
const PAUSED: Duration = Duration::from_secs(1);

type Results = Arc<Mutex<BTreeMap<String, CheckQueryResult>>>;
type Tell = Arc<dyn Fn(Checks) + Send + Sync>;
/// Ends when the restart is told.
pub type Restart = Arc<dyn Fn(Option<&str>, &str) -> BoxFuture<'static, ()> + Send + Sync>;

/// Runs the checks of one allocation until dropped.
pub struct Checker {
    results: Results,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One check with everything that is interpolated.
#[derive(Clone, Debug)]
struct Check {
    id: String,
    service: String,
    name: String,
    task: Option<String>,
    group: String,
    readiness: bool,
    kind: String,
    target: String,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    insecure: bool,
    interval: Duration,
    timeout: Duration,
    restart: Option<(u64, Duration)>,
}

impl Checker {
    /// `None`: there are no checks of provider `nomad`.
    pub fn start(context: &Arc<Context>, alloc: &Arc<Allocation>, tell: Tell, restart: Restart) -> Option<Checker> {
        let checks = all(context, alloc);
        if checks.is_empty() {
            return None;
        }
        let results: Results = Arc::default();
        for check in &checks {
            let pending = result(check, "pending", "nomad: waiting to run", 0);
            results.lock().expect("no panic while held").insert(check.id.clone(), pending);
        }
        tell(summary(&results));
        let tasks = checks
            .into_iter()
            .map(|check| tokio::spawn(watch(check, results.clone(), tell.clone(), restart.clone())))
            .collect();
        Some(Checker { results, tasks })
    }

    pub fn results(&self) -> BTreeMap<String, CheckQueryResult> {
        self.results.lock().expect("no panic while held").clone()
    }
}

fn summary(results: &Results) -> Checks {
    let results = results.lock().expect("no panic while held");
    let acceptable = |r: &CheckQueryResult| r.status == "success" || (r.mode == "readiness" && r.status == "failure");
    let mut failing: Vec<String> = results.values().filter(|r| !acceptable(r)).map(|r| r.service.clone()).collect();
    failing.sort();
    failing.dedup();
    if failing.is_empty() { Checks::Passing } else { Checks::Failing(failing) }
}

fn result(check: &Check, status: &str, output: &str, code: i64) -> CheckQueryResult {
    CheckQueryResult {
        id: check.id.clone(),
        mode: if check.readiness { "readiness" } else { "healthiness" }.to_owned(),
        status: status.to_owned(),
        status_code: code,
        output: output.to_owned(),
        timestamp: crate::wall().secs(),
        group: check.group.clone(),
        task: check.task.clone().unwrap_or_default(),
        service: check.service.clone(),
        check: check.name.clone(),
        history: Vec::new(),
    }
}

/// Puts a run in the place of the one before, and behind those that are kept.
fn note(results: &Results, mut now: CheckQueryResult) {
    let mut results = results.lock().expect("no panic while held");
    let slot = results.entry(now.id.clone()).or_default();
    let mut history = std::mem::take(&mut slot.history);
    history.push(CheckRun {
        status: now.status.clone(),
        status_code: now.status_code,
        output: now.output.chars().take(RUN_OUTPUT).collect(),
        timestamp: now.timestamp,
    });
    history.drain(..history.len().saturating_sub(RUNS));
    now.history = history;
    *slot = now;
}

async fn watch(check: Check, results: Results, tell: Tell, restart: Restart) {
    let client = reqwest::Client::builder()
        .timeout(check.timeout)
        .danger_accept_invalid_certs(check.insecure)
        .user_agent("tarpan")
        .build()
        .unwrap_or_default();
    let mut since = crate::now();
    let mut unhealthy = 0u64;
    tokio::time::sleep(check.interval / 2).await;
    loop {
        let (begun, measured) = (tokio::time::Instant::now(), crate::now());
        let (ok, code, output) = run(&check, &client).await;
        // The agent did not run meanwhile: what it saw of the answer says nothing about the task.
        if !ok && begun.elapsed() > crate::now().since(measured).to_std() + PAUSED {
            continue;
        }
        let one = result(&check, if ok { "success" } else { "failure" }, &output, code);
        note(&results, one);
        tell(summary(&results));
        unhealthy = if ok { 0 } else { unhealthy + 1 };
        if let Some((limit, grace)) = check.restart
            && crate::now().since(since).to_std() > grace
            && unhealthy >= limit
        {
            restart(check.task.as_deref(), &check.name).await;
            // The new run is watched like the first, its grace included.
            (unhealthy, since) = (0, crate::now());
        }
        tokio::time::sleep(check.interval).await;
    }
}

async fn run(check: &Check, client: &reqwest::Client) -> (bool, i64, String) {
    if check.kind == "tcp" {
        let connected = tokio::time::timeout(check.timeout, tokio::net::TcpStream::connect(&check.target)).await;
        return match connected {
            Ok(Ok(_)) => (true, 0, "nomad: tcp ok".to_owned()),
            Ok(Err(error)) => (false, 0, format!("nomad: {error}")),
            Err(_) => (false, 0, "nomad: i/o timeout".to_owned()),
        };
    }
    let method = reqwest::Method::from_bytes(check.method.as_bytes()).unwrap_or(reqwest::Method::GET);
    let mut request = client.request(method, &check.url).body(check.body.clone());
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return (false, 0, format!("nomad: {}", crate::chain(&error))),
    };
    let code = i64::from(response.status().as_u16());
    if code == 200 {
        return (true, code, "nomad: http ok".to_owned());
    }
    let mut body = Vec::new();
    // It is the task that answers: no more of it is taken in than is shown.
    while body.len() < OUTPUT
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece[..piece.len().min(OUTPUT - body.len())]);
    }
    (code < 400, code, String::from_utf8_lossy(&body).into_owned())
}

fn all(context: &Context, alloc: &Allocation) -> Vec<Check> {
    let Some(group) = alloc.group() else { return Vec::new() };
    let env = services::group_env(context, alloc);
    let mut found = Vec::new();
    let owners =
        group.services().iter().map(|s| (None, s)).chain(
            group.tasks().iter().flat_map(|t| t.services.iter().flatten().map(|s| (Some(t.name().to_owned()), s))),
        );
    for (task, service) in owners.filter(|(_, s)| s.provider.as_deref() == Some("nomad")) {
        for check in service.checks.iter().flatten() {
            if matches!(check.type_.as_deref(), Some("http" | "tcp")) {
                found.push(one(context, alloc, task.clone(), service, check, &env));
            }
        }
    }
    found
}

fn one(
    context: &Context,
    alloc: &Allocation,
    task: Option<String>,
    service: &Service,
    check: &ServiceCheck,
    env: &TaskEnv,
) -> Check {
    let text = |t: &Option<String>| env.text(t.as_deref().unwrap_or_default());
    let or = |a: String, b: String| if a.is_empty() { b } else { a };
    let label = or(text(&check.port_label), text(&service.port_label));
    let mode = or(text(&check.address_mode), if service.address.is_some() { "auto".into() } else { "host".into() });
    let as_service =
        Service { address_mode: Some(mode.clone()), address: service.address.clone(), ..Service::default() };
    let (ip, port) = services::address(alloc, &context.node(), &as_service, &label, None, env);
    let target = join(&ip, port);
    let kind = text(&check.type_);
    let service_name = text(&service.name);
    let name = or(text(&check.name), format!("service: {service_name:?} check"));
    let protocol = or(text(&check.protocol), "http".to_owned());
    let path = text(&check.path);
    let on_update = or(text(&check.on_update), text(&service.on_update));
    let length = |d: Option<Dur>, default: u64| d.map_or(Duration::from_secs(default), |d| d.to_std());
    let (interval, timeout) = (length(check.interval, 10), length(check.timeout, 5));
    let restart = check.check_restart.as_ref().or(service.check_restart.as_ref());
    let restart = restart.filter(|r| r.limit.unwrap_or(0) > 0);
    let mut hash = Sha256::new();
    let interval_ns = check.interval.unwrap_or_default().0.to_string();
    for part in [
        &alloc.id.to_string(),
        &*alloc.task_group,
        task.as_deref().unwrap_or(""),
        &name,
        &kind,
        &label,
        &on_update,
        &mode,
        &interval_ns,
        &path,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    Check {
        id: hash.finalize().iter().map(|b| format!("{b:02x}")).collect(),
        service: service_name,
        name,
        task: task.or_else(|| service.task_name.clone().filter(|t| !t.is_empty())),
        group: alloc.task_group.to_string(),
        readiness: on_update == "ignore",
        url: format!("{protocol}://{target}/{}", path.trim_start_matches('/')),
        target,
        kind,
        method: or(text(&check.method), "GET".to_owned()),
        headers: check
            .header
            .iter()
            .flatten()
            .flat_map(|(name, values)| values.iter().map(|v| (env.text(name), env.text(v))))
            .collect(),
        body: check.body.clone().unwrap_or_default(),
        insecure: check.tls_skip_verify == Some(true),
        interval: interval.max(Duration::from_millis(100)),
        timeout: timeout.max(Duration::from_millis(100)),
        restart: restart.map(|r| (r.limit.unwrap_or(0) as u64, length(r.grace, 1))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn check(kind: &str, target: String) -> Check {
        Check {
            id: "c".to_owned(),
            service: "s".to_owned(),
            name: "n".to_owned(),
            task: Some("t".to_owned()),
            group: "g".to_owned(),
            readiness: false,
            kind: kind.to_owned(),
            url: format!("http://{target}/"),
            target,
            method: String::new(),
            headers: Vec::new(),
            body: String::new(),
            insecure: false,
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(1),
            restart: Some((2, Duration::from_millis(10))),
        }
    }

    #[test]
    fn the_last_runs_are_kept_and_no_more() {
        let (results, check) = (Results::default(), check("tcp", String::new()));
        for n in 0..RUNS as i64 + 5 {
            note(&results, result(&check, if n % 2 == 0 { "success" } else { "failure" }, &"é".repeat(1000), n));
        }
        let kept = results.lock().expect("not held").remove("c").expect("noted");
        assert_eq!((kept.status_code, kept.history.len()), (24, RUNS));
        assert_eq!((kept.history[0].status_code, kept.history[0].status.as_str()), (5, "failure"));
        assert_eq!(kept.history[0].output.chars().count(), RUN_OUTPUT);
    }

    /// It is a task that answers, and it may never stop.
    #[tokio::test]
    async fn no_more_of_an_answer_is_taken_in_than_is_shown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let check = check("http", listener.local_addr().expect("bound").to_string());
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("asked");
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 500 no\r\n\r\n").await;
            let mut sent = 0u64;
            while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {
                sent += 1 << 16;
            }
            sent
        });
        let (ok, code, output) = run(&check, &reqwest::Client::new()).await;
        assert_eq!((ok, code, output.len()), (false, 500, OUTPUT));
        // What the sockets hold, and nothing like all of a second's worth.
        let sent = tokio::time::timeout(Duration::from_secs(30), answering).await.expect("it is hung up on");
        assert!(sent.expect("no panic") < 64 << 20);
    }

    #[tokio::test]
    async fn every_failing_run_is_restarted() {
        // A port that is bound and not listened on refuses, and nobody else can take it.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let check = check("tcp", socket.local_addr().expect("bound").to_string());
        let (told, mut restarts) = tokio::sync::mpsc::unbounded_channel();
        let restart: Restart = Arc::new(move |task: Option<&str>, _: &str| {
            drop(told.send(task.map(str::to_owned)));
            Box::pin(std::future::ready(()))
        });
        let watching = tokio::spawn(watch(check, Results::default(), Arc::new(|_| {}), restart));
        for _ in 0..3 {
            let told = tokio::time::timeout(Duration::from_secs(20), restarts.recv()).await;
            assert_eq!(told.expect("in time"), Some(Some("t".to_owned())));
        }
        watching.abort();
    }
}
