//! What was used in the last hour or day, as the nodes remember it: charts that begin before their page was opened.

use leptos::prelude::*;
use serde_json::Value;
use tarpan_api::wire::{UsageHistory, UsageSeries};
use tarpan_api::{Call, Client};
use tarpan_model::wire::Wire as _;

use crate::chart::Chart;
use crate::context::client;
use crate::dom;
use crate::lang::t;
use crate::parts::panel;

/// What a chart shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// From when the page was opened, every few seconds.
    #[default]
    Live,
    Hour,
    Day,
}

impl Window {
    /// As `/v1` calls it; nodes remember nothing of what is live.
    fn span(self) -> Option<&'static str> {
        match self {
            Window::Live => None,
            Window::Hour => Some("hour"),
            Window::Day => Some("day"),
        }
    }
}

/// Slots, the oldest first; not a number where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// MHz.
    pub cpu: Vec<f64>,
    /// MiB.
    pub memory: Vec<f64>,
    /// Seconds from the first slot to the end of the last.
    pub span: i64,
}

impl Past {
    /// Adds a node's answer, a [`UsageHistory`]. Answers end at the same time, as nearly as a chart shows.
    fn add(&mut self, answer: &Value) {
        let (all, of) = (UsageHistory::FIELDS, UsageSeries::FIELDS);
        let whole = &answer[all.whole.name];
        add(&mut self.cpu, &whole[of.cpu.name], 1.0);
        add(&mut self.memory, &whole[of.memory.name], 1.0 / 1_048_576.0);
        let step = answer[all.step.name].as_i64().unwrap_or_default();
        self.span = self.cpu.len() as i64 * (step / 1_000_000_000);
    }
}

/// Adds from the newest slot backwards; a number and a gap are the number.
fn add(sum: &mut Vec<f64>, more: &Value, scale: f64) {
    let more = more.as_array().map_or(&[][..], Vec::as_slice);
    let missing = more.len().saturating_sub(sum.len());
    sum.splice(0..0, std::iter::repeat_n(f64::NAN, missing));
    for (sum, value) in sum.iter_mut().rev().zip(more.iter().rev()) {
        if let Some(value) = value.as_f64() {
            *sum = if sum.is_nan() { 0.0 } else { *sum } + value * scale;
        }
    }
}

/// How often a chart of the past is drawn anew, and how often it is looked whether another one is wanted.
const EVERY_MS: i32 = 10_000;
const LOOK_MS: i32 = 250;

/// Reads `calls` for the chosen window while the page shows it.
fn poll<F>(window: RwSignal<Window>, calls: F) -> RwSignal<Past>
where
    F: Fn(&'static str) -> Vec<Call<Value>> + Copy + Send + Sync + 'static,
{
    let found = RwSignal::new(Past::default());
    let client = client();
    Effect::new(move |_| {
        let client = client.clone();
        leptos::task::spawn_local(async move {
            let (mut shown, mut waited) = (Window::Live, 0);
            loop {
                let Some(wanted) = window.try_get_untracked() else { return };
                if let Some(span) = wanted.span()
                    && (wanted != shown || waited >= EVERY_MS)
                    && dom::visible()
                {
                    let past = ask(&client, calls(span)).await;
                    // Another one may have been chosen meanwhile.
                    if window.try_get_untracked() == Some(wanted) && found.try_set(past).is_some() {
                        return;
                    }
                    waited = 0;
                }
                shown = wanted;
                dom::sleep_ms(LOOK_MS).await;
                waited += LOOK_MS;
            }
        });
    });
    found
}

/// A node that does not answer leaves a gap.
async fn ask(client: &Client, calls: Vec<Call<Value>>) -> Past {
    let answers = futures::future::join_all(calls.iter().map(|call| client.call(call))).await;
    let mut past = Past::default();
    answers.iter().flatten().for_each(|answer| past.add(&answer.value));
    past
}

/// What is measured while the page shows.
#[derive(Clone, Copy)]
pub struct Live {
    /// MHz.
    pub cpu: Signal<Vec<f64>>,
    /// MiB.
    pub memory: Signal<Vec<f64>>,
    /// Seconds that the chart has room for.
    pub span: i64,
}

/// CPU and memory over time, of `limit` (MHz, MiB). `calls` ask for the past of what is shown, `ripe` says whether there is some.
#[component]
pub fn UseCharts<F>(
    live: Live,
    limit: Signal<(f64, f64)>,
    ripe: Signal<bool>,
    class: &'static str,
    calls: F,
) -> impl IntoView
where
    F: Fn(&'static str) -> Vec<Call<Value>> + Copy + Send + Sync + 'static,
{
    let texts = t();
    let window = RwSignal::new(Window::Live);
    let past = poll(window, calls);
    // After the page has come to life: what the server rendered knew no time.
    Effect::new(move |asked: Option<()>| {
        if asked.is_none() && ripe.get_untracked() {
            window.set(Window::Hour);
        }
    });
    let is_live = move || window.get() == Window::Live;
    let series = move |live: Signal<Vec<f64>>, of: fn(&Past) -> &Vec<f64>| {
        Signal::derive(move || if is_live() { live.get() } else { past.with(|p| of(p).clone()) })
    };
    let span = Signal::derive(move || if is_live() { live.span } else { past.with(|p| p.span) });
    let choose = move |which: Window, text: &'static str| {
        view! { <button type="button" aria-pressed=move || (window.get() == which).to_string() on:click=move |_| window.set(which)>{text}</button> }
    };
    let windows = view! {
        <div class="seg" role="group" aria-label=texts.period>
            {choose(Window::Live, texts.live)}{choose(Window::Hour, texts.last_hour)}{choose(Window::Day, texts.last_day)}
        </div>
    };
    let charts = view! {
        <div class=class>
            <Chart title=texts.cpu unit="MHz" values=series(live.cpu, |p| &p.cpu) limit=Signal::derive(move || limit.get().0) span=span/>
            <Chart title=texts.memory unit="MiB" values=series(live.memory, |p| &p.memory) limit=Signal::derive(move || limit.get().1) span=span/>
        </div>
    };
    panel(texts.usage, (), windows, charts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn several_pasts_are_summed_from_their_ends() {
        let mut past = Past::default();
        let of = |cpu: Value, memory: Value| json!({ "Step": 10_000_000_000_i64, "Whole": { "CPU": cpu, "Memory": memory } });
        past.add(&of(json!([5.0, null]), json!([1_048_576, null])));
        past.add(&of(json!([1.0, 2.0, null]), json!([1_048_576, 2_097_152, null])));
        assert_eq!((past.cpu[0], past.cpu[1], past.memory[1]), (1.0, 7.0, 3.0));
        assert!(past.cpu[2].is_nan() && past.memory[2].is_nan());
        assert_eq!(past.span, 30);
        past.add(&json!({}));
        assert_eq!(past.cpu.len(), 3, "an answer of another kind changes nothing");
    }
}
