//! The tree: bodies of arguments and blocks, expressions, templates.

use crate::number::Number;

/// Bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
    pub fn contains(self, offset: usize) -> bool {
        (self.start as usize..=self.end as usize).contains(&offset)
    }
}

/// A name or label with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    pub text: String,
    pub span: Span,
}

/// What stands between braces, or in a whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    pub items: Vec<Item>,
    /// The braces included.
    pub span: Span,
    /// The text ends before the closing brace.
    pub unclosed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Attribute(Attribute),
    Block(Block),
}

/// `name = expr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub name: Ident,
    pub expr: Expr,
}

/// `kind "label" { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub kind: Ident,
    pub labels: Vec<Ident>,
    pub body: Body,
}

impl Block {
    /// From the name to the last label.
    pub fn header(&self) -> Span {
        self.kind.span.to(self.labels.last().map_or(self.kind.span, |l| l.span))
    }
    pub fn span(&self) -> Span {
        self.kind.span.to(self.body.span)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
    /// Expressions inside one another below this one: whoever walks the tree recurses as deep.
    pub height: u32,
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        let height = kind.height();
        Expr { kind, span, height }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Null,
    Bool(bool),
    Number(Number),
    Template(Template),
    /// A name with the static steps after it: `var.a[0].b`.
    Traversal {
        root: Ident,
        steps: Vec<Step>,
    },
    Call {
        name: Ident,
        args: Vec<Expr>,
        /// `f(list...)`: the last argument is spread.
        spread: bool,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Conditional {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Tuple(Vec<Expr>),
    Object(Vec<(Key, Expr)>),
    For(Box<ForExpr>),
    /// Steps on the value of an expression that is not a name.
    Relative {
        source: Box<Expr>,
        step: Step,
    },
    Index {
        source: Box<Expr>,
        key: Box<Expr>,
    },
    /// `source.*.a` and `source[*].a`: `each` is applied to every element.
    Splat {
        source: Box<Expr>,
        each: Vec<SplatStep>,
    },
    Paren(Box<Expr>),
}

impl ExprKind {
    fn height(&self) -> u32 {
        let highest = |all: &mut dyn Iterator<Item = &Expr>| all.map(|e| e.height).max().unwrap_or(0);
        1 + match self {
            ExprKind::Null | ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Traversal { .. } => return 0,
            ExprKind::Template(template) => template.parts.iter().map(Part::height).max().unwrap_or(0),
            ExprKind::Call { args, .. } => highest(&mut args.iter()),
            ExprKind::Unary { operand, .. } => operand.height,
            ExprKind::Binary { left, right, .. } => left.height.max(right.height),
            ExprKind::Conditional { test, then, otherwise } => test.height.max(then.height).max(otherwise.height),
            ExprKind::Tuple(items) => highest(&mut items.iter()),
            ExprKind::Object(items) => {
                items.iter().map(|(key, value)| key.height().max(value.height)).max().unwrap_or(0)
            }
            ExprKind::For(f) => {
                highest(&mut [&f.source, &f.value].into_iter().chain(f.key.as_ref()).chain(f.test.as_ref()))
            }
            ExprKind::Relative { source, .. } => source.height,
            ExprKind::Index { source, key } => source.height.max(key.height),
            ExprKind::Splat { source, each } => {
                let keys = each.iter().map(|step| if let SplatStep::Index(key) = step { key.height } else { 0 });
                keys.max().unwrap_or(0).max(source.height)
            }
            ExprKind::Paren(inner) => inner.height,
        }
    }
}

/// A step known without evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub key: StepKey,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StepKey {
    /// `.name`.
    Attr(String),
    /// `["name"]`.
    Name(String),
    /// `[0]` or `.0`.
    Number(Number),
}

#[derive(Clone, Debug, PartialEq)]
pub enum SplatStep {
    Static(Step),
    Index(Expr),
}

/// Left side of an object's item.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Name(Ident),
    Expr(Expr),
}

impl Key {
    fn height(&self) -> u32 {
        match self {
            Key::Name(_) => 0,
            Key::Expr(expr) => expr.height,
        }
    }
    pub fn span(&self) -> Span {
        match self {
            Key::Name(ident) => ident.span,
            Key::Expr(expr) => expr.span,
        }
    }
}

/// `[for k, v in source : value if test]` and `{for k, v in source : key => value... if test}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ForExpr {
    pub key_name: Option<Ident>,
    pub value_name: Ident,
    pub source: Expr,
    /// Present in the object form.
    pub key: Option<Expr>,
    pub value: Expr,
    /// `...`: values of one key are gathered in a list.
    pub group: bool,
    pub test: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Negate,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Text with holes, from quotes or a heredoc; escapes resolved, indentation stripped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    pub parts: Vec<Part>,
}

impl Template {
    /// The text of a template without holes.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Literal(String),
    Hole(Expr),
    If { test: Expr, then: Vec<Part>, otherwise: Vec<Part> },
    For { key_name: Option<Ident>, value_name: Ident, source: Expr, body: Vec<Part> },
}

impl Part {
    fn height(&self) -> u32 {
        let highest = |parts: &[Part]| parts.iter().map(Part::height).max().unwrap_or(0);
        match self {
            Part::Literal(_) => 0,
            Part::Hole(expr) => expr.height,
            Part::If { test, then, otherwise } => 1 + test.height.max(highest(then)).max(highest(otherwise)),
            Part::For { source, body, .. } => 1 + source.height.max(highest(body)),
        }
    }
}
