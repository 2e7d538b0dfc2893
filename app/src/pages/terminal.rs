//! Terminals in an allocation's tasks: several at a time, each a command of its own. [`session`] decides, [`crate::term`] draws.

pub mod session;

use std::rc::Rc;

use leptos::html::{Button, Div};
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use serde_json::Value;
use tarpan_api::{Client, Error, Query, calls};

use self::session::{Effect as Todo, Event, Line, NoCommand, Phase, words};
use super::actions::word;
use crate::context::client;
use crate::dom;
use crate::format::short;
use crate::lang::agent::{Agent, a};
use crate::lang::{fill, t};
use crate::parts::{command, copy_button_of, icon, note, status};
use crate::plain;
use crate::prefs::Region;
use crate::shapes::Alloc;
use crate::shell::Assets;
use crate::status::{Badge, Kind};
use crate::term::{Heard, Screen};

/// Terminals of one page: a node runs 32 commands beside an allocation.
const MOST: usize = 8;
/// What runs where nothing else is asked for.
const SHELL: &str = "/bin/sh";
/// Characters of a terminal's name.
const NAME: usize = 24;

/// A terminal that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opened {
    n: u32,
    task: String,
    command: Vec<String>,
}

/// The tasks in which a command can run, in the order of their names.
pub fn running(alloc: &Alloc) -> Vec<String> {
    alloc.task_states.iter().filter(|(_, s)| s.state == "running").map(|(name, _)| name.clone()).collect()
}

/// The command line that opens the same terminal.
fn command_line(alloc: &str, task: &str, text: &str) -> String {
    let words = words(text).unwrap_or_default().iter().map(|w| format!(" {}", word(w))).collect::<String>();
    format!("tarpan alloc exec -task {} {}{words}", word(task), short(alloc))
}

/// The panel. `task` is the one that is chosen at first.
#[component]
pub fn TerminalPanel(alloc: Signal<Alloc>, task: Memo<String>) -> impl IntoView {
    let (texts, words_of) = (t(), a());
    let id = Memo::new(move |_| alloc.with(|a| a.id.clone()));
    let tasks = Memo::new(move |_| alloc.with(running));
    let (chosen, text) = (RwSignal::new(task.get_untracked()), RwSignal::new(SHELL.to_owned()));
    // The task that was chosen, while it runs.
    let of = Memo::new(move |_| {
        tasks.with(|all| all.iter().find(|t| chosen.with(|c| c == *t)).or(all.first()).cloned().unwrap_or_default())
    });
    let (all, current, next) = (RwSignal::new(Vec::<Opened>::new()), RwSignal::new(0), StoredValue::new(1));
    let problem = move || match text.with(|text| words(text)) {
        _ if tasks.with(Vec::is_empty) => Some(words_of.no_task_runs.to_owned()),
        _ if all.with(|all| all.len() >= MOST) => Some(fill(words_of.not_all_terminals, &[&MOST.to_string()])),
        Err(NoCommand::Empty) => Some(words_of.command_empty.to_owned()),
        Err(NoCommand::QuoteOpen) => Some(words_of.quote_open.to_owned()),
        Ok(_) => None,
    };
    let begin = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (None, Ok(command)) = (problem(), text.with_untracked(|text| words(text))) else { return };
        let n = next.get_value();
        next.set_value(n + 1);
        all.update(|all| all.push(Opened { n, task: of.get_untracked(), command }));
        current.set(n);
    };
    let close = Callback::new(move |n: u32| {
        all.update(|all| all.retain(|one| one.n != n));
        if current.get_untracked() == n {
            current.set(all.with_untracked(|all| all.last().map_or(0, |one| one.n)));
        }
    });
    let option = move |name: String| {
        let this = name.clone();
        view! { <option value=name.clone() selected=move || of.with(|of| *of == this)>{plain::name(&name)}</option> }
    };
    let built = use_context::<Assets>().is_some_and(|assets| !assets.terminal.is_empty());
    let names = move || {
        all.with(|all| (all.len() > 1).then(|| {
            let one = |one: &Opened| {
                let (n, name) = (one.n, short_name(one));
                view! { <button type="button" aria-pressed=move || (current.get() == n).to_string() on:click=move |_| current.set(n)>{format!("{n}: {name}")}</button> }
            };
            view! { <div class="seg scroll" role="group" aria-label=words_of.terminals>{all.iter().map(one).collect_view()}</div> }
        }))
    };
    let empty = move || {
        all.with(Vec::is_empty).then(|| {
            view! {
                <div class="body stack t2">
                    <p>{words_of.terminal_why}</p>
                    {(!built).then(|| note("warn", Kind::Degraded, words_of.no_terminal_built))}
                    <noscript>{words_of.needs_browser}</noscript>
                    <p>{words_of.same_by_command_line}</p>
                    {move || command(command_line(&id.get(), &of.get(), &text.get()))}
                </div>
            }
        })
    };
    view! {
        <section class="panel" aria-label=words_of.terminal>
            <header class="wrap">
                <h2>{words_of.terminal}</h2>
                {names}
                <form class="row grow term-form" on:submit=begin>
                    <input type="hidden" name="tab" value="terminal"/>
                    <label class="vh" for="term-task">{texts.task}</label>
                    <span class="select-wrap"><select class="select" id="term-task" on:change=move |e| chosen.set(event_target_value(&e))>
                        {move || tasks.get().into_iter().map(option).collect_view()}</select>{crate::parts::icon12("down")}</span>
                    <label class="vh" for="term-command">{words_of.command}</label>
                    <input class="input mono grow" id="term-command" type="text" autocomplete="off" spellcheck="false" value=SHELL
                        aria-invalid=move || text.with(|text| words(text).is_err()).then_some("true")
                        on:input=move |e| text.set(event_target_value(&e))/>
                    <button type="submit" class="btn primary" disabled=move || !built || problem().is_some() title=problem>{icon("terminal")}{words_of.open_terminal}</button>
                </form>
            </header>
            {move || problem().filter(|_| built).map(|text| view! { <p class="body t12 t2" role="status">{text}</p> })}
            {empty}
            <For each=move || all.get() key=|one| one.n children=move |one| {
                let n = one.n;
                view! { <div hidden=move || current.get() != n><One alloc=id.get_untracked() opened=one close=close shown=Signal::derive(move || current.get() == n)/></div> }
            }/>
        </section>
    }
}

/// `web: sh`
fn short_name(one: &Opened) -> String {
    let program = one.command.first().and_then(|c| c.rsplit('/').next()).unwrap_or_default();
    plain::name(&format!("{}: {program}", one.task)).chars().take(NAME).collect()
}

/// How a terminal stands, as a badge.
fn badge(phase: &Phase) -> Badge {
    let (texts, words) = (t(), a());
    match phase {
        Phase::Connecting => Badge::new(Kind::Pending, words.ph_connecting),
        Phase::Open => Badge::new(Kind::Running, words.ph_open),
        Phase::Exited(0) => Badge::new(Kind::Complete, words.ph_exited).sub(fill(texts.exit_code, &["0"])),
        Phase::Exited(code) => {
            Badge::new(Kind::Stopped, words.ph_exited).sub(fill(texts.exit_code, &[&code.to_string()]))
        }
        Phase::Refused(_) => Badge::new(Kind::Failed, words.ph_refused),
        Phase::Lost(n) => Badge::new(Kind::Lost, words.ph_lost).sub(fill(words.try_n, &[&(n + 1).to_string()])),
        Phase::Back => Badge::new(Kind::Degraded, words.ph_back),
    }
}

/// What the screen says.
fn sentence(words: &Agent, line: &Line) -> String {
    match line {
        Line::Exited(code) => fill(words.said_exited, &[&code.to_string()]),
        Line::Refused(why) => fill(words.said_refused, &[why]),
        Line::Lost => words.said_lost.to_owned(),
        Line::Back => words.said_back.to_owned(),
    }
}

/// One terminal at work.
#[derive(Clone, Copy)]
struct At {
    phase: RwSignal<Phase>,
    screen: StoredValue<Option<SendWrapper<Screen>>>,
    /// Where its command runs.
    path: StoredValue<String>,
    alloc: StoredValue<String>,
    client: StoredValue<Client>,
    /// Asked for while the page is made: later nobody knows the page's language.
    words: &'static Agent,
}

impl At {
    fn hear(self, event: Event) {
        let Some(phase) = self.phase.try_get_untracked() else { return };
        let (phase, todo) = phase.step(event);
        self.phase.try_set(phase);
        todo.into_iter().for_each(|todo| self.act(todo));
    }

    fn act(self, todo: Todo) {
        match todo {
            Todo::Connect => self.on_screen(|screen| screen.connect(&self.path.get_value())),
            Todo::Say(line) => self.on_screen(|screen| screen.say(&sentence(self.words, &line))),
            Todo::Probe { after_ms } => leptos::task::spawn_local(async move {
                dom::sleep_ms(after_ms).await;
                if let Some(event) = self.probe().await {
                    self.hear(event);
                }
            }),
        }
    }

    fn on_screen(self, act: impl FnOnce(&Screen)) {
        self.screen.try_with_value(|screen| screen.as_ref().map(|screen| act(screen)));
    }

    /// Whether the server answers; what it says is of no matter. `None`: the terminal is gone.
    async fn probe(self) -> Option<Event> {
        let (client, id) = (self.client.try_get_value()?, self.alloc.try_get_value()?);
        let call = calls::allocation(&Query::new(), &id).part::<Value>();
        Some(match client.call(&call).await {
            Ok(_) => Event::Answered,
            Err(Error::Status { code, .. }) if code < 500 => Event::Answered,
            Err(_) => Event::Silent,
        })
    }
}

#[component]
fn One(alloc: String, opened: Opened, close: Callback<u32>, shown: Signal<bool>) -> impl IntoView {
    let words = a();
    let Opened { n, task, command } = opened;
    let call = calls::exec(&Query::new(), &alloc, &task, &command, true);
    let at = At {
        phase: RwSignal::new(Phase::Connecting),
        screen: StoredValue::new(None),
        path: StoredValue::new(Region::from_document().on(call.path())),
        alloc: StoredValue::new(alloc),
        client: StoredValue::new(client()),
        words,
    };
    let title = RwSignal::new(String::new());
    let failed = RwSignal::new(None::<String>);
    let (node, way_out) = (NodeRef::<Div>::new(), NodeRef::<Button>::new());
    let help = format!("term-help-{n}");
    let label = fill(words.terminal_of, &[&task]);
    let hear = move |heard: Heard| match heard {
        Heard::Opened => at.hear(Event::Opened),
        Heard::Exited(code) => at.hear(Event::Exited(code)),
        Heard::Closed(code, why) => at.hear(Event::Closed(code, why)),
        Heard::Key(text) if text == "\r" || text == "\n" => at.hear(Event::Enter),
        Heard::Key(_) => {}
        Heard::Title(text) => drop(title.try_set(plain::name(&text))),
        Heard::Leave => {
            if let Some(button) = way_out.get_untracked() {
                let _ = button.focus();
            }
        }
    };
    let assets = use_context::<Assets>().unwrap_or_default();
    Effect::new({
        let (help, label) = (help.clone(), label.clone());
        move |started: Option<bool>| {
            let Some(element) = node.get() else { return false };
            if started == Some(true) {
                return true;
            }
            let (assets, help, label) = (assets.clone(), help.clone(), label.clone());
            leptos::task::spawn_local(async move {
                match Screen::open(&assets, &element, &label, &help, Rc::new(hear)).await {
                    Ok(screen) => {
                        if at.screen.try_set_value(Some(SendWrapper::new(screen))).is_none() {
                            at.act(Todo::Connect);
                            at.on_screen(Screen::focus);
                        }
                    }
                    Err(why) => drop(failed.try_set(Some(why))),
                }
            });
            true
        }
    });
    Effect::new(move |_| {
        if shown.get() {
            at.on_screen(Screen::focus);
        }
    });
    let aloud = RwSignal::new(false);
    let read_aloud = move |_| {
        aloud.update(|on| *on = !*on);
        at.on_screen(|screen| screen.read_aloud(aloud.get_untracked()));
    };
    let screen_text = move || at.screen.try_with_value(|s| s.as_ref().map(|s| s.text())).flatten().unwrap_or_default();
    view! {
        <div class="term">
            <div class="row term-bar">
                <span role="status">{move || at.phase.with(|phase| status(badge(phase)))}</span>
                <span class="mono t12 t2 cut grow">{move || title.get()}</span>
                <button type="button" class="btn small" aria-pressed=move || aloud.get().to_string() on:click=read_aloud>{words.read_aloud}</button>
                {copy_button_of(screen_text, words.copy_screen)}
                <button type="button" class="btn icon ghost small" node_ref=way_out aria-label=fill(words.close_terminal, &[&n.to_string()])
                    title=fill(words.close_terminal, &[&n.to_string()]) on:click=move |_| close.run(n)>{icon("x")}</button>
            </div>
            {move || failed.get().map(|why| note("bad", Kind::Failed, why))}
            <div class="term-screen" node_ref=node></div>
            <p class="t12 t2 term-help" id=help>{words.terminal_keys}" "{words.leave_hint}</p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_from_the_command_line() {
        let id = "b1f07c2e-1111-4222-8333-444455556666";
        assert_eq!(command_line(id, "web", "/bin/sh"), "tarpan alloc exec -task web b1f07c2e /bin/sh");
        assert_eq!(command_line(id, "a b", "sh -c 'id; ls'"), "tarpan alloc exec -task 'a b' b1f07c2e sh -c 'id; ls'");
        assert_eq!(command_line(id, "web", "'"), "tarpan alloc exec -task web b1f07c2e");
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        let opened = |task: &str, program: &str| Opened { n: 1, task: task.into(), command: vec![program.into()] };
        assert_eq!(short_name(&opened("web", "/usr/bin/bash")), "web: bash");
        assert_eq!(short_name(&opened("w\u{202e}\n", "x")), "w<202E>␊: x");
        assert_eq!(short_name(&opened(&"w".repeat(100), "x")).chars().count(), NAME);
    }
}
