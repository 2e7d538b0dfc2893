//! Run a job: write it, see what is wrong while typing, see what a run would change and where it would go, run it, watch it.

mod findings;
mod follow;
mod plan;
mod variables;

use std::collections::BTreeMap;

use leptos::prelude::*;
use serde_json::{Value, json};
use tarpan_api::wire::{JobSubmission, JobsParseRequest};
use tarpan_api::{Client, Error, Query, calls};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use super::{client, in_namespace};
use crate::dom;
use crate::lang::{fill, t};
use crate::parts::editor::{CodeEditor, Handle};
use crate::parts::loaded::sentence;
use crate::parts::title::Title;
use crate::parts::{copy_button, icon, icon12, note, toast};
use crate::place;
use crate::shell::Assets;
use crate::status::Kind;
use crate::web::{Checked, Problem, check};

/// A sample to begin with: name, what it shows, text.
pub struct Template {
    pub name: &'static str,
    pub text: &'static str,
}

impl Template {
    /// Its first comment: what the job is.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default()
    }
}

macro_rules! template {
    ($name:literal) => {
        Template { name: $name, text: include_str!(concat!("../../../jobs/", $name, ".nomad.hcl")) }
    };
}

pub static TEMPLATES: [Template; 10] = [
    template!("pytechco-redis"),
    template!("pytechco-web"),
    template!("pytechco-setup"),
    template!("pytechco-employee"),
    template!("raw_exec/pytechco-redis"),
    template!("raw_exec/pytechco-web"),
    template!("raw_exec/pytechco-setup"),
    template!("raw_exec/pytechco-employee"),
    template!("second/bvc"),
    template!("second/tetris"),
];

/// How long a person stops typing before the text is checked, and planned.
const CHECK_MS: i32 = 150;
const PLAN_MS: i32 = 500;

/// Values of variables by name.
type Given = BTreeMap<String, String>;

/// What the page knows of the text.
#[derive(Clone, Copy)]
pub struct Draft {
    pub text: RwSignal<String>,
    /// Values of variables, as one would write them on a command line; not each is declared in the text.
    pub given: RwSignal<Given>,
    pub checked: RwSignal<Checked>,
    /// The checked text is the text; false while it is being checked.
    pub fresh: RwSignal<bool>,
}

impl Draft {
    pub fn errors(&self) -> usize {
        self.checked.with(|c| c.problems.iter().filter(|p| p.severity == "error").count())
    }
    /// The values of what the text declares.
    fn values(&self) -> Given {
        self.given.with_untracked(|given| {
            self.checked.with_untracked(|c| {
                let declared = c.variables.iter().filter_map(|v| given.get_key_value(&v.name));
                declared.map(|(name, value)| (name.clone(), value.clone())).collect()
            })
        })
    }
    /// Whether text and values are still these.
    fn is(&self, text: &str, given: &Given) -> bool {
        self.text.try_with_untracked(|t| t == text) == Some(true)
            && self.given.try_with_untracked(|g| g == given) == Some(true)
    }
    /// Namespace and id of the job in the text.
    pub fn key(&self) -> Option<(String, String)> {
        self.checked.with(|c| c.job.as_ref().and_then(key_of))
    }
}

/// Namespace and id of a job in the API's form.
pub fn key_of(job: &Value) -> Option<(String, String)> {
    let id = job["ID"].as_str().or_else(|| job["Name"].as_str()).filter(|id| !id.is_empty())?;
    Some((job["Namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or("default").to_owned(), id.to_owned()))
}

#[component]
pub fn Run() -> impl IntoView {
    let texts = t();
    let query = place::query();
    let draft = Draft {
        text: RwSignal::new(String::new()),
        given: RwSignal::new(Given::new()),
        checked: RwSignal::new(Checked::default()),
        fresh: RwSignal::new(true),
    };
    let handle: Handle = StoredValue::new(None);
    let running = RwSignal::new(None::<(String, String, String)>);
    let edited = Memo::new(move |_| {
        query.with(|q| Some((q.get("namespace").unwrap_or_else(|| "default".to_owned()), q.get("job")?)))
    });
    begin(draft, edited, query.with_untracked(|q| q.get("template")));
    watch(draft);
    let problems = Signal::derive(move || draft.checked.with(|c| c.problems.clone()));
    view! {
        <Title text=texts.run_a_job/>
        <main id="main" class="page page-run">
            <div class="page-head runhead"><div class="title">
                <nav class="crumbs wide" aria-label=texts.breadcrumb><a href="/ui/jobs">{texts.jobs}</a>{icon("right")}</nav>
                <h1>{texts.run_a_job}</h1>
                {move || edited.get().map(|(_, id)| view! { <span class="tag">{icon("file")}{id}</span> })}
                <div class="actions"><Templates draft=draft/><OpenFile draft=draft/><RunButton draft=draft running=running/></div>
            </div></div>
            <div class="runner">
                <div class="ed">
                    <div class="edbar">
                        <span class="t12 t2">"HCL · JSON"</span><span class="grow"></span>
                        <span class="t12 t3 wide">{texts.paste_here}</span>
                        {move || copy_button(draft.text.get(), texts.copy)}
                        <button type="button" class="btn icon ghost small" aria-label=texts.find_in_text title=texts.find_in_text
                            on:click=move |_| handle.with_value(|h| if let Some(editor) = h { editor.find() })>{icon("search")}</button>
                    </div>
                    <CodeEditor text=draft.text problems=problems handle=handle label=texts.jobspec/>
                    <findings::Problems draft=draft handle=handle/>
                    <variables::Variables draft=draft/>
                </div>
                <aside class="plan" aria-label=texts.plan>
                    {move || running.get().map(|(namespace, id, eval)| view! { <follow::Follow namespace=namespace id=id eval=eval/> })}
                    <plan::Plan draft=draft/>
                </aside>
            </div>
        </main>
    }
}

/// What the text is at first: the job that is edited, or a template.
fn begin(draft: Draft, edited: Memo<Option<(String, String)>>, template: Option<String>) {
    let client = StoredValue::new(client());
    if let Some(found) = template.and_then(|name| TEMPLATES.iter().find(|t| t.name == name)) {
        draft.text.set(found.text.to_owned());
    }
    Effect::new(move |_| {
        let Some((namespace, id)) = edited.get() else { return };
        leptos::task::spawn_local(async move {
            match source_of(&client.get_value(), &namespace, &id).await {
                Ok((text, given)) => {
                    if draft.text.try_with_untracked(String::is_empty) == Some(true) {
                        draft.given.set(given);
                        draft.text.set(text);
                    }
                }
                Err(error) => toast::say(Kind::Failed, sentence(&error)),
            }
        });
    });
}

/// The text a job was submitted as, with the values of its variables, or the one that the server writes from the job; its
/// JSON where a server has neither.
async fn source_of(client: &Client, namespace: &str, id: &str) -> Result<(String, Given), Error> {
    let query = in_namespace(namespace);
    let job = client.call(&calls::job(&query, id).part::<Value>()).await?.value;
    let version = job["Version"].as_u64().unwrap_or(0);
    let kept = client.call(&calls::job_submission(&query, id, version).flag("printed", true)).await;
    let kept = kept.map(|a| a.value).unwrap_or_default();
    if kept.source.is_empty() {
        return Ok((serde_json::to_string_pretty(&json!({ "Job": job })).unwrap_or_default(), Given::new()));
    }
    Ok((kept.source, kept.variable_flags.unwrap_or_default()))
}

/// Checks the text when typing stops.
fn watch(draft: Draft) {
    let (client, assets) = (client(), use_context::<Assets>().unwrap_or_default());
    Effect::new(move |_| {
        let (text, given) = (draft.text.get(), draft.given.get());
        draft.fresh.set(false);
        let (client, assets) = (client.clone(), assets.clone());
        leptos::task::spawn_local(async move {
            dom::sleep_ms(CHECK_MS).await;
            if !draft.is(&text, &given) {
                return;
            }
            let found = check_text(&client, &assets, &text, &given).await;
            if draft.is(&text, &given) {
                draft.checked.set(found);
                draft.fresh.set(true);
            }
        });
    });
}

/// Checks by the parser in the worker; by the server where there is none.
async fn check_text(client: &Client, assets: &Assets, text: &str, given: &Given) -> Checked {
    if text.trim().is_empty() {
        return Checked::default();
    }
    if let Some(job) = api_job(text) {
        return with_validation(client, job).await;
    }
    match check(assets, "job.nomad.hcl", text, given).await {
        Ok(checked) => checked,
        Err(_) => check_by_server(client, text).await,
    }
}

/// The job, when the text is the API's JSON: the object itself, or wrapped as `{"Job": …}`.
pub fn api_job(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    let job = value.get_mut("Job").map(Value::take).unwrap_or(value);
    job["ID"].is_string().then_some(job)
}

async fn check_by_server(client: &Client, text: &str) -> Checked {
    let request = JobsParseRequest { job_hcl: text.to_owned(), ..JobsParseRequest::default() };
    match client.call(&calls::parse(&request).part::<Value>()).await {
        Ok(answer) => with_validation(client, answer.value).await,
        Err(error) => Checked { problems: vec![placed(text, &sentence(&error))], ..Default::default() },
    }
}

async fn with_validation(client: &Client, job: Value) -> Checked {
    let errors = match client.validate_json(&Query::new(), &job).await {
        Ok(answer) => answer.value.validation_errors,
        Err(error) => vec![sentence(&error)],
    };
    let problems: Vec<Problem> =
        errors.into_iter().map(|detail| Problem { severity: "error".into(), detail, ..Default::default() }).collect();
    Checked { job: problems.is_empty().then_some(job), problems, ..Default::default() }
}

/// A server's sentence with its position, where it tells one as `name:3,5-9: …`.
pub fn placed(text: &str, said: &str) -> Problem {
    let position = said.split(':').find_map(|part| {
        let (line, rest) = part.trim().split_once(',')?;
        let column = rest.split('-').next()?;
        Some((line.parse::<u32>().ok()?, column.parse::<u32>().ok()?))
    });
    let (line, column) = position.unwrap_or((0, 0));
    let before: usize =
        text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(|l| l.encode_utf16().count()).sum();
    let from = if line > 0 { before as u32 + column.saturating_sub(1) } else { 0 };
    Problem {
        severity: "error".into(),
        detail: said.to_owned(),
        line,
        column,
        from,
        to: from + 1,
        ..Default::default()
    }
}

#[component]
fn Templates(draft: Draft) -> impl IntoView {
    let texts = t();
    let node = NodeRef::<leptos::html::Details>::new();
    let item = move |template: &'static Template| {
        let choose = move |_| {
            draft.text.set(template.text.to_owned());
            if let Some(details) = node.get_untracked() {
                let _ = details.remove_attribute("open");
            }
        };
        view! { <li><button type="button" on:click=choose>{icon("file")}{template.name}</button></li> }
    };
    view! {
        <details class="more" node_ref=node>
            <summary class="btn">{icon("jobs")}{texts.templates}{icon12("down")}</summary>
            <ul class="menu">{TEMPLATES.iter().map(item).collect_view()}</ul>
        </details>
    }
}

/// Opens a file of the person's machine.
#[component]
fn OpenFile(draft: Draft) -> impl IntoView {
    let texts = t();
    let input = NodeRef::<leptos::html::Input>::new();
    let open = move |_| {
        let Some(file) = input.get_untracked().and_then(|i| i.files()).and_then(|f| f.get(0)) else { return };
        leptos::task::spawn_local(async move {
            let blob: &web_sys::Blob = file.unchecked_ref();
            if let Ok(text) = JsFuture::from(blob.text()).await {
                draft.text.try_set(text.as_string().unwrap_or_default());
            }
        });
    };
    let press = move |_| {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    view! {
        <button type="button" class="btn wide" on:click=press>{icon("files")}{texts.open_file}</button>
        <input node_ref=input type="file" hidden accept=".hcl,.nomad,.json,text/*" aria-label=texts.open_file on:change=open/>
    }
}

#[component]
fn RunButton(draft: Draft, running: RwSignal<Option<(String, String, String)>>) -> impl IntoView {
    let texts = t();
    let client = StoredValue::new(client());
    let (busy, failed) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let ready = move || draft.fresh.get() && draft.checked.with(|c| c.job.is_some()) && !busy.get();
    let why_not = move || match draft.errors() {
        0 => None,
        1 => Some(texts.fix_one_error.to_owned()),
        n => Some(fill(texts.fix_n_errors, &[&n.to_string()])),
    };
    let run = move |_| {
        let Some(job) = draft.checked.with_untracked(|c| c.job.clone()) else { return };
        let (text, given) = (draft.text.get_untracked(), draft.values());
        busy.set(true);
        failed.set(None);
        leptos::task::spawn_local(async move {
            let answer = register(&client.get_value(), &job, &text, &given).await;
            busy.try_set(false);
            match answer {
                Ok(eval) => drop(running.try_set(key_of(&job).map(|(namespace, id)| (namespace, id, eval)))),
                Err(error) => drop(failed.try_set(Some(sentence(&error)))),
            }
        });
    };
    view! {
        {move || why_not().map(|text| view! { <span class="t12 c-failed wide">{text}</span> })}
        {move || failed.get().map(|text| note("bad", Kind::Failed, view! { <span role="alert">{text}</span> }))}
        <button type="button" class="btn primary" disabled=move || !ready() on:click=run>{icon("play")}{texts.run}</button>
    }
}

/// Registers the job with its source; gives the id of the evaluation, which a parent has not.
async fn register(client: &Client, job: &Value, text: &str, given: &Given) -> Result<String, Error> {
    let format = if api_job(text).is_some() { "json" } else { "hcl2" };
    let (source, format, variable_flags) = (text.to_owned(), format.to_owned(), Some(given.clone()));
    let submission = JobSubmission { source, format, variable_flags, ..JobSubmission::default() };
    let namespace = key_of(job).map(|(n, _)| n).unwrap_or_default();
    Ok(client.register_json(&in_namespace(&namespace), job, Some(&submission)).await?.value.eval_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_hcl() {
        let id = |text: &str| api_job(text).and_then(|j| key_of(&j));
        assert_eq!(id("{\"Job\": {\"ID\": \"a\", \"Namespace\": \"n\"}}"), Some(("n".into(), "a".into())));
        assert_eq!(id(" {\"ID\": \"a\"}"), Some(("default".into(), "a".into())));
        assert_eq!(id("{\"job\": {\"a\": {}}}"), None);
        assert_eq!(id("job \"a\" {}"), None);
    }

    #[test]
    fn servers_positions() {
        let problem = placed("a\nbc\ndef", "Failed to parse job: input.hcl:3,2-4: Unsupported argument; x");
        assert_eq!((problem.line, problem.column, problem.from), (3, 2, 6));
        assert_eq!(placed("a", "no position").line, 0);
    }
}
