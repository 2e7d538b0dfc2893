//! Numbers, times and ids as people read them. Pure but for [`Clock`], the page's idea of "now".

use leptos::prelude::*;
use tarpan_model::time::{UnixNanos, civil};

use crate::digits::thousands;
use crate::dom;
use crate::lang::{Texts, fill, t};
use crate::prefs::Lang;

const SECOND: i64 = 1_000_000_000;

/// The page's clock: nanoseconds since the epoch, moved every second in the browser, and the local zone's distance from UTC.
#[derive(Clone, Copy)]
pub struct Clock {
    now: RwSignal<i64>,
    zone_minutes: RwSignal<i64>,
}

impl Clock {
    pub fn now(&self) -> i64 {
        self.now.get()
    }
    pub fn zone_minutes(&self) -> i64 {
        self.zone_minutes.get()
    }
}

/// Provides the [`Clock`]. On the server it stands still at the time of rendering, in UTC.
pub fn provide_clock() {
    let clock = Clock { now: RwSignal::new(start()), zone_minutes: RwSignal::new(0) };
    provide_context(clock);
    Effect::new(move |_| {
        clock.zone_minutes.set(dom::zone_minutes(dom::now_ns() as f64 / 1e6));
        leptos::task::spawn_local(async move {
            loop {
                if clock.now.try_set(dom::now_ns()).is_some() {
                    return;
                }
                dom::sleep_ms(1000).await;
            }
        });
    });
}

#[cfg(feature = "ssr")]
#[allow(clippy::disallowed_methods, reason = "the page's clock: what it shows is times of day")]
fn start() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(not(feature = "ssr"))]
fn start() -> i64 {
    dom::now_ns()
}

/// The clock of the page; outside of a page (tests of single parts) it stands at zero.
pub fn clock() -> Clock {
    use_context::<Clock>().unwrap_or_else(|| Clock { now: RwSignal::new(0), zone_minutes: RwSignal::new(0) })
}

/// `12.3`: with so many decimals. Ours, so that the browser's module need not carry the general way to write fractions.
pub fn decimal(n: f64, digits: u32) -> String {
    let one = 10_i64.pow(digits);
    let scaled = (n * one as f64).round() as i64;
    let sign = if scaled < 0 { "-" } else { "" };
    let (whole, rest) = (scaled.unsigned_abs() / one.unsigned_abs(), scaled.unsigned_abs() % one.unsigned_abs());
    if digits == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{rest:0width$}", width = digits as usize)
    }
}

/// A measured number: a decimal below ten, where whole numbers would say little.
pub fn amount(n: f64) -> String {
    if n > 0.0 && n < 9.95 { decimal(n, 1) } else { thousands(n.round() as i64) }
}

/// `31 GiB` of bytes.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{} {}", decimal(value, 0), UNITS[unit])
    } else {
        format!("{} {}", decimal(value, 1), UNITS[unit])
    }
}

/// MiB, as GiB from 10 GiB on.
pub fn mib(n: i64) -> String {
    if n >= 10 * 1024 { format!("{} GiB", thousands(n / 1024)) } else { format!("{} MiB", thousands(n)) }
}

/// The first eight characters of an id.
pub fn short(id: &str) -> String {
    id.get(..8).unwrap_or(id).to_owned()
}

/// Seconds as `12 s`, `2 m 38 s`, `3 h 12 m`, `6 d`.
pub fn span(secs: i64) -> String {
    let secs = secs.max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..600 => format!("{} m {:02} s", secs / 60, secs % 60),
        600..3600 => format!("{} m", secs / 60),
        3600..86_400 => format!("{} h {:02} m", secs / 3600, secs / 60 % 60),
        _ => format!("{} d", secs / 86_400),
    }
}

/// The largest unit only: `12 s`, `14 m`, `6 d`.
pub fn rough(secs: i64) -> String {
    let secs = secs.max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} m", secs / 60),
        3600..86_400 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// How long before `now` something was: `now`, `12 s ago`, after a week its date.
pub fn ago(texts: &Texts, at: i64, now: i64, zone_minutes: i64) -> String {
    if at <= 0 {
        return "–".to_owned();
    }
    let secs = (now - at) / SECOND;
    match secs {
        ..1 => texts.now.to_owned(),
        1..604_800 => fill(texts.x_ago, &[&rough(secs)]),
        _ => date(texts, at, zone_minutes),
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `18 Nov`, or `11月18日`.
pub fn date(texts: &Texts, at: i64, zone_minutes: i64) -> String {
    let (_, month, day) = civil(local_secs(at, zone_minutes).div_euclid(86_400));
    match texts.lang {
        Lang::En => format!("{day} {}", MONTHS[(month - 1).clamp(0, 11) as usize]),
        Lang::Zh => format!("{month}月{day}日"),
    }
}

/// `10:22:13`, or the date when it was another day.
pub fn time_of_day(texts: &Texts, at: i64, now: i64, zone_minutes: i64) -> String {
    let (secs, today) = (local_secs(at, zone_minutes), local_secs(now, zone_minutes));
    if secs.div_euclid(86_400) != today.div_euclid(86_400) && now > 0 {
        return date(texts, at, zone_minutes);
    }
    let s = secs.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn local_secs(at: i64, zone_minutes: i64) -> i64 {
    UnixNanos(at).secs() + zone_minutes * 60
}

/// A time that keeps itself relative: `12 s ago`.
#[component]
pub fn Ago(#[prop(into)] at: i64) -> impl IntoView {
    let (clock, texts) = (clock(), t());
    let exact = (at > 0).then(|| tarpan_model::time::rfc3339(UnixNanos(at)));
    view! { <time datetime=exact.clone() title=exact>{move || ago(texts, at, clock.now(), clock.zone_minutes())}</time> }
}

/// How long something is going on: `2 m 38 s`.
#[component]
pub fn Since(#[prop(into)] at: i64) -> impl IntoView {
    let clock = clock();
    view! { <span>{move || if at > 0 { span((clock.now() - at) / SECOND) } else { "–".to_owned() }}</span> }
}

/// A time of today, or the date.
#[component]
pub fn At(#[prop(into)] at: i64) -> impl IntoView {
    let (clock, texts) = (clock(), t());
    let exact = (at > 0).then(|| tarpan_model::time::rfc3339(UnixNanos(at)));
    // Only the day matters of the clock: a memo keeps the text from being made again every second.
    let day = Memo::new(move |_| clock.now() / (86_400 * SECOND));
    let text = move || {
        day.track();
        if at > 0 { time_of_day(texts, at, clock.now.get_untracked(), clock.zone_minutes()) } else { "–".to_owned() }
    };
    view! { <time datetime=exact.clone() title=exact>{text}</time> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;

    #[test]
    fn numbers() {
        for (n, text) in [(0, "0 B"), (1536, "1.5 KiB"), (33_285_996_544, "31.0 GiB")] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!((mib(512), mib(28_410)), ("512 MiB".into(), "27 GiB".into()));
    }

    #[test]
    fn decimals() {
        for (n, digits, text) in [
            (0.0, 1, "0.0"),
            (12.345, 2, "12.35"),
            (0.04, 1, "0.0"),
            (9.96, 1, "10.0"),
            (-1.5, 1, "-1.5"),
            (99.6, 0, "100"),
        ] {
            assert_eq!(decimal(n, digits), text);
        }
    }

    #[test]
    fn spans() {
        for (secs, text) in [(7, "7 s"), (158, "2 m 38 s"), (840, "14 m"), (11_520, "3 h 12 m"), (600_000, "6 d")] {
            assert_eq!(span(secs), text);
        }
    }

    #[test]
    fn relative_times() {
        let now = 1_795_256_821 * SECOND;
        let check = |lang, before: i64, text: &str| {
            assert_eq!(ago(texts_of(lang), now - before * SECOND, now, 0), text);
        };
        check(Lang::En, 0, "now");
        check(Lang::En, 12, "12 s ago");
        check(Lang::En, 86_400 * 9, "12 Nov");
        check(Lang::Zh, 840, "14 m 前");
        check(Lang::Zh, 86_400 * 9, "11月12日");
        assert_eq!(ago(texts_of(Lang::En), 0, now, 0), "–");
    }
}
