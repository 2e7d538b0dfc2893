//! Line charts as SVG: small enough to be drawn by the server too, and read by a screen reader as one sentence.

use leptos::prelude::*;

use crate::digits::thousands;
use crate::format::{amount, decimal};
use crate::lang::{fill, t};

/// A chart's box, in its own units; the page stretches it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// The line through `values` and the area under it, as path data; what is not a number is a gap. `top` is the value at the upper edge.
pub fn paths(values: &[f64], top: f64) -> (String, String) {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let (mut line, mut area) = (String::new(), String::new());
    let mut first = 0;
    for part in values.chunk_by(|a, b| a.is_nan() == b.is_nan()) {
        if !part[0].is_nan() {
            let x = |i: usize| decimal((first + i) as f64 * step, 1);
            let mut piece = String::new();
            for (i, value) in part.iter().enumerate() {
                let y = HEIGHT - (value / top.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * HEIGHT;
                let letter = if i == 0 { 'M' } else { 'L' };
                piece += &format!("{letter}{} {}", x(i), decimal(y, 1));
            }
            area += &format!("{piece}L{} 100L{} 100z", x(part.len() - 1), x(0));
            line += &piece;
        }
        first += part.len();
    }
    (line, area)
}

/// A round number at or above `value`, for a chart's upper edge: 1, 2, 4, 5 or 8 times a power of ten.
pub fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|m| m * power).find(|r| *r >= value).unwrap_or(10.0 * power)
}

/// A line of a few samples, as small as a word.
pub fn spark(values: &[f64]) -> AnyView {
    let top = values.iter().copied().fold(0.0, f64::max) * 1.1;
    let (line, area) = paths(values, top);
    view! {
        <svg class="spark" viewBox="0 0 600 100" preserveAspectRatio="none" aria-hidden="true">
            <path class="a" d=area></path><path class="l" d=line></path>
        </svg>
    }
    .into_any()
}

/// One chart: title, newest value of a limit, the line.
#[component]
pub fn Chart(
    title: &'static str,
    unit: &'static str,
    #[prop(into)] values: Signal<Vec<f64>>,
    #[prop(into)] limit: Signal<f64>,
    #[prop(into)] span: Signal<i64>,
) -> impl IntoView {
    let texts = t();
    let newest = move || values.with(|v| v.iter().rev().find(|x| !x.is_nan()).copied()).unwrap_or(0.0);
    let top = Memo::new(move |_| {
        let highest = values.with(|v| v.iter().copied().fold(0.0, f64::max));
        round_up((highest * 1.1).max(limit.get() * 1.1))
    });
    let drawn = Memo::new(move |_| values.with(|v| paths(v, top.get())));
    let label = move || {
        values.with(|v| {
            let (low, high) = v.iter().fold((f64::MAX, 0.0), |(l, h): (f64, f64), x| (l.min(*x), h.max(*x)));
            let low = low.min(high);
            fill(texts.chart_says, &[title, &thousands(low as i64), &thousands(high as i64), unit])
        })
    };
    let limit_line = move || {
        let (limit, top) = (limit.get(), top.get());
        (limit > 0.0 && limit <= top).then(|| {
            let y = decimal(HEIGHT - limit / top * HEIGHT, 1);
            view! { <line class="limit" x1="0" x2="600" y1=y.clone() y2=y></line> }
        })
    };
    let of =
        move || if limit.get() > 0.0 { fill(texts.of_x, &[&thousands(limit.get() as i64)]) } else { String::new() };
    view! {
        <div class="stack stack-1">
            <div class="row between">
                <span class="t12 t2">{title}", "{unit}</span>
                <span><b class="b">{move || amount(newest())}</b><span class="unit">{of}</span></span>
            </div>
            <div class="chart">
                <svg viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label=label>
                    <line class="grid" x1="0" x2="600" y1="0" y2="0"></line>
                    <line class="grid" x1="0" x2="600" y1="50" y2="50"></line>
                    <line class="grid" x1="0" x2="600" y1="100" y2="100"></line>
                    <path class="a1" d=move || drawn.get().1></path>
                    <path class="l1" d=move || drawn.get().0></path>
                    {limit_line}
                </svg>
                <div class="y">
                    <span>{move || thousands(top.get() as i64)}</span>
                    <span>{move || thousands((top.get() / 2.0) as i64)}</span>
                    <span>"0"</span>
                </div>
                <div class="x"><span>{move || format!("−{}", crate::format::rough(span.get()))}</span><span>{texts.now}</span></div>
            </div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_areas() {
        let (line, area) = paths(&[0.0, 50.0, 200.0], 100.0);
        assert_eq!(line, "M0.0 100.0L300.0 50.0L600.0 0.0");
        assert_eq!(area, "M0.0 100.0L300.0 50.0L600.0 0.0L600.0 100L0.0 100z");
        let gap = paths(&[f64::NAN, 1.0, f64::NAN, 1.0, 0.0], 1.0);
        assert_eq!(gap.0, "M150.0 0.0M450.0 0.0L600.0 100.0", "what is not known is not drawn");
        assert_eq!(gap.1, "M150.0 0.0L150.0 100L150.0 100zM450.0 0.0L600.0 100.0L600.0 100L450.0 100z");
        assert_eq!(paths(&[], 1.0), (String::new(), String::new()));
    }

    #[test]
    fn edges_are_round() {
        for (value, top) in [(0.0, 1.0), (0.7, 0.8), (44.0, 50.0), (110.0, 200.0), (1000.0, 1000.0), (850.0, 1000.0)] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
    }
}
