//! Bodies to blocks of the Job tree: one recursive walk by the schema, the language's special cases beside it.
//!
//! Reads: a [`Body`] and a `&mut dyn Block`. Gives: the block filled, a finding for every argument or block that is unknown,
//! doubled or of the wrong type, and the place of everything that was set ([`Places`]).
//! The walk knows no field by name; what a jobspec spells differently from the tree is in [`special`].

mod free;
pub(crate) mod json;
pub(crate) mod special;
mod values;

use std::collections::HashMap;

use tarpan_model::schema::{Block, Field, Kind, Schema, SlotMut};

use crate::eval::{Evaluator, Found, Scope, entries};
use crate::functions::suggestion;
use crate::input::DeclaredVariable;
use crate::syntax::{self, Attribute, Body, Ident, Item, Key, Span};
use crate::value::Value;

/// Where each argument and block of the tree was written, by path of wire names (`TaskGroups[0].Tasks[1].Driver`).
pub(crate) type Places = HashMap<String, Span>;

pub(crate) struct Decoder<'a> {
    pub eval: Evaluator<'a>,
    pub places: Places,
    pub declared: Vec<DeclaredVariable>,
}

/// A block as the walk sees it: written so, or made by `dynamic`.
pub(crate) struct View<'v> {
    pub kind: &'v Ident,
    pub labels: Vec<Ident>,
    pub body: &'v Body,
}

impl View<'_> {
    fn header(&self) -> Span {
        match self.labels.last() {
            Some(label) if label.span.start > self.kind.span.start => self.kind.span.to(label.span),
            _ => self.kind.span,
        }
    }
}

type Visit<'f> = &'f mut dyn FnMut(&mut Decoder<'_>, &View<'_>, &Scope<'_>);

impl Decoder<'_> {
    /// Fills `target` from `body`.
    pub fn body(&mut self, body: &Body, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        self.check_doubles(body);
        for item in &body.items {
            if let Item::Attribute(attribute) = item {
                self.attribute(attribute, target, scope, path);
            }
        }
        self.each_block(body, scope, &mut |d, view, scope| d.block(view, target, scope, path));
        self.finish(body, target);
    }

    /// Reports arguments that stand twice in one body.
    pub fn check_doubles(&mut self, body: &Body) {
        // Most bodies are short: looking through them is cheaper than a table.
        const SHORT: usize = 12;
        if body.items.len() <= SHORT && !has_doubles(&body.items) {
            return;
        }
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for item in &body.items {
            let Item::Attribute(attribute) = item else { continue };
            let name = &attribute.name;
            if let Some(first) = seen.get(name.text.as_str()) {
                self.eval.report(Found {
                    severity: crate::Severity::Error,
                    summary: "Attribute redefined".to_owned(),
                    detail: format!(
                        "The argument {:?} was already set at {{}}. Each argument may be set only once.",
                        name.text
                    ),
                    span: Some(name.span),
                    related: Some((*first, "The first definition".to_owned())),
                });
            } else {
                seen.insert(&name.text, name.span);
            }
        }
    }

    fn attribute(&mut self, attribute: &Attribute, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        if self.special_attribute(attribute, target, scope, path) {
            return;
        }
        let schema = target.schema();
        let name = &attribute.name;
        let Some((index, field)) = schema.by_hcl(&name.text) else {
            return self.unknown_argument(name, schema);
        };
        if matches!(field.kind, Kind::Block | Kind::Blocks | Kind::Named | Kind::Free) {
            let detail = format!(
                "An argument named {:?} is not expected here. Did you mean to define a block of type {:?}?",
                name.text, name.text
            );
            self.eval.error(name.span, "Unsupported argument", detail);
            return;
        }
        let value = self.eval.eval(&attribute.expr, scope);
        self.place(path, field.json, attribute.expr.span);
        self.store(target.slot_mut(index), value, attribute.expr.span);
    }

    fn unknown_argument(&mut self, name: &Ident, schema: &Schema) {
        let known = schema.fields.iter().filter_map(|f| f.hcl);
        let hint = suggestion(&name.text, known.chain(special::extra_names(schema)));
        let detail = format!("An argument named {:?} is not expected here.{hint}", name.text);
        self.eval.error(name.span, "Unsupported argument", detail);
    }

    fn block(&mut self, view: &View<'_>, target: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        if self.special_block(view, target, scope, path) {
            return;
        }
        let schema = target.schema();
        match schema.by_hcl(&view.kind.text) {
            Some((index, field)) if is_block(field) => self.known_block(view, target, (index, field), scope, path),
            Some(_) => {
                let name = &view.kind.text;
                let detail = format!(
                    "Blocks of type {name:?} are not expected here. Did you mean to define argument {name:?}? If so, use the equals sign to assign it a value."
                );
                self.eval.error(view.kind.span, "Unsupported block type", detail);
            }
            None => self.unknown_block(view, schema),
        }
    }

    fn unknown_block(&mut self, view: &View<'_>, schema: &Schema) {
        let known = schema.fields.iter().filter(|f| is_block(f)).filter_map(|f| f.hcl);
        let hint = suggestion(&view.kind.text, known.chain(special::extra_names(schema)));
        let detail = format!("Blocks of type {:?} are not expected here.{hint}", view.kind.text);
        self.eval.error(view.kind.span, "Unsupported block type", detail);
    }

    fn known_block(
        &mut self,
        view: &View<'_>,
        target: &mut dyn Block,
        (index, field): (usize, &'static Field),
        scope: &Scope<'_>,
        path: &str,
    ) {
        let label_field = field.child.and_then(Schema::label);
        let label_name = label_field.map(|_| "name");
        let Some(label) = self.labels(view, label_name) else {
            return;
        };
        let count = match target.slot(index) {
            tarpan_model::schema::Slot::Blocks(Some(list)) => list.len(),
            _ => 0,
        };
        let doubled = match target.slot_mut(index) {
            SlotMut::Block(slot) => slot.is_some(),
            SlotMut::Named(map) => label.as_ref().is_some_and(|l| map.contains(&l.text)),
            SlotMut::Map(map) => map.is_some(),
            SlotMut::Lists(map) => map.is_some(),
            SlotMut::Free(free) => free.is_some(),
            _ => false,
        };
        if doubled {
            return self.doubled_block(view, field, path);
        }
        let child_path = match (&label, field.kind) {
            (Some(label), Kind::Named) => format!("{path}{}[{}].", field.json, label.text),
            (_, Kind::Blocks) => format!("{path}{}[{count}].", field.json),
            _ => format!("{path}{}.", field.json),
        };
        self.at(child_path[..child_path.len() - 1].to_owned(), view.header());
        let child = match target.slot_mut(index) {
            SlotMut::Block(slot) => slot.get_or_insert(),
            SlotMut::Blocks(list) => list.push(),
            SlotMut::Named(map) => map.entry(label.as_ref().map_or("", |l| &l.text)),
            SlotMut::Map(map) => return *map = self.text_map(view, scope, &child_path),
            SlotMut::Lists(map) => return *map = self.list_map(view, scope, &child_path),
            SlotMut::Free(free) => return *free = Some(self.free(view.body, scope)),
            _ => return,
        };
        self.child(view, label.as_ref(), child, scope, &child_path);
    }

    /// Fills a block that has just been made.
    fn child(&mut self, view: &View<'_>, label: Option<&Ident>, child: &mut dyn Block, scope: &Scope<'_>, path: &str) {
        if let (Some(label), Some((index, field))) = (label, child.schema().label()) {
            self.place(path, field.json, label.span);
            if let SlotMut::Str(text) = child.slot_mut(index) {
                *text = Some(label.text.clone());
            }
        }
        if !self.eval.hold(size_of_val(child) as u64, view.header()) {
            return;
        }
        special::preset(child);
        self.body(view.body, child, scope, path);
    }

    fn doubled_block(&mut self, view: &View<'_>, field: &Field, path: &str) {
        let kind = &view.kind.text;
        let key = match (field.kind, view.labels.first()) {
            (Kind::Named, Some(label)) => format!("{path}{}[{}]", field.json, label.text),
            _ => format!("{path}{}", field.json),
        };
        let first = self.places.get(&key).copied();
        self.eval.report(Found {
            severity: crate::Severity::Error,
            summary: format!("Duplicate {kind} block"),
            detail: format!("Only one {kind} block is allowed here. Another was defined at {{}}."),
            span: Some(view.header()),
            related: first.map(|span| (span, "The first definition".to_owned())),
        });
    }

    /// Checks the labels of a block that takes one (`wanted` names it) or none. `None` after a mistake.
    #[allow(clippy::option_option, reason = "no label wanted and none given is a result of its own")]
    pub fn labels(&mut self, view: &View<'_>, wanted: Option<&str>) -> Option<Option<Ident>> {
        let kind = &view.kind.text;
        match (wanted, view.labels.as_slice()) {
            (None, []) => Some(None),
            (Some(_), [label]) => Some(Some(label.clone())),
            (Some(name), []) => {
                let open = Span { start: view.body.span.start, end: view.body.span.start + 1 };
                let detail = format!("All {kind} blocks must have 1 labels ({name}).");
                self.eval.error(open, format!("Missing {name} for {kind}"), detail);
                None
            }
            (wanted, labels) => {
                let extra = &labels[usize::from(wanted.is_some())];
                let allowed = if wanted.is_some() { "Only 1 label is" } else { "No labels are" };
                let detail = format!("{allowed} expected for {kind} blocks.");
                self.eval.error(extra.span, format!("Extraneous label for {kind}"), detail);
                None
            }
        }
    }

    /// Visits the blocks of a body in order, those made by `dynamic` among them.
    pub fn each_block(&mut self, body: &Body, scope: &Scope<'_>, visit: Visit<'_>) {
        for item in &body.items {
            let Item::Block(block) = item else { continue };
            if block.kind.text == "dynamic" {
                self.dynamic(block, scope, visit);
            } else {
                let view = View { kind: &block.kind, labels: block.labels.clone(), body: &block.body };
                visit(self, &view, scope);
            }
        }
    }

    fn dynamic(&mut self, block: &syntax::Block, scope: &Scope<'_>, visit: Visit<'_>) {
        let [kind] = block.labels.as_slice() else {
            let detail = "A dynamic block has one label: the type of the blocks that it makes.";
            self.eval.error(block.header(), "Invalid dynamic block", detail);
            return;
        };
        let parts = DynamicParts::read(self, block);
        let (Some(for_each), Some(content)) = (parts.for_each, parts.content) else {
            return;
        };
        let iterator = parts.iterator.unwrap_or_else(|| kind.text.clone());
        let Some(collection) = self.eval.collection(&for_each.expr, "a dynamic block's for_each", scope) else {
            return;
        };
        for (key, value) in entries(&collection) {
            if !self.eval.spend(1, block.kind.span) {
                return;
            }
            let item = Value::object([("key".to_owned(), key), ("value".to_owned(), value)].into());
            let inner = Scope { names: vec![(iterator.as_str(), item)], parent: Some(scope) };
            let Some(labels) = self.dynamic_labels(parts.labels, &inner) else {
                continue;
            };
            visit(self, &View { kind, labels, body: content }, &inner);
        }
    }

    fn dynamic_labels(&mut self, labels: Option<&Attribute>, scope: &Scope<'_>) -> Option<Vec<Ident>> {
        let Some(attribute) = labels else {
            return Some(Vec::new());
        };
        let span = attribute.expr.span;
        match self.eval.eval(&attribute.expr, scope) {
            Value::Unknown => None,
            Value::Seq(_, items) => {
                let texts: Option<Vec<_>> = items.iter().map(Value::to_text).collect();
                match texts {
                    Some(texts) => Some(texts.iter().map(|t| Ident { text: t.to_string(), span }).collect()),
                    None => {
                        self.eval.error(span, "Invalid dynamic block label", "Every label has to be a text.");
                        None
                    }
                }
            }
            _ => {
                self.eval.error(span, "Invalid dynamic block label", "The labels have to be a list of texts.");
                None
            }
        }
    }

    fn place(&mut self, path: &str, name: &str, span: Span) {
        self.at(format!("{path}{name}"), span);
    }

    /// Notes where `path` is written.
    pub fn at(&mut self, path: String, span: Span) {
        /// What an entry of the table takes besides its text.
        const ENTRY: u64 = 64;
        if self.eval.hold(ENTRY + path.len() as u64, span) {
            self.places.insert(path, span);
        }
    }
}

/// The arguments of a `dynamic` block.
struct DynamicParts<'b> {
    for_each: Option<&'b Attribute>,
    labels: Option<&'b Attribute>,
    iterator: Option<String>,
    content: Option<&'b Body>,
}

impl<'b> DynamicParts<'b> {
    fn read(decoder: &mut Decoder<'_>, block: &'b syntax::Block) -> DynamicParts<'b> {
        let mut parts = DynamicParts { for_each: None, labels: None, iterator: None, content: None };
        for item in &block.body.items {
            match item {
                Item::Attribute(a) if a.name.text == "for_each" => parts.for_each = Some(a),
                Item::Attribute(a) if a.name.text == "labels" => parts.labels = Some(a),
                Item::Attribute(a) if a.name.text == "iterator" => match name_of(&a.expr) {
                    Some(name) => parts.iterator = Some(name),
                    None => {
                        let detail = "The iterator is a plain name.";
                        decoder.eval.error(a.expr.span, "Invalid dynamic iterator name", detail);
                    }
                },
                Item::Attribute(a) => {
                    let detail = format!("An argument named {:?} is not expected in a dynamic block.", a.name.text);
                    decoder.eval.error(a.name.span, "Unsupported argument", detail);
                }
                Item::Block(b) if b.kind.text == "content" => parts.content = Some(&b.body),
                Item::Block(b) => {
                    let detail = format!("Blocks of type {:?} are not expected in a dynamic block.", b.kind.text);
                    decoder.eval.error(b.kind.span, "Unsupported block type", detail);
                }
            }
        }
        for (missing, what) in [
            (parts.for_each.is_none(), "The argument \"for_each\" is required in a dynamic block."),
            (parts.content.is_none(), "A dynamic block needs a nested block of type \"content\"."),
        ] {
            if missing {
                decoder.eval.error(block.header(), "Invalid dynamic block", what);
            }
        }
        parts
    }
}

fn has_doubles(items: &[Item]) -> bool {
    fn name(item: &Item) -> Option<&str> {
        if let Item::Attribute(a) = item { Some(&a.name.text) } else { None }
    }
    let repeated = |(at, item): (usize, &Item)| {
        name(item).is_some_and(|n| items[..at].iter().any(|before| name(before) == Some(n)))
    };
    items.iter().enumerate().any(repeated)
}

/// A bare name, or text without holes.
pub(crate) fn name_of(expr: &syntax::Expr) -> Option<String> {
    match &expr.kind {
        syntax::ExprKind::Traversal { root, steps } if steps.is_empty() => Some(root.text.clone()),
        syntax::ExprKind::Template(template) => template.literal().map(str::to_owned),
        _ => None,
    }
}

/// The name of an object's key that needs no computing.
pub(crate) fn key_name(key: &Key) -> Option<String> {
    match key {
        Key::Name(name) => Some(name.text.clone()),
        Key::Expr(expr) => name_of(expr),
    }
}

fn is_block(field: &Field) -> bool {
    matches!(field.kind, Kind::Block | Kind::Blocks | Kind::Named | Kind::Map | Kind::Lists | Kind::Free)
}
