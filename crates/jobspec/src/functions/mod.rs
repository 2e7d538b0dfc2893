//! The functions of the language, by name.
//!
//! Each is a pure function of its arguments; file functions see files only through [`Files`], `uuidv4` and `bcrypt` draw from
//! the seed that is handed in. `try`, `can` and `convert` look at unevaluated arguments and live in the evaluator.
//! Arguments are converted to the declared kind before a function sees them.

mod collection;
mod encoding;
mod file;
mod format;
mod hash;
mod json;
mod net;
mod numeric;
mod text;
mod time;
mod yaml;

use crate::budget::{Budget, Over};
use crate::input::Files;
use crate::number::Number;
use crate::value::{Type, Value, convert};

/// What a call may use besides its arguments.
pub(crate) struct Call<'c> {
    pub files: Option<&'c dyn Files>,
    pub seed: &'c mut u64,
    /// A function that can make much from little pays before it does.
    pub budget: &'c mut Budget,
    pub regexes: &'c mut Regexes,
}

pub(crate) use text::Regexes;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Str,
    Num,
    Any,
    /// Anything, and null too.
    Nullable,
    /// A list, set or tuple.
    Seq,
    /// A list, set or tuple of texts.
    Strs,
    /// A map or object.
    Map,
}

pub(crate) struct Param {
    pub name: &'static str,
    pub kind: Kind,
}

pub(crate) struct Function {
    pub name: &'static str,
    pub params: &'static [Param],
    /// How many of `params` have to be given.
    pub required: usize,
    /// Any number of these may follow.
    pub rest: Option<Param>,
    pub doc: &'static str,
    run: fn(&[Value], &mut Call<'_>) -> Outcome,
}

pub(crate) type Outcome = Result<Value, Problem>;

/// Why a call has no value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// Number of the argument to blame, from 0.
    pub argument: Option<usize>,
    pub kind: ProblemKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    TooMany,
    NotEnough,
    Argument,
    Failed,
    /// The budget is spent, which is reported elsewhere.
    Over,
}

impl From<Over> for Problem {
    fn from(_: Over) -> Problem {
        Problem { argument: None, kind: ProblemKind::Over, message: String::new() }
    }
}

/// The call failed for a reason that no single argument has.
fn failed(message: impl Into<String>) -> Problem {
    Problem { argument: None, kind: ProblemKind::Failed, message: message.into() }
}

/// Argument `index` can't be used.
fn bad(index: usize, message: impl Into<String>) -> Problem {
    Problem { argument: Some(index), kind: ProblemKind::Argument, message: message.into() }
}

impl Problem {
    /// Summary and detail.
    pub fn sentence(&self, function: &Function) -> (&'static str, String) {
        let name = function.name;
        match self.kind {
            ProblemKind::TooMany => {
                ("Too many function arguments", format!("Function {name:?} expects {}.", self.message))
            }
            ProblemKind::NotEnough => {
                ("Not enough function arguments", format!("Function {name:?} expects {}.", self.message))
            }
            ProblemKind::Argument => {
                let parameter = self.argument.and_then(|i| function.param(i)).map_or("value", |p| p.name);
                (
                    "Invalid function argument",
                    format!("Invalid value for {parameter:?} parameter of {name:?}: {}.", self.message),
                )
            }
            ProblemKind::Failed | ProblemKind::Over => {
                ("Error in function call", format!("Call to function {name:?} failed: {}.", self.message))
            }
        }
    }
}

impl Function {
    fn param(&self, index: usize) -> Option<&Param> {
        self.params.get(index).or(self.rest.as_ref())
    }

    /// As in `substr(str, offset, length)`.
    pub fn signature(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (index, param) in self.params.iter().enumerate() {
            parts.push(if index < self.required { param.name.to_owned() } else { format!("[{}]", param.name) });
        }
        parts.extend(self.rest.iter().map(|p| format!("{}...", p.name)));
        format!("{}({})", self.name, parts.join(", "))
    }

    pub fn call(&self, args: &[Value], context: &mut Call<'_>) -> Outcome {
        self.check_count(args.len())?;
        let mut converted = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            let kind = self.param(index).map_or(Kind::Any, |p| p.kind);
            if matches!(kind, Kind::Str | Kind::Strs) {
                context.budget.spend(text_steps(arg))?;
            }
            converted.push(fit(arg, kind).map_err(|message| bad(index, message))?);
        }
        (self.run)(&converted, context)
    }

    fn check_count(&self, given: usize) -> Result<(), Problem> {
        let (least, most) = (self.required, if self.rest.is_some() { usize::MAX } else { self.params.len() });
        let expects = match (least, most) {
            (l, usize::MAX) => format!("at least {l} argument(s)"),
            (l, m) if l == m => format!("{}{l} argument(s)", if given > most { "only " } else { "" }),
            (l, m) => format!("{l} to {m} arguments"),
        };
        if given > most {
            return Err(Problem { argument: Some(most), kind: ProblemKind::TooMany, message: expects });
        }
        if given < least {
            let missing = self.param(given).map_or("", |p| p.name);
            let message = format!("{expects}; a value for {missing:?} is missing");
            return Err(Problem { argument: None, kind: ProblemKind::NotEnough, message });
        }
        Ok(())
    }
}

/// What writing the numbers of a value as text costs.
fn text_steps(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.text_steps(),
        Value::Seq(_, items) => items.iter().map(|i| if let Value::Number(n) = i { n.text_steps() } else { 0 }).sum(),
        _ => 0,
    }
}

fn fit(arg: &Value, kind: Kind) -> Result<Value, String> {
    if *arg == Value::Null && kind != Kind::Nullable {
        return Err("argument must not be null".to_owned());
    }
    match kind {
        Kind::Str => convert(arg, &Type::Str),
        Kind::Num => convert(arg, &Type::Number),
        Kind::Any | Kind::Nullable => Ok(arg.clone()),
        Kind::Seq if matches!(arg, Value::Seq(..)) => Ok(arg.clone()),
        Kind::Seq => Err("a list is required".to_owned()),
        Kind::Strs => match arg {
            Value::Seq(kind, items) => {
                let texts = items.iter().map(|item| convert(item, &Type::Str)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::Seq(*kind, texts.into()))
            }
            _ => Err("list of string required".to_owned()),
        },
        Kind::Map if matches!(arg, Value::Map(..)) => Ok(arg.clone()),
        Kind::Map => Err("a map is required".to_owned()),
    }
}

// What converted arguments hold. `Function::call` has converted them, so another kind can only be a mistake in a table.

fn str_at(args: &[Value], index: usize) -> &str {
    match args.get(index) {
        Some(Value::Str(text)) => text,
        _ => "",
    }
}

fn num_at(args: &[Value], index: usize) -> Number {
    match args.get(index) {
        Some(Value::Number(number)) => number.clone(),
        _ => Number::ZERO,
    }
}

fn int_at(args: &[Value], index: usize) -> Result<i64, Problem> {
    num_at(args, index).to_i64().ok_or_else(|| bad(index, "a whole number is required"))
}

fn seq_at(args: &[Value], index: usize) -> &[Value] {
    match args.get(index) {
        Some(Value::Seq(_, items)) => items,
        _ => &[],
    }
}

/// All tables, in order of name.
fn tables() -> &'static [Function] {
    static ALL: std::sync::OnceLock<Vec<Function>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for table in [
            collection::table(),
            encoding::table(),
            file::table(),
            format::table(),
            hash::table(),
            net::table(),
            numeric::table(),
            text::table(),
            time::table(),
        ] {
            all.extend(table);
        }
        all.sort_by_key(|f| f.name);
        all
    })
}

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    let all = tables();
    all.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &all[i])
}

/// Functions that take unevaluated arguments, with their documentation.
pub(crate) const LAZY: [(&str, &str, &str); 3] = [
    ("can", "can(expression)", "Whether the expression can be computed without a mistake."),
    ("convert", "convert(value, type)", "The value changed to a type, as in convert([\"1\"], list(number))."),
    ("try", "try(expressions...)", "The first of its arguments that can be computed without a mistake."),
];

/// Every function that is a value of its arguments.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    tables().iter()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    tables().iter().map(|f| f.name).chain(LAZY.iter().map(|l| l.0))
}

/// ` Did you mean "x"?` when a known name is near, else nothing.
pub(crate) fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let nearest = known.map(|k| (distance(name, k), k)).min_by_key(|(d, _)| *d);
    match nearest {
        Some((d, k)) if d <= (name.len().div_ceil(3)).clamp(1, 3) => format!(" Did you mean {k:?}?"),
        _ => String::new(),
    }
}

/// Edits between two short names.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 3 || a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = (corner + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

/// Writes rows of a table: name, parameters, documentation, function.
macro_rules! functions {
    (@kind $kind:ident) => { $crate::functions::Kind::$kind };
    ($($name:ident ($($param:ident : $kind:ident),* $(; $opt:ident : $okind:ident)* $(.. $rest:ident : $rkind:ident)?) $doc:literal = $run:expr;)*) => {
        pub(super) fn table() -> Vec<$crate::functions::Function> {
            vec![$($crate::functions::Function {
                name: stringify!($name),
                params: &[
                    $($crate::functions::Param { name: stringify!($param), kind: $crate::functions::Kind::$kind },)*
                    $($crate::functions::Param { name: stringify!($opt), kind: $crate::functions::Kind::$okind },)*
                ],
                required: <[&str]>::len(&[$(stringify!($param)),*]),
                rest: functions!(@rest $($rest : $rkind)?),
                doc: $doc,
                run: $run,
            },)*]
        }
    };
    (@rest) => { None };
    (@rest $rest:ident : $kind:ident) => {
        Some($crate::functions::Param { name: stringify!($rest), kind: $crate::functions::Kind::$kind })
    };
}
use functions;
