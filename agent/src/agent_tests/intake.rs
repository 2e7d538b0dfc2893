//! What a job brings with it: names, artifacts and templates that mean harm.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use tarpan_model::job::TaskArtifact;

use super::*;

fn texts(update: &AllocUpdate, task: &str) -> String {
    update.task_states[task].events.iter().map(|e| format!("{}: {}\n", e.kind, e.message)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_named_to_lead_elsewhere_is_refused_on_the_node_too() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    fake.until("the node", |h| h.node.clone()).await;
    let root = dir.path().join("alloc");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o7777;
    let before = mode(&root);
    for name in ["..", "../planted", "."] {
        let alloc = alloc_of(job("old", "service", vec![script(name, "exec sleep 60")]));
        fake.order(&alloc).await;
        let update = fake.status(&alloc, ClientStatus::Failed).await;
        let texts = texts(&update, name);
        assert!(texts.contains(&format!("the task name {name:?}")), "{texts}");
        assert!(!texts.contains("Started"), "{texts}");
        assert_eq!(mode(&root), before, "{name}");
        assert!(!root.join("secrets").exists() && !root.join("planted").exists());
        assert!(!root.join(alloc.id.to_string()).join("secrets").exists());
    }
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_ends_what_is_still_fetched() {
    struct Reading(Arc<AtomicUsize>);
    impl Drop for Reading {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let readers = Arc::new(AtomicUsize::new(0));
    let counted = readers.clone();
    let endless = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let reading = Reading(counted.clone());
        let chunks = futures::stream::unfold(reading, |reading| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, std::io::Error>(vec![0u8; 4096]), reading))
        });
        async move { Body::from_stream(chunks) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let source = format!("http://{}/endless.txt", listener.local_addr().expect("bound"));
    let app = axum::Router::new().route("/endless.txt", axum::routing::get(endless));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    fake.until("the node", |h| h.node.clone()).await;
    let mut fetching = script("fetch", "exec sleep 60");
    fetching.artifacts = Some(vec![TaskArtifact { getter_source: Some(source), ..TaskArtifact::default() }]);
    let alloc = alloc_of(job("fetch", "service", vec![fetching]));
    fake.order(&alloc).await;
    until("the download to begin", || readers.load(Ordering::SeqCst) == 1).await;
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    until("the download to end", || readers.load(Ordering::SeqCst) == 0).await;
    let forget = Orders { forget: vec![alloc.id.0.as_bytes().to_vec().into()], ..Orders::default() };
    fake.tell(from_server::Body::Orders(forget)).await;
    let root = dir.path().join("alloc").join(alloc.id.to_string());
    until("the directory to go", || !root.exists()).await;
    agent.shutdown().await;
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_asks_for_too_much_fails_with_a_sentence() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    fake.until("the node", |h| h.node.clone()).await;
    let row = "x".repeat(1000);
    let template = Template {
        embedded_tmpl: Some(format!("{{{{ range loop 1000000 }}}}{row}{{{{ end }}}}")),
        dest_path: Some("local/big".to_owned()),
        ..Template::default()
    };
    let mut task = script("big", "exec sleep 60");
    task.templates = Some(vec![template]);
    let alloc = alloc_of(job("big", "service", vec![task]));
    fake.order(&alloc).await;
    let update = fake.status(&alloc, ClientStatus::Failed).await;
    let texts = texts(&update, "big");
    let sentence = "Template: Template failed: local/big: the task's templates render to more than 32 MB\n";
    assert!(texts.contains(sentence), "{texts}");
    assert!(!dir.path().join("alloc").join(alloc.id.to_string()).join("big/local/big").exists());
    agent.shutdown().await;
}
