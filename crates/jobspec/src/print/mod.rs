//! Jobs as text: what a job that came as JSON looks like to whoever reads or edits it.
//!
//! [`kept`] says which fields a text has to name, the schema their order and names; from both comes a body of `hcl`, which
//! prints it, and [`crate::layout`] lines it up. What [`crate::parse`] makes of the text is the same job once it is taken in.

mod free;
mod kept;
#[cfg(test)]
mod tests;
mod text;

use hcl::Identifier;
use hcl::expr::{Expression, Object, TemplateExpr};
use hcl::format::{Format, Formatter};
use hcl::structure::{Attribute, Block as HclBlock, BlockLabel, Body, Structure};
use tarpan_model::schema::{Block, BlockList, Field, Free, ListMap, Slot, TextMap};
use tarpan_model::{Dur, Job};

use crate::decode::special::{Preset, presets};

/// The longest list on one line.
const MAX_LINE: usize = 80;

/// `job` as HCL: every field that a default does not say, in the order of the reference, arguments before blocks.
///
/// What a jobspec has no word for stands in a comment at the top. What only a server says (status, indexes, version) is not
/// written.
pub fn print(job: &Job) -> String {
    let kept = kept::kept(job);
    let mut printer = Printer { lost: lost(job) };
    let body = printer.body(&kept, "");
    let label = text::label(kept.id.as_deref().unwrap_or_default());
    let whole = Body::from(vec![Structure::Block(block("job", Some(label), body))]);
    let text = crate::layout::format(&formatted(&whole));
    printer.lost.iter().fold(String::new(), |head, name| head + "# A jobspec has no word for " + name + ".\n") + &text
}

/// What was submitted with a job beside its text.
fn lost(job: &Job) -> Vec<String> {
    let named = [
        ("ConsulNamespace", &job.consul_namespace),
        ("VaultNamespace", &job.vault_namespace),
        ("Payload", &job.payload),
    ];
    let written = named.into_iter().filter(|(_, v)| v.as_ref().is_some_and(|v| !v.is_empty()));
    written.map(|(name, _)| name.to_owned()).collect()
}

fn formatted(value: &impl Format) -> String {
    let mut formatter = Formatter::builder().compact_arrays(true).build_vec();
    value.format_string(&mut formatter).unwrap_or_default()
}

fn block(kind: &str, label: Option<BlockLabel>, body: Body) -> HclBlock {
    HclBlock { identifier: Identifier::unchecked(kind), labels: label.into_iter().collect(), body }
}

/// A list: on one line where it is short.
fn list(items: Vec<Expression>) -> Expression {
    let texts: Vec<String> = items.iter().map(formatted).collect();
    let length: usize = texts.iter().map(|t| t.len() + 2).sum();
    if length <= MAX_LINE && !texts.iter().any(|t| t.contains('\n')) {
        return Expression::Array(items);
    }
    let mut lines = String::from("[\n");
    for (item, text) in items.iter().zip(&texts) {
        lines.push_str(text);
        // The marker that closes a heredoc is alone on its line.
        let heredoc = matches!(item, Expression::TemplateExpr(t) if matches!(**t, TemplateExpr::Heredoc(_)));
        lines.push_str(if heredoc { "\n,\n" } else { ",\n" });
    }
    lines.push(']');
    text::raw(lines)
}

fn texts(items: &[String]) -> Expression {
    list(items.iter().map(|t| text::value(t)).collect())
}

/// Go's form without the units that are zero.
fn duration(time: Dur) -> String {
    let text = time.to_string().replace('µ', "u");
    let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
}

struct Printer {
    /// What the text cannot say.
    lost: Vec<String>,
}

/// What a field becomes.
enum Part {
    Argument(Expression),
    Blocks(Vec<HclBlock>),
    Nothing,
}

impl Printer {
    fn body(&mut self, from: &dyn Block, path: &str) -> Body {
        let schema = from.schema();
        let (mut arguments, mut blocks) = (Vec::new(), Vec::new());
        for (index, field) in schema.fields.iter().enumerate() {
            let name = match (schema.name, field.json, field.hcl) {
                // The label.
                ("Job", "ID", _) => continue,
                ("NetworkResource", "ReservedPorts", _) => "port",
                (_, _, Some(name)) => name,
                ("Task", "Identity", None) => "identity",
                _ => continue,
            };
            if is_preset(from, field, &from.slot(index)) {
                continue;
            }
            match self.part(from, field, name, from.slot(index), path) {
                Part::Argument(value) => {
                    arguments.push(Structure::Attribute(Attribute::new(Identifier::unchecked(name), value)));
                }
                Part::Blocks(list) => blocks.extend(list.into_iter().map(Structure::Block)),
                Part::Nothing => {}
            }
        }
        arguments.into_iter().chain(blocks).collect()
    }

    fn part(&mut self, from: &dyn Block, field: &Field, name: &str, slot: Slot<'_>, path: &str) -> Part {
        let path = format!("{path}{}", field.json);
        let value = match slot {
            // Its argument has to be there.
            Slot::Str(None) if field.json == "Hook" => Some(text::quoted("")),
            Slot::Str(v) => v.map(text::value),
            Slot::Int(v) => v.map(Expression::from),
            Slot::Uint(v) => v.map(Expression::from),
            Slot::Bool(v) => v.map(Expression::from),
            Slot::Duration(v) => v.map(|time| text::quoted(&duration(time))),
            Slot::Strs(v) => v.map(texts),
            Slot::Ints(v) => v.map(|list| self::list(list.iter().map(|n| Expression::from(*n)).collect())),
            Slot::Map(v) => return v.map_or(Part::Nothing, |map| text_map(name, map)),
            Slot::Lists(v) => return v.map_or(Part::Nothing, |map| list_map(name, map)),
            Slot::Free(v) => return v.map_or(Part::Nothing, |free| self.free(name, free, &path)),
            Slot::Block(v) => return v.map_or(Part::Nothing, |inner| self.blocks(from, name, &[("", inner)], &path)),
            Slot::Blocks(v) => return v.map_or(Part::Nothing, |list| self.list(from, name, list, &path)),
            Slot::Named(v) => return v.map_or(Part::Nothing, |map| self.blocks(from, name, &map.entries(), &path)),
        };
        value.map_or(Part::Nothing, Part::Argument)
    }

    fn list(&mut self, from: &dyn Block, name: &str, list: &dyn BlockList, path: &str) -> Part {
        let items: Vec<(&str, &dyn Block)> = (0..list.len()).map(|i| ("", list.get(i))).collect();
        self.blocks(from, name, &items, path)
    }

    /// Blocks with their labels, where these are not fields of theirs.
    fn blocks(&mut self, from: &dyn Block, name: &str, items: &[(&str, &dyn Block)], path: &str) -> Part {
        let many = items.len() > 1;
        let one = |(index, (key, inner)): (usize, &(&str, &dyn Block))| {
            let own = if many { format!("{path}[{index}].") } else { format!("{path}.") };
            let mut body = self.body(*inner, &own);
            let label = match (from.schema().name, label_of(*inner)) {
                ("Task", None) if name == "scaling" => Some(task_scaling(*inner, &mut body)),
                (_, Some(own)) => Some(text::label(if key.is_empty() { own } else { key })),
                _ => None,
            };
            block(name, label, body)
        };
        Part::Blocks(items.iter().enumerate().map(one).collect())
    }

    fn free(&mut self, name: &str, free: &Free, path: &str) -> Part {
        Part::Blocks(vec![block(name, None, free::body(free.0.iter(), path, &mut self.lost))])
    }
}

fn label_of(block: &dyn Block) -> Option<&str> {
    let (index, _) = block.schema().label()?;
    match block.slot(index) {
        Slot::Str(text) => Some(text.unwrap_or_default()),
        _ => None,
    }
}

/// The label of a task's scaling policy; a type that has none stays an argument.
fn task_scaling(policy: &dyn Block, body: &mut Body) -> BlockLabel {
    let index = policy.schema().by_json("Type").map(|(index, _)| index);
    let label = match index.map(|i| policy.slot(i)) {
        Some(Slot::Str(Some("vertical_cpu"))) => Some("cpu"),
        Some(Slot::Str(Some("vertical_mem"))) => Some("mem"),
        _ => None,
    };
    let is_type = |s: &Structure| matches!(s, Structure::Attribute(a) if a.key() == "type");
    match label {
        Some(_) => body.0.retain(|s| !is_type(s)),
        // Without it the label would say the type.
        None if !body.0.iter().any(is_type) => {
            body.0.insert(0, Structure::Attribute(Attribute::new("type", "horizontal")));
        }
        None => {}
    }
    text::label(label.unwrap_or("cpu"))
}

/// Whether reading sets the field to this value before any argument.
fn is_preset(from: &dyn Block, field: &Field, slot: &Slot<'_>) -> bool {
    let preset = presets(from.schema()).iter().find(|(json, _)| *json == field.json);
    match (preset.map(|(_, value)| value), slot) {
        (Some(Preset::Str(preset)), Slot::Str(value)) => *value == Some(*preset),
        (Some(Preset::Bool(preset)), Slot::Bool(value)) => *value == Some(*preset),
        (Some(Preset::Duration(preset)), Slot::Duration(value)) => *value == Some(*preset),
        _ => false,
    }
}

/// A block of names and texts; in braces where a name needs quotes.
fn text_map(name: &str, map: &TextMap) -> Part {
    entries(name, map.iter().map(|(k, v)| (k.as_str(), text::value(v))).collect())
}

fn list_map(name: &str, map: &ListMap) -> Part {
    entries(name, map.iter().map(|(k, v)| (k.as_str(), texts(v))).collect())
}

fn entries(name: &str, entries: Vec<(&str, Expression)>) -> Part {
    let names: Option<Vec<Identifier>> = entries.iter().map(|(key, _)| text::name(key)).collect();
    match names {
        Some(names) => {
            let values = names.into_iter().zip(entries);
            let body = values.map(|(name, (_, value))| Structure::Attribute(Attribute::new(name, value))).collect();
            Part::Blocks(vec![block(name, None, body)])
        }
        None => {
            let object: Object<_, _> = entries.into_iter().map(|(key, value)| (text::key(key), value)).collect();
            Part::Argument(Expression::Object(object))
        }
    }
}
