//! Pages rendered by the server's side over a small made-up cluster: what a person sees, in both languages.

use any_spawner::Executor;
use leptos::prelude::*;
use leptos_router::location::RequestUrl;
use std::sync::{Arc, Mutex};
use tarpan_api::Client;

use crate::fixtures::Fake;
use crate::pages::SetStatus;
use crate::prefs::{Lang, Prefs};
use crate::shell::{Assets, shell};

/// The document at `path`, its status, and the same without tags.
fn page(path: &str, lang: Lang) -> (u16, String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let status = Arc::new(Mutex::new(200_u16));
    let html = runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let _ = Executor::init_tokio();
        let owner = Owner::new_root(Some(Arc::new(hydration_context::SsrSharedContext::new())));
        let seen = Arc::clone(&status);
        let stream = owner.with(|| {
            provide_context(RequestUrl::new(path));
            provide_context(Client::new(Fake));
            provide_context(leptos_meta::ServerMetaContext::new().0);
            provide_context(SetStatus(Arc::new(move |code| *seen.lock().expect("no panic") = code)));
            shell(Assets::default(), Prefs { lang, ..Default::default() }, None).to_html_stream_in_order()
        });
        use futures::StreamExt;
        stream.collect::<String>().await
    }));
    let text = without_tags(&html);
    let status = *status.lock().expect("no panic");
    (status, html, text)
}

fn without_tags(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let text = out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(path: &str, lang: Lang, words: &[&str]) {
    let (status, _, text) = page(path, lang);
    assert_eq!(status, 200, "{path}");
    for word in words {
        assert!(text.contains(word), "{path} does not say {word:?}:\n{text}");
    }
}

#[test]
fn the_list_of_jobs() {
    says("http://localhost/ui/jobs", Lang::En, &["pytechco-web", "Deploying canaries 2/2", "6 / 6 +2", "12 children", "Blocked 0 of 2 placed", "Degraded 5 of 6", "v41", "Run a job"]);
    says("http://localhost/ui/jobs", Lang::Zh, &["作业", "部署中", "受阻", "已放置 0 / 2", "12 个子作业", "运行作业"]);
}

#[test]
fn the_address_narrows_the_list() {
    let (_, _, text) = page("http://localhost/ui/jobs?type=batch", Lang::En);
    let list = text.split("Changed").last().unwrap_or_default();
    assert!(list.contains("ml-train") && !list.contains("checkout"), "{list}");
}

#[test]
fn a_job_and_its_deployment() {
    says("http://localhost/ui/jobs/pytechco-web", Lang::En, &["Deployment of version 14", "Promote", "2 canaries are healthy", "Version 13", "storefront", "b1f07c2e"]);
    says("http://localhost/ui/jobs/pytechco-web?tab=versions", Lang::En, &["Version 14", "registry.example/web:1.8.2", "forces create/destroy update", "Revert to 13"]);
    says("http://localhost/ui/jobs/pytechco-web?tab=definition", Lang::En, &["job \"pytechco-web\" {"]);
    says("http://localhost/ui/jobs/pytechco-employee", Lang::Zh, &["已排程", "立即启动", "periodic-1795256814"]);
    says("http://localhost/ui/jobs/pytechco-setup?tab=dispatch", Lang::En, &["budget required", "tarpan job dispatch pytechco-setup"]);
}

#[test]
fn why_a_job_does_not_run() {
    says("http://localhost/ui/jobs/search-indexer?namespace=shop", Lang::En, &["Why is it not running?", "web: 2 can't be placed"]);
    let (_, _, text) = page("http://localhost/ui/evaluations/9ab2e6d1-1111-4222-8333-444455556666", Lang::En);
    for word in ["Why is search-indexer not running?", "No client can take it.", "4,096 MiB", "3,412 MiB", "684 MiB short"] {
        assert!(text.contains(word), "{word:?} in {text}");
    }
}

#[test]
fn an_allocation() {
    let path = "http://localhost/ui/allocations/b1f07c2e-1111-4222-8333-444455556666";
    says(path, Lang::En, &["web[0]", "Canary, healthy", "10.0.4.21:24117", "Why here", "0.69", "Task started by client", "GET /healthz 200"]);
    says(path, Lang::Zh, &["金丝雀, 健康", "端口", "事件"]);
}

#[test]
fn clients_servers_services_topology() {
    says("http://localhost/ui/clients", Lang::En, &["fra-3", "Ready", "Draining", "9,600 MHz"]);
    says("http://localhost/ui/clients/4d1a90be-1111-4222-8333-444455556666", Lang::En, &["fra-3", "Drain…", "docker", "27.3", "ssd = true", "cgroups are not writable"]);
    says("http://localhost/ui/servers", Lang::En, &["server-1.global", "leader", "10.0.0.1:4647"]);
    says("http://localhost/ui/services", Lang::En, &["redis-svc", "10.0.4.21:23117", "pytechco-redis"]);
    says("http://localhost/ui/topology", Lang::En, &["ams1", "fra1", "fra-1"]);
    says("http://localhost/ui/evaluations", Lang::En, &["search-indexer", "job submitted"]);
    says("http://localhost/ui/run", Lang::En, &["Run a job", "Templates", "pytechco-redis"]);
}

#[test]
fn what_is_not_there_says_so() {
    for (path, said) in [
        ("http://localhost/ui/jobs/nope", "job not found"),
        ("http://localhost/ui/allocations/nope", "alloc not found"),
        ("http://localhost/ui/nope", "No such page"),
    ] {
        let (status, _, text) = page(path, Lang::En);
        assert_eq!((status, text.contains(said)), (404, true), "{path}: {text}");
    }
}

#[test]
fn pages_keep_to_the_content_policy() {
    for path in ["http://localhost/ui/jobs", "http://localhost/ui/jobs/pytechco-web", "http://localhost/ui/topology"] {
        let (_, html, _) = page(path, Lang::En);
        assert!(!html.contains(" style="), "{path} has a style attribute");
        for event in ["onclick=", "onload=", "javascript:"] {
            assert!(!html.contains(event), "{path} has {event}");
        }
    }
}
