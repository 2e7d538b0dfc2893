//! What one rendering may cost: bytes of output, bytes that functions look at and make, and time.
//!
//! A few words of a template can ask for more than a node has: `range` in `range`, a text that doubles in a loop, a
//! template that calls itself twice. The engine counts rounds of `range` and levels of calls, and nothing else. So every
//! function is called through a [`Meter`], functions of the engine that make texts are replaced by metered ones, the output
//! goes to a writer that ends, and a call without output that asks for the time stands at the start of every body.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gotmpl::parse::{ListNode, Node};
use gotmpl::{TemplateError, Value};

type Result = gotmpl::Result<Value>;

/// Bytes of all templates of a task together.
pub const MAX_OUTPUT: u64 = 32 << 20;
/// Bytes of one template's source, and of a file that a template reads.
pub const MAX_SOURCE: u64 = 4 << 20;
/// Actions of one template: each takes some hundred bytes once it is parsed.
const MAX_ACTIONS: usize = 50_000;
/// What functions make, in bytes; a part of a list counts as its handle. All of it may be held in variables at the same time.
const MAX_WORK: u64 = 256 << 20;
/// Longest rendering of all templates of a task. A thread is held so long.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Bytes that one value holds beside its text.
const HANDLE: u64 = 24;
/// The call at the start of every body. No template can name it.
const TICK: &str = "\u{1}tick";

/// Why a rendering was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    #[error("the task's templates render to more than {} MB", MAX_OUTPUT >> 20)]
    Output,
    #[error("rendering needs more than {} MB of texts and lists on its way", MAX_WORK >> 20)]
    Work,
    #[error("rendering takes longer than {}s", MAX_TIME.as_secs())]
    Time,
    #[error("the task is not wanted any more")]
    Unwanted,
}

/// While this lives, somebody waits for the rendering.
pub struct Waiting(pub Arc<Meter>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.over.set(Over::Unwanted);
    }
}

/// Counts for all templates of one rendering.
pub struct Meter {
    until: Instant,
    work: AtomicU64,
    output: AtomicU64,
    over: OnceLock<Over>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter::until(Instant::now() + MAX_TIME)
    }
}

impl Meter {
    pub fn until(until: Instant) -> Meter {
        let (work, output) = (AtomicU64::new(MAX_WORK), AtomicU64::new(MAX_OUTPUT));
        Meter { until, work, output, over: OnceLock::new() }
    }

    /// What ended the rendering, if that was the meter.
    pub fn over(&self) -> Option<Over> {
        self.over.get().copied()
    }

    fn end(&self, over: Over) -> TemplateError {
        TemplateError::Exec(self.over.get_or_init(|| over).to_string())
    }

    pub fn tick(&self) -> gotmpl::Result<()> {
        match self.over() {
            Some(over) => Err(self.end(over)),
            None if Instant::now() >= self.until => Err(self.end(Over::Time)),
            None => Ok(()),
        }
    }

    fn charge(&self, bytes: u64) -> gotmpl::Result<()> {
        take(&self.work, bytes).map_err(|()| self.end(Over::Work))
    }

    /// Whether so much may still be made: asked before a function makes far more than it is given.
    fn room(&self, bytes: u64) -> gotmpl::Result<()> {
        if bytes <= self.work.load(Ordering::Relaxed) { Ok(()) } else { Err(self.end(Over::Work)) }
    }

    /// Charges a value with all that is in it.
    fn value(&self, value: &Value) -> gotmpl::Result<()> {
        match value {
            Value::String(text) => self.charge(HANDLE + text.len() as u64),
            Value::List(items) => {
                self.charge(HANDLE)?;
                items.iter().try_for_each(|item| self.value(item))
            }
            Value::Map(map) => {
                self.charge(HANDLE)?;
                map.iter().try_for_each(|(key, item)| {
                    self.charge(2 * HANDLE + key.len() as u64)?;
                    self.value(item)
                })
            }
            _ => self.charge(HANDLE),
        }
    }

    /// Calls a function between two looks: its time is bounded by what it is given, and what it makes may be kept.
    pub fn call(&self, name: &str, args: &[Value], function: impl FnOnce(&[Value]) -> Result) -> Result {
        self.tick()?;
        self.room(most_made(name, args))?;
        let made = function(args)?;
        self.value(&made)?;
        Ok(made)
    }
}

/// Less by `bytes`, or an error that stays.
fn take(left: &AtomicU64, bytes: u64) -> std::result::Result<(), ()> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
    taken.map(drop).map_err(|_| left.store(0, Ordering::Relaxed))
}

/// The rendered text, as long as it may be.
pub struct Output<'a> {
    pub text: String,
    meter: &'a Meter,
}

impl<'a> Output<'a> {
    pub fn new(meter: &'a Meter) -> Output<'a> {
        Output { text: String::new(), meter }
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if take(&self.meter.output, part.len() as u64).is_err() {
            let _ = self.meter.over.set(Over::Output);
        }
        self.meter.tick().map_err(|_| fmt::Error)?;
        self.text.push_str(part);
        Ok(())
    }
}

/// Refuses a source that costs too much before anything of it runs.
pub fn check_source(source: &str, delimiter: &str) -> std::result::Result<(), String> {
    if source.len() as u64 > MAX_SOURCE {
        return Err(format!("the template is larger than {} MB", MAX_SOURCE >> 20));
    }
    match source.matches(delimiter).count() {
        actions if actions > MAX_ACTIONS => Err(format!("the template has more than {MAX_ACTIONS} actions")),
        _ => Ok(()),
    }
}

/// The template with its engine's own functions metered, and ready for [`watched`].
pub fn metered(template: gotmpl::Template, meter: &Arc<Meter>) -> gotmpl::Template {
    let with = |name: &'static str, function: fn(&[Value]) -> Result| {
        let meter = meter.clone();
        move |args: &[Value]| meter.call(name, args, function)
    };
    let ticking = meter.clone();
    template
        .func(TICK, move |_| ticking.tick().map(|()| Value::String(Arc::from(""))))
        .func("print", with("print", |args| Ok(text(print(args)))))
        .func("println", with("println", |args| Ok(text(println(args)))))
        .func("html", with("html", |args| Ok(text(gotmpl::html_escape(&print(args))))))
        .func("js", with("js", |args| Ok(text(gotmpl::js_escape(&print(args))))))
        .func("urlquery", with("urlquery", |args| Ok(text(gotmpl::url_encode(&print(args))))))
        .func("printf", with("printf", printf))
        .func("slice", with("slice", slice))
}

/// No less than what a function makes of these, and more than the little that needs no look before.
fn most_made(name: &str, args: &[Value]) -> u64 {
    let given = || args.iter().map(shown_length).sum::<u64>();
    let length = |index: usize| args.get(index).map_or(0, shown_length);
    let count = |index: usize, part: &str| match args.get(index) {
        Some(Value::String(text)) if part.is_empty() => 1 + text.len() as u64,
        Some(Value::String(text)) => 1 + text.matches(part).count() as u64,
        Some(Value::List(items)) => items.len() as u64,
        _ => 1,
    };
    let part = match args.first() {
        Some(Value::String(text)) => &**text,
        _ => "",
    };
    match name {
        "printf" => most_written(part, args.iter().skip(1).map(shown_length).max().unwrap_or_default()),
        "indent" => {
            given() + count(1, "\n") * args.first().and_then(Value::as_int).unwrap_or(1000).clamp(0, 1000) as u64
        }
        "replaceAll" | "sprig_replace" => given() + count(2, part) * length(1),
        "join" | "sprig_join" => given() + count(1, "") * length(0),
        "split" => given() + count(1, part) * 2 * HANDLE,
        "splitToMap" => given() + count(2, part) * 4 * HANDLE,
        // A value of two characters takes that much in the reader's form and in ours.
        "parseJSON" => 40 * given(),
        // As deep as the reader of JSON goes.
        "toJSONPretty" | "toUnescapedJSONPretty" => 6 * given() + 256 * args.iter().map(parts).sum::<u64>(),
        "print" | "println" | "html" | "js" | "urlquery" | "toJSON" | "toUnescapedJSON" => 6 * given(),
        "toUpper" | "toLower" | "toTitle" | "sprig_upper" | "sprig_lower" | "sprig_quote" | "sprig_squote" => {
            6 * given()
        }
        _ => 0,
    }
}

/// A value and all that is in it, counted.
fn parts(value: &Value) -> u64 {
    match value {
        Value::List(items) => 1 + items.iter().map(parts).sum::<u64>(),
        Value::Map(map) => 1 + map.values().map(parts).sum::<u64>(),
        _ => 1,
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::String(Arc::from(text.as_ref()))
}

/// Spaces stand between two operands when neither is a text, as in Go.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let texts = |v: &Value| matches!(v, Value::String(_));
        if index > 0 && !texts(arg) && !texts(&args[index - 1]) {
            out.push(' ');
        }
        out.push_str(&arg.to_string());
    }
    out
}

fn println(args: &[Value]) -> String {
    let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
    shown.join(" ") + "\n"
}

/// The engine's own is reached through a template that calls nothing else.
fn printf(args: &[Value]) -> Result {
    let operands: String = (0..args.len()).map(|i| format!(" (index . {i})")).collect();
    let template = gotmpl::Template::new("printf").parse(&format!("{{{{printf{operands}}}}}"))?;
    template.execute_to_string(&Value::List(args.to_vec().into())).map(text)
}

fn shown_length(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::List(items) => items.iter().map(|item| 1 + shown_length(item)).sum(),
        Value::Map(map) => map.iter().map(|(key, item)| 8 + key.len() as u64 + shown_length(item)).sum(),
        // The longest number in the form that has no exponent.
        Value::Float(_) => 350,
        _ => 20,
    }
}

/// No less than what a format can come to: each verb writes an operand, six bytes for one at most, and its padding.
fn most_written(format: &str, longest: u64) -> u64 {
    /// What the engine cuts widths to.
    const WIDEST: u64 = u16::MAX as u64;
    let verbs = format.split('%').skip(1).map(|verb| {
        let spec: &str = verb.split(|c: char| c.is_ascii_alphabetic()).next().unwrap_or_default();
        let widths = spec.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
        let padding: u64 = widths.map(|n| n.min(WIDEST)).sum::<u64>() + WIDEST * spec.matches('*').count() as u64;
        16 + 4 * padding + 6 * longest
    });
    format.len() as u64 + verbs.sum::<u64>()
}

/// `slice x`, `slice x 1`, `slice x 1 2`: of a text a new one is made each time.
fn slice(args: &[Value]) -> Result {
    let fail = |text: &str| TemplateError::Exec(format!("slice: {text}"));
    let (value, bounds) = args.split_first().ok_or_else(|| fail("a value is missing"))?;
    if bounds.len() > 3 || (bounds.len() == 3 && matches!(value, Value::String(_))) {
        return Err(fail("too many indexes"));
    }
    let bound = |index: usize| match bounds.get(index) {
        None => Ok(None),
        Some(bound) => bound.as_int().map(Some).ok_or_else(|| fail("an index is no number")),
    };
    value.slice(bound(0)?, bound(1)?)
}

/// The same template, with a look at the clock at the start of every body.
pub fn watched(template: gotmpl::Template) -> gotmpl::Result<gotmpl::Template> {
    let tick = gotmpl::Template::new("tick").parse("{{tick}}")?;
    let tick = tick.lookup("tick").and_then(|list| list.nodes.first()).cloned();
    let Some(tick) = tick.map(named_tick) else { return Ok(template) };
    let names: Vec<String> = template.templates().into_iter().map(str::to_owned).collect();
    Ok(names.into_iter().fold(template, |template, name| {
        let Some(mut list) = template.lookup(&name).cloned() else { return template };
        add_ticks(&mut list, &tick);
        template.add_parse_tree(&name, list)
    }))
}

fn named_tick(mut node: Node) -> Node {
    if let Node::Action(action) = &mut node
        && let Some(gotmpl::parse::Expr::Identifier(_, name)) = action.pipe.commands[0].args.first_mut()
    {
        *name = TICK.into();
    }
    node
}

fn add_ticks(list: &mut ListNode, tick: &Node) {
    for node in &mut list.nodes {
        match node {
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                add_ticks(&mut branch.body, tick);
                if let Some(other) = &mut branch.else_body {
                    add_ticks(other, tick);
                }
            }
            Node::List(inner) => add_ticks(inner, tick),
            _ => {}
        }
    }
    list.nodes.insert(0, tick.clone());
}
