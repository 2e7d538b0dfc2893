//! Input variables: declarations in the text, values from outside, types, validation.

use std::collections::BTreeMap;

use crate::budget::Budget;
use crate::decode::{Decoder, View, json};
use crate::diagnostic::Severity;
use crate::eval::{Evaluator, Found, Scope};
use crate::functions::suggestion;
use crate::input::{DeclaredVariable, Input};
use crate::syntax::{self, Body, Expr, Ident, Item, Span};
use crate::types;
use crate::value::{Type, Value, convert};

/// A `variable` block, or a line of the older `variables` block.
struct Declaration<'b> {
    name: &'b Ident,
    /// `None` when not written: the default's type, or text.
    type_: Option<Type>,
    default: Option<Value>,
    /// The default as it is written.
    written: Option<Span>,
    description: String,
    sensitive: bool,
    validations: Vec<&'b Body>,
}

impl<'b> Declaration<'b> {
    fn new(name: &'b Ident) -> Declaration<'b> {
        Declaration {
            name,
            type_: None,
            default: None,
            written: None,
            description: String::new(),
            sensitive: false,
            validations: Vec::new(),
        }
    }

    /// The type that values have to have.
    fn wanted(&self) -> Type {
        self.type_.clone().or_else(|| self.default.as_ref().map(implied_type)).unwrap_or(Type::Str)
    }

    /// For whoever is to give it a value; `text` is the whole text.
    fn described(&self, text: &str) -> DeclaredVariable {
        let written =
            || self.written.and_then(|s| text.get(s.start as usize..s.end as usize)).unwrap_or_default().to_owned();
        let default = self.default.as_ref().map(|value| match value {
            Value::Str(text) => text.to_string(),
            _ => written(),
        });
        DeclaredVariable {
            name: self.name.text.clone(),
            kind: self.wanted().to_string(),
            default,
            description: self.description.clone(),
            sensitive: self.sensitive,
        }
    }
}

impl Decoder<'_> {
    /// Reads the declarations of a file and gives every variable its value.
    pub fn variables(&mut self, body: &Body, input: &Input<'_>) {
        let mut declared: BTreeMap<String, Declaration<'_>> = BTreeMap::new();
        for item in &body.items {
            let Item::Block(block) = item else { continue };
            match block.kind.text.as_str() {
                "variable" => {
                    if let Some(one) = self.declaration(block) {
                        self.declare(one, &mut declared);
                    }
                }
                "variables" => {
                    for item in &block.body.items {
                        let Item::Attribute(attribute) = item else { continue };
                        let default = Some(self.constant(&attribute.expr));
                        let written = Some(attribute.expr.span);
                        let one = Declaration { default, written, ..Declaration::new(&attribute.name) };
                        self.declare(one, &mut declared);
                    }
                }
                _ => {}
            }
        }
        self.declared = declared.values().map(|one| one.described(input.text)).collect();
        let given = self.given(&declared, input);
        for (name, declaration) in &declared {
            let value = given.get(name).cloned().or_else(|| declaration.default.clone());
            let value = value.unwrap_or_else(|| self.unset(declaration.name));
            self.eval.variables.insert(name.clone(), value);
        }
        for declaration in declared.values() {
            self.validate_variable(declaration);
        }
    }

    fn declare<'b>(&mut self, one: Declaration<'b>, declared: &mut BTreeMap<String, Declaration<'b>>) {
        let name = one.name;
        if let Some(first) = declared.get(&name.text) {
            self.eval.report(Found {
                severity: Severity::Error,
                summary: "Duplicate variable".to_owned(),
                detail: format!("Duplicate {} variable definition found. The first is at {{}}.", name.text),
                span: Some(name.span),
                related: Some((first.name.span, "The first definition".to_owned())),
            });
            return;
        }
        declared.insert(name.text.clone(), one);
    }

    fn declaration<'b>(&mut self, block: &'b syntax::Block) -> Option<Declaration<'b>> {
        let view = View { kind: &block.kind, labels: block.labels.clone(), body: &block.body };
        self.one_label(&view)?;
        let name = &block.labels[0];
        let valid = name.text.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && name.text.chars().all(|c| c == '_' || c == '-' || c.is_alphanumeric());
        if !valid {
            let detail =
                "A name begins with a letter or underscore and has only letters, digits, underscores and dashes.";
            self.eval.error(name.span, "Invalid variable name", detail);
        }
        self.check_doubles(&block.body);
        let mut one = Declaration::new(name);
        let mut default = None;
        for item in &block.body.items {
            match item {
                Item::Attribute(a) if a.name.text == "type" => match types::read(&a.expr) {
                    Ok(type_) => one.type_ = Some(type_),
                    Err((span, detail)) => {
                        self.eval.error(span, "Invalid type specification", detail);
                    }
                },
                Item::Attribute(a) if a.name.text == "default" => default = Some(a),
                Item::Attribute(a) if a.name.text == "description" => {
                    one.description = self.constant(&a.expr).to_text().unwrap_or_default().to_string();
                }
                Item::Attribute(a) if a.name.text == "sensitive" => {
                    one.sensitive = self.constant(&a.expr).to_bool() == Some(true);
                }
                Item::Attribute(a) => {
                    let hint = suggestion(&a.name.text, ["type", "default", "description"].into_iter());
                    let detail = format!("An argument named {:?} is not expected here.{hint}", a.name.text);
                    self.eval.error(a.name.span, "Unsupported argument", detail);
                }
                Item::Block(b) if b.kind.text == "validation" => one.validations.push(&b.body),
                Item::Block(b) => {
                    let detail = format!("Blocks of type {:?} are not expected here.", b.kind.text);
                    self.eval.error(b.kind.span, "Unsupported block type", detail);
                }
            }
        }
        if let Some(attribute) = default {
            let value = self.constant(&attribute.expr);
            one.default = Some(self.default_of_type(value, one.type_.as_ref(), attribute.expr.span));
            one.written = Some(attribute.expr.span);
        }
        Some(one)
    }

    fn default_of_type(&mut self, value: Value, type_: Option<&Type>, span: Span) -> Value {
        if !self.eval.hold(value.size(), span) {
            return Value::Unknown;
        }
        match convert(&value, type_.unwrap_or(&Type::Any)) {
            Ok(value) => value,
            Err(reason) => {
                let detail =
                    format!("This default value is not compatible with the variable's type constraint: {reason}.");
                self.eval.error(span, "Invalid default value for variable", detail)
            }
        }
    }

    /// A value that may not use names.
    fn constant(&mut self, expr: &Expr) -> Value {
        let before = std::mem::replace(&mut self.eval.allow_names, false);
        let value = self.eval.eval(expr, &Scope::EMPTY);
        self.eval.allow_names = before;
        value
    }

    fn unset(&mut self, name: &Ident) -> Value {
        let detail = format!(
            "A used variable must be set or have a default value. Give {:?} one with -var, a -var-file or the environment variable NOMAD_VAR_{}.",
            name.text, name.text
        );
        self.eval.error(name.span, format!("Unset variable {:?}", name.text), detail)
    }

    fn validate_variable(&mut self, declaration: &Declaration<'_>) {
        let value = self.eval.variables.get(&declaration.name.text).cloned().unwrap_or(Value::Unknown);
        if !value.is_wholly_known() {
            return;
        }
        for body in &declaration.validations {
            let find = |name: &str| {
                body.items.iter().find_map(|i| match i {
                    Item::Attribute(a) if a.name.text == name => Some(&a.expr),
                    _ => None,
                })
            };
            let (Some(condition), Some(message)) = (find("condition"), find("error_message")) else {
                let open = Span { start: body.span.start, end: body.span.start + 1 };
                let detail = "A validation block needs the arguments \"condition\" and \"error_message\".";
                self.eval.error(open, "Missing required argument", detail);
                continue;
            };
            let holds = self.eval.eval(condition, &Scope::EMPTY);
            let text = self.eval.eval(message, &Scope::EMPTY).to_text().unwrap_or_default();
            if text.trim().is_empty() && holds.is_known() {
                let detail = "The error message of a validation has to be a sentence.";
                self.eval.error(message.span, "Invalid validation error message", detail);
            }
            match holds.to_bool() {
                Some(true) => {}
                Some(false) => {
                    let detail = format!(
                        "{text} This was checked by the validation rule of variable {:?}.",
                        declaration.name.text
                    );
                    self.eval.error(condition.span, "Invalid value for variable", detail);
                }
                None if !holds.is_known() => {}
                None => {
                    let detail = "The condition of a validation has to be a bool.";
                    self.eval.error(condition.span, "Invalid variable validation result", detail);
                }
            }
        }
    }

    /// Values from outside, the later source over the earlier.
    fn given(&mut self, declared: &BTreeMap<String, Declaration<'_>>, input: &Input<'_>) -> BTreeMap<String, Value> {
        let mut given = BTreeMap::new();
        for (name, raw) in &input.variables.env {
            if let Some(one) = declared.get(name)
                && let Some(value) = self.raw(one, raw, "environment")
            {
                given.insert(name.clone(), value);
            }
        }
        for file in &input.variables.files {
            self.var_file(&file.name, &file.text, declared, input.strict, &mut given);
        }
        for (name, raw) in &input.variables.args {
            match declared.get(name) {
                Some(one) => {
                    if let Some(value) = self.raw(one, raw, "-var") {
                        given.insert(name.clone(), value);
                    }
                }
                None => self.undeclared(name, "-var variable", declared, input.strict),
            }
        }
        given
    }

    fn undeclared(&mut self, name: &str, what: &str, declared: &BTreeMap<String, Declaration<'_>>, strict: bool) {
        let hint = suggestion(name, declared.keys().map(String::as_str));
        self.loose(
            if strict { Severity::Error } else { Severity::Warning },
            format!("Undefined {what}"),
            format!("A value was given for {name:?}, but the job declares no variable of that name.{hint}"),
        );
    }

    /// A finding about something outside of the text.
    fn loose(&mut self, severity: Severity, summary: impl Into<String>, detail: impl Into<String>) {
        self.eval.report(Found { severity, summary: summary.into(), detail: detail.into(), span: None, related: None });
    }

    /// A value from a command line or environment: text as it is for simple types, an expression for the others.
    fn raw(&mut self, one: &Declaration<'_>, raw: &str, source: &str) -> Option<Value> {
        let name = &one.name.text;
        let type_ = one.wanted();
        let value = match &type_ {
            Type::Str | Type::Number | Type::Bool => Value::str(raw),
            _ => self.outside_expression(name, raw, source)?,
        };
        if !self.eval.hold(value.size(), one.name.span) {
            return None;
        }
        match convert(&value, &type_) {
            Ok(value) => Some(value),
            Err(reason) => {
                let summary = format!("Invalid argument value for {source} variable");
                let detail = format!(
                    "The received arg value for {name} is not compatible with the variable's type constraint: {reason}."
                );
                self.loose(Severity::Error, summary, detail);
                None
            }
        }
    }

    fn outside_expression(&mut self, name: &str, raw: &str, source: &str) -> Option<Value> {
        let parsed = syntax::parse_expression(raw, &mut self.eval.budget);
        let (value, problem) = match parsed {
            Ok(expr) => {
                let mut eval = Evaluator::new(raw, None, self.eval.budget.clone(), 0);
                eval.allow_names = false;
                let value = eval.eval(&expr, &Scope::EMPTY);
                self.eval.budget = eval.budget;
                let first = eval.found.into_iter().next().map(|f| (f.summary, f.detail));
                (value, first)
            }
            Err(error) => (Value::Unknown, Some((error.summary.to_owned(), error.detail))),
        };
        if let Some((summary, detail)) = problem {
            self.loose(
                Severity::Error,
                summary,
                format!("{detail} This is the value of var.{name} from {source}: {raw}"),
            );
            return None;
        }
        Some(value)
    }

    fn var_file(
        &mut self,
        file: &str,
        text: &str,
        declared: &BTreeMap<String, Declaration<'_>>,
        strict: bool,
        given: &mut BTreeMap<String, Value>,
    ) {
        let lines = crate::lines::Lines::new(text);
        let (body, errors) = read_body(text, &mut self.eval.budget);
        for error in &errors {
            let place = lines.place(error.span.start as usize);
            let detail = format!("{} This is in {file}, line {}, column {}.", error.detail, place.line, place.column);
            self.loose(Severity::Error, error.summary, detail);
        }
        let mut eval = Evaluator::new(text, None, self.eval.budget.clone(), 0);
        eval.allow_names = false;
        for item in &body.items {
            let attribute = match item {
                Item::Attribute(attribute) => attribute,
                Item::Block(block) => {
                    let detail = format!(
                        "A variables file holds name = value lines only; {:?} in {file} is a block.",
                        block.kind.text
                    );
                    self.loose(Severity::Error, "Unexpected block", detail);
                    continue;
                }
            };
            let name = &attribute.name.text;
            let Some(one) = declared.get(name) else {
                self.undeclared(name, "variable", declared, strict);
                continue;
            };
            let value = eval.eval(&attribute.expr, &Scope::EMPTY);
            if !value.is_wholly_known() || !eval.hold(value.size(), one.name.span) {
                continue;
            }
            match convert(&value, one.type_.as_ref().unwrap_or(&Type::Any)) {
                Ok(value) => {
                    given.insert(name.clone(), value);
                }
                Err(reason) => {
                    let line = lines.place(attribute.expr.span.start as usize).line;
                    let detail = format!(
                        "The value of {name} in {file}, line {line}, is not compatible with the variable's type constraint: {reason}."
                    );
                    self.loose(Severity::Error, "Invalid value for variable", detail);
                }
            }
        }
        self.eval.budget = eval.budget;
        for found in eval.found {
            let line = found.span.map_or(0, |s| lines.place(s.start as usize).line);
            self.loose(Severity::Error, found.summary, format!("{} This is in {file}, line {line}.", found.detail));
        }
    }

    fn one_label(&mut self, view: &View<'_>) -> Option<()> {
        if view.labels.len() == 1 {
            return Some(());
        }
        let detail = format!("All {} blocks must have 1 labels (name).", view.kind.text);
        self.eval.error(view.kind.span, format!("Missing name for {}", view.kind.text), detail);
        None
    }
}

/// The type that an undeclared type has by its default.
fn implied_type(default: &Value) -> Type {
    match default {
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::Str(_) | Value::Null | Value::Unknown => Type::Str,
        Value::Seq(..) | Value::Map(..) => Type::Any,
    }
}

/// Reads native syntax, or the JSON form when the first character is a brace.
pub(crate) fn read_body(text: &str, budget: &mut Budget) -> (Body, Vec<syntax::SyntaxError>) {
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return syntax::parse_within(text, budget);
    }
    let before = budget.held();
    match syntax::parse_expression(text, budget) {
        Ok(expr) => {
            let mut errors = Vec::new();
            // The body takes over the expressions as copies.
            if budget.hold(budget.held() - before).is_err() {
                return (Body::default(), errors);
            }
            let body = json::file(&expr, &mut errors);
            (body, errors)
        }
        Err(error) => (Body::default(), vec![error]),
    }
}
