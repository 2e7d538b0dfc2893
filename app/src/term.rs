//! The screen of a terminal: xterm.js with its WebSocket (`app/web/terminal.js`), loaded when somebody opens one.

use std::rc::Rc;

use js_sys::{Function, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::dom;
use crate::shell::Assets;

/// What the screen tells the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Opened,
    Exited(i64),
    /// Code and reason of the WebSocket.
    Closed(u16, String),
    /// Typed while nothing is connected.
    Key(String),
    /// What the command calls itself.
    Title(String),
    /// The key that gives the page its keyboard back.
    Leave,
}

/// An open screen; dropping it ends its connection.
pub struct Screen {
    handle: JsValue,
    _closures: Closures,
}

struct Closures {
    _text: [Closure<dyn FnMut(String)>; 2],
    _plain: [Closure<dyn FnMut()>; 2],
    _exit: Closure<dyn FnMut(f64)>,
    _close: Closure<dyn FnMut(f64, String)>,
}

impl Screen {
    /// Opens a screen below `parent`. `label` is what it is called, `help` the id of the text that says which keys leave it. Errors: it
    /// was not built, or could not be loaded.
    pub async fn open(
        assets: &Assets,
        parent: &web_sys::Element,
        label: &str,
        help: &str,
        hear: Rc<dyn Fn(Heard)>,
    ) -> Result<Screen, String> {
        let url = assets.url(&assets.terminal).ok_or("no terminal was built")?;
        let module = dom::load(&url).await.map_err(|e| dom::js_text(&e))?;
        let text = |make: fn(String) -> Heard| {
            let hear = Rc::clone(&hear);
            Closure::<dyn FnMut(String)>::new(move |text| hear(make(text)))
        };
        let plain = |heard: Heard| {
            let hear = Rc::clone(&hear);
            Closure::<dyn FnMut()>::new(move || hear(heard.clone()))
        };
        let (keys, titles) = (text(Heard::Key), text(Heard::Title));
        let (opened, leave) = (plain(Heard::Opened), plain(Heard::Leave));
        let exit = Closure::<dyn FnMut(f64)>::new({
            let hear = Rc::clone(&hear);
            move |code: f64| hear(Heard::Exited(code as i64))
        });
        let close =
            Closure::<dyn FnMut(f64, String)>::new(move |code: f64, why: String| hear(Heard::Closed(code as u16, why)));
        let options = Object::new();
        let all: [(&str, JsValue); 8] = [
            ("label", JsValue::from_str(label)),
            ("help", JsValue::from_str(help)),
            ("onKey", keys.as_ref().clone()),
            ("onTitle", titles.as_ref().clone()),
            ("onOpen", opened.as_ref().clone()),
            ("onLeave", leave.as_ref().clone()),
            ("onExit", exit.as_ref().clone()),
            ("onClose", close.as_ref().clone()),
        ];
        for (name, value) in &all {
            Reflect::set(&options, &JsValue::from_str(name), value).map_err(|e| dom::js_text(&e))?;
        }
        let open: Function =
            Reflect::get(&module, &JsValue::from_str("open")).map_err(|e| dom::js_text(&e))?.unchecked_into();
        let handle = open.call2(&JsValue::NULL, parent, &options).map_err(|e| dom::js_text(&e))?;
        let closures = Closures { _text: [keys, titles], _plain: [opened, leave], _exit: exit, _close: close };
        Ok(Screen { handle, _closures: closures })
    }

    fn call(&self, name: &str, argument: &JsValue) -> JsValue {
        let function = Reflect::get(&self.handle, &JsValue::from_str(name));
        let answer = function.and_then(|f| f.unchecked_into::<Function>().call1(&self.handle, argument));
        answer.unwrap_or(JsValue::UNDEFINED)
    }

    /// Connects to the command at `path`, a route of `/v1`.
    pub fn connect(&self, path: &str) {
        self.call("connect", &JsValue::from_str(path));
    }
    /// A line of the page's own.
    pub fn say(&self, line: &str) {
        self.call("say", &JsValue::from_str(line));
    }
    pub fn focus(&self) {
        self.call("focus", &JsValue::UNDEFINED);
    }
    /// What is selected, else all that is kept.
    pub fn text(&self) -> String {
        self.call("text", &JsValue::UNDEFINED).as_string().unwrap_or_default()
    }
    /// Keeps a copy of the lines for a screen reader.
    pub fn read_aloud(&self, on: bool) {
        self.call("readAloud", &JsValue::from_bool(on));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.call("destroy", &JsValue::UNDEFINED);
    }
}
