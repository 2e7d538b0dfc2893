//! The parts that are loaded when they are used: the jobspec checker in its web worker, and the editor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use futures::channel::oneshot;
use js_sys::{Array, Function, Object, Promise, Reflect};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use crate::dom;
use crate::shell::Assets;

/// A finding of the checker, for the editor and the list below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: String,
    pub summary: String,
    pub detail: String,
    pub line: u32,
    pub column: u32,
    /// UTF-16 offsets.
    pub from: u32,
    pub to: u32,
    /// What to write there instead; empty: not known.
    pub fix: String,
}

/// A variable that the text declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    pub name: String,
    /// `string`, `number`, `list of string`, …
    pub kind: String,
    /// `None`: a value must be given.
    pub default: Option<String>,
    pub description: String,
    pub sensitive: bool,
}

/// What the checker gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// The job as the API takes it; `None` when there are errors.
    pub job: Option<serde_json::Value>,
    pub problems: Vec<Problem>,
    pub variables: Vec<Variable>,
}

type Waiting = Rc<RefCell<HashMap<u32, oneshot::Sender<Result<String, String>>>>>;

struct Checker {
    worker: Worker,
    waiting: Waiting,
    _listen: Closure<dyn FnMut(MessageEvent)>,
    _fail: Closure<dyn FnMut()>,
}

thread_local! {
    static CHECKER: RefCell<Option<Checker>> = const { RefCell::new(None) };
    static NEXT: Cell<u32> = const { Cell::new(0) };
}

/// Asks the worker; it is started at the first call, and again after it failed. Errors: no worker was built, or it failed.
pub async fn ask_worker(url: &str, call: &str, text: &str) -> Result<String, String> {
    let (send, receive) = oneshot::channel();
    let id = NEXT.with(|n| n.replace(n.get().wrapping_add(1)));
    CHECKER.with(|checker| {
        let mut checker = checker.borrow_mut();
        if checker.is_none() {
            *checker = Some(start(url)?);
        }
        let Some(started) = checker.as_ref() else { return Err("no worker".to_owned()) };
        started.waiting.borrow_mut().insert(id, send);
        let message = Array::of3(&JsValue::from(id), &JsValue::from_str(call), &JsValue::from_str(text));
        started.worker.post_message(&message).map_err(|e| dom::js_text(&e))
    })?;
    receive.await.unwrap_or_else(|_| Err("the checker stopped".to_owned()))
}

fn start(url: &str) -> Result<Checker, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(url, &options).map_err(|e| dom::js_text(&e))?;
    let waiting: Waiting = Rc::default();
    let listen = Closure::<dyn FnMut(MessageEvent)>::new({
        let waiting = Rc::clone(&waiting);
        move |event: MessageEvent| {
            let answer = Array::from(&event.data());
            let Some(id) = answer.get(0).as_f64() else { return };
            let Some(send) = waiting.borrow_mut().remove(&(id as u32)) else { return };
            let answer = answer.get(1).as_string().ok_or_else(|| answer.get(2).as_string().unwrap_or_default());
            let _ = send.send(answer);
        }
    });
    let fail = Closure::<dyn FnMut()>::new({
        let waiting = Rc::clone(&waiting);
        move || {
            waiting.borrow_mut().clear();
            // The next call starts a new one. Not now: this closure is part of the old one.
            leptos::task::spawn_local(async {
                if let Some(old) = CHECKER.with(|c| c.borrow_mut().take()) {
                    old.worker.terminate();
                }
            });
        }
    });
    worker.set_onmessage(Some(listen.as_ref().unchecked_ref()));
    worker.set_onerror(Some(fail.as_ref().unchecked_ref()));
    Ok(Checker { worker, waiting, _listen: listen, _fail: fail })
}

/// Checks a jobspec in the worker, with values of its variables.
pub async fn check(
    assets: &Assets,
    name: &str,
    text: &str,
    given: &BTreeMap<String, String>,
) -> Result<Checked, String> {
    let url = assets.url(&assets.worker).ok_or("no checker was built")?;
    let request = serde_json::json!({ "name": name, "text": text, "variables": given }).to_string();
    let answer = ask_worker(&url, "check", &request).await?;
    serde_json::from_str(&answer).map_err(|e| e.to_string())
}

/// An open editor; dropping it removes it.
pub struct Editor {
    handle: JsValue,
    _change: Closure<dyn FnMut(String)>,
}

impl Editor {
    /// Opens the editor below `parent`; `on_change` gets each new text.
    pub async fn open(
        assets: &Assets,
        parent: &web_sys::Element,
        label: &str,
        text: &str,
        on_change: impl FnMut(String) + 'static,
    ) -> Result<Editor, String> {
        let url = assets.url(&assets.editor).ok_or("no editor was built")?;
        let module = dom::load(&url).await.map_err(|e| dom::js_text(&e))?;
        let change = Closure::<dyn FnMut(String)>::new(on_change);
        let options = Object::new();
        let set = |name: &str, value: &JsValue| Reflect::set(&options, &JsValue::from_str(name), value).map(drop);
        let all = set("text", &JsValue::from_str(text))
            .and_then(|()| set("label", &JsValue::from_str(label)))
            .and_then(|()| set("onChange", change.as_ref()));
        all.map_err(|e| dom::js_text(&e))?;
        if let Some(worker) = assets.url(&assets.worker) {
            for call in ["complete", "hover"] {
                set(call, &asker(worker.clone(), call)).map_err(|e| dom::js_text(&e))?;
            }
        }
        let open: Function =
            Reflect::get(&module, &JsValue::from_str("open")).map_err(|e| dom::js_text(&e))?.unchecked_into();
        let handle = open.call2(&JsValue::NULL, parent, &options).map_err(|e| dom::js_text(&e))?;
        Ok(Editor { handle, _change: change })
    }

    fn call(&self, name: &str, argument: &JsValue) {
        if let Ok(function) = Reflect::get(&self.handle, &JsValue::from_str(name)) {
            let _ = function.unchecked_into::<Function>().call1(&self.handle, argument);
        }
    }
    pub fn set_text(&self, text: &str) {
        self.call("setText", &JsValue::from_str(text));
    }
    /// Marks what is wrong in the text.
    pub fn set_problems(&self, problems: &[Problem]) {
        let marks: Vec<_> = problems
            .iter()
            .map(|p| serde_json::json!({ "from": p.from, "to": p.to, "severity": p.severity, "message": p.sentence(), "fix": p.fix }))
            .collect();
        self.call("setProblems", &JsValue::from_str(&serde_json::Value::from(marks).to_string()));
    }
    pub fn go_to(&self, offset: u32) {
        self.call("goTo", &JsValue::from(offset));
    }
    /// Writes `text` over what stands between two offsets.
    pub fn replace(&self, from: u32, to: u32, text: &str) {
        self.call("replace", &Array::of3(&JsValue::from(from), &JsValue::from(to), &JsValue::from_str(text)));
    }
    pub fn find(&self) {
        self.call("find", &JsValue::UNDEFINED);
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.call("destroy", &JsValue::UNDEFINED);
    }
}

/// A function `(text, offset) -> Promise<JSON text>` that asks the worker. Lives as long as the page.
fn asker(url: String, call: &'static str) -> JsValue {
    let ask = Closure::<dyn FnMut(String, u32) -> Promise>::new(move |text: String, offset: u32| {
        let url = url.clone();
        wasm_bindgen_futures::future_to_promise(async move {
            let request = serde_json::json!({ "text": text, "offset": offset }).to_string();
            Ok(JsValue::from_str(&ask_worker(&url, call, &request).await.unwrap_or_default()))
        })
    });
    ask.into_js_value()
}

impl Problem {
    /// What is wrong, in one sentence or two.
    pub fn sentence(&self) -> String {
        match (self.summary.is_empty(), self.detail.is_empty()) {
            (_, true) => self.summary.clone(),
            (true, _) => self.detail.clone(),
            _ => format!("{}: {}", self.summary, self.detail),
        }
    }
}
