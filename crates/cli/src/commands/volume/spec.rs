//! A volume's specification: a file of HCL or JSON, whose `type` says whose it is.
//!
//! Start at [`Specification::read`]; [`Fields`] takes keys out of it and says of what is left that it is not known.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read as _;

use tarpan_api::wire::VolumeCapability;
use tarpan_config::agent::parse_size;
use tarpan_config::hcl1::{self, Body, Item, Position, Value};
use tarpan_model::job::Constraint;
use tarpan_model::volume::{AccessMode, AttachmentMode};

use super::Kind;
use crate::command::Fail;

/// Longest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A file that parsed, before its keys are looked at.
#[derive(Debug)]
pub struct Specification {
    pub kind: Kind,
    file: String,
    body: Body,
}

impl Specification {
    /// Reads a file; `-` is standard input.
    pub fn read(file: &str) -> Result<Specification, Fail> {
        let mut text = String::new();
        let read = match file {
            "-" => std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text),
            file => std::fs::File::open(file).and_then(|f| f.take(MAX_BYTES + 1).read_to_string(&mut text)),
        };
        let name = if file == "-" { "stdin" } else { file };
        read.map_err(|e| Fail::new(format!("Error reading {name}: {e}")))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Fail::new(format!("Error reading {name}: it has more than {} KiB", MAX_BYTES >> 10)));
        }
        Specification::parse(name, &text)
    }

    pub fn parse(file: &str, text: &str) -> Result<Specification, Fail> {
        let body = hcl1::parse(text).map_err(|e| Fail::new(format!("Error parsing {file}:{e}")))?;
        let kind = body.iter().find(|item| item.key == "type" && item.labels.is_empty());
        let kind = match kind.map(|item| &item.value) {
            Some(Value::Text(kind)) => Kind::parse(kind)?,
            Some(_) => return Err(Fail::new(format!("Error parsing {file}: the type of a volume is a text"))),
            None => {
                let text = "the file has no type: write type = \"host\" or type = \"csi\"";
                return Err(Fail::new(format!("Error parsing {file}: {text}")));
            }
        };
        Ok(Specification { kind, file: file.to_owned(), body })
    }

    pub fn fields(&self) -> Fields<'_> {
        let mut fields = Fields { file: &self.file, items: self.body.iter().collect() };
        fields.take("type");
        fields
    }
}

/// Keys of a body that were not taken yet.
pub struct Fields<'a> {
    file: &'a str,
    items: Vec<&'a Item>,
}

impl<'a> Fields<'a> {
    fn wrong(&self, at: Position, text: impl Display) -> Fail {
        Fail::new(format!("Error parsing {}:{at}: {text}", self.file))
    }

    /// All items of a key, in the order of the file.
    fn take(&mut self, key: &str) -> Vec<&'a Item> {
        let (found, left) = self.items.drain(..).partition(|item| item.key == key);
        self.items = left;
        found
    }

    /// The last one said of a key.
    fn last(&mut self, key: &str) -> Option<&'a Item> {
        self.take(key).pop()
    }

    /// Empty where the key is not there.
    pub fn text(&mut self, key: &str) -> Result<String, Fail> {
        match self.last(key) {
            None => Ok(String::new()),
            Some(item) => plain(&item.value)
                .ok_or_else(|| self.wrong(item.value_at, format!("{key} is a text, not {}", item.value.kind()))),
        }
    }

    /// Bytes; 0 where the key is not there.
    pub fn size(&mut self, key: &str) -> Result<i64, Fail> {
        let Some(item) = self.last(key) else { return Ok(0) };
        let text = plain(&item.value).unwrap_or_default();
        let size = if text.is_empty() { Some(0) } else { parse_size(&text) };
        size.and_then(|size| i64::try_from(size).ok())
            .ok_or_else(|| self.wrong(item.value_at, format!("{key} is a size such as \"10GiB\", not {text:?}")))
    }

    /// Texts by name, from one block or several.
    pub fn texts(&mut self, key: &str) -> Result<BTreeMap<String, String>, Fail> {
        let mut found = BTreeMap::new();
        for item in self.take(key).into_iter().flat_map(|item| self.bodies(item)).collect::<Result<Vec<_>, _>>()? {
            for pair in item {
                let text = plain(&pair.value);
                let text = text.ok_or_else(|| {
                    self.wrong(pair.value_at, format!("{key}.{} is a text, not {}", pair.key, pair.value.kind()))
                })?;
                found.insert(pair.key.clone(), text);
            }
        }
        Ok(found)
    }

    /// The bodies of a block, or of a JSON list of blocks.
    fn bodies(&self, item: &'a Item) -> Vec<Result<&'a Body, Fail>> {
        let body = |at: Position, value: &'a Value| match value {
            Value::Object(body) => Ok(body),
            other => Err(self.wrong(at, format!("{} is a block, not {}", item.key, other.kind()))),
        };
        match &item.value {
            Value::List(list) => list.iter().map(|(at, value)| body(*at, value)).collect(),
            value => vec![body(item.value_at, value)],
        }
    }

    /// The blocks of a key, each with its own keys.
    pub fn blocks(&mut self, key: &str) -> Result<Vec<Fields<'a>>, Fail> {
        let bodies = self.take(key).into_iter().flat_map(|item| self.bodies(item)).collect::<Result<Vec<_>, _>>()?;
        Ok(bodies.into_iter().map(|body| Fields { file: self.file, items: body.iter().collect() }).collect())
    }

    /// A list of texts; empty where the key is not there.
    pub fn list(&mut self, key: &str) -> Result<Vec<String>, Fail> {
        let Some(item) = self.last(key) else { return Ok(Vec::new()) };
        let wrong = |at| self.wrong(at, format!("{key} is a list of texts"));
        let Value::List(list) = &item.value else { return Err(wrong(item.value_at)) };
        list.iter().map(|(at, value)| plain(value).ok_or_else(|| wrong(*at))).collect()
    }

    /// The `capability` blocks, with modes that there are.
    pub fn capabilities(&mut self) -> Result<Vec<VolumeCapability>, Fail> {
        let mut found = Vec::new();
        for mut block in self.blocks("capability")? {
            let (access_mode, attachment_mode) = (block.text("access_mode")?, block.text("attachment_mode")?);
            if !access_mode.is_empty() && AccessMode::parse(&access_mode).is_none() {
                let all: Vec<&str> = AccessMode::ALL.iter().map(|mode| mode.as_str()).collect();
                let text = format!("{access_mode:?} is no access_mode: there are {}", all.join(", "));
                return Err(Fail::new(format!("Error parsing {}: {text}", self.file)));
            }
            if !attachment_mode.is_empty() && AttachmentMode::parse(&attachment_mode).is_none() {
                let all: Vec<&str> = AttachmentMode::ALL.iter().map(|mode| mode.as_str()).collect();
                let text = format!("{attachment_mode:?} is no attachment_mode: there are {}", all.join(", "));
                return Err(Fail::new(format!("Error parsing {}: {text}", self.file)));
            }
            block.nothing_else()?;
            found.push(VolumeCapability { attachment_mode, access_mode });
        }
        Ok(found)
    }

    /// The `constraint` blocks.
    pub fn constraints(&mut self) -> Result<Vec<Constraint>, Fail> {
        let mut found = Vec::new();
        for mut block in self.blocks("constraint")? {
            let said = |text: String| Some(text).filter(|text| !text.is_empty());
            let constraint = Constraint {
                l_target: said(block.text("attribute")?),
                r_target: said(block.text("value")?),
                operand: said(block.text("operator")?).or_else(|| Some("=".to_owned())),
            };
            block.nothing_else()?;
            found.push(constraint);
        }
        Ok(found)
    }

    /// Every key was known.
    pub fn nothing_else(&self) -> Result<(), Fail> {
        match self.items.first() {
            None => Ok(()),
            Some(item) => Err(self.wrong(item.at, format!("unknown key {:?}", item.key))),
        }
    }
}

/// A text, or what reads as one.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::List(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        Specification::parse("v.hcl", text).expect_err("a bad file").text()
    }

    #[test]
    fn the_type_decides() {
        assert_eq!(Specification::parse("v", "type = \"host\"").expect("fine").kind, Kind::Host);
        assert_eq!(Specification::parse("v", "{\"type\": \"csi\"}").expect("fine").kind, Kind::Csi);
        assert!(said("name = \"x\"").contains("has no type"));
        assert!(said("type = \"nfs\"").contains("\"nfs\" is no type of volumes"));
        assert!(said("type = ").starts_with("Error parsing v.hcl:1:"));
    }

    #[test]
    fn keys_are_taken_and_the_rest_is_named() {
        let text = "type = \"host\"\nname = \"a\"\ncapacity_min = \"1GiB\"\ncapability {\n access_mode = \"single-node-writer\"\n}\n\
                    parameters {\n mode = 0700\n}\nconstraint {\n attribute = \"${attr.kernel.name}\"\n value = \"linux\"\n}\nnmae = 1\n";
        let spec = Specification::parse("v.hcl", text).expect("it parses");
        let mut fields = spec.fields();
        assert_eq!(fields.text("name").expect("a text"), "a");
        assert_eq!(fields.size("capacity_min").expect("a size"), 1 << 30);
        assert_eq!(fields.capabilities().expect("modes")[0].access_mode, "single-node-writer");
        assert_eq!(fields.texts("parameters").expect("texts")["mode"], "0700");
        assert_eq!(fields.constraints().expect("one")[0].operand.as_deref(), Some("="));
        assert_eq!(fields.nothing_else().expect_err("nmae").text(), "Error parsing v.hcl:14:1: unknown key \"nmae\"");
    }

    #[test]
    fn json_says_the_same() {
        let text = r#"{"type": "host", "capability": [{"access_mode": "single-node-writer"}, {"access_mode": "x"}], "capacity_max": true}"#;
        let spec = Specification::parse("v.json", text).expect("it parses");
        let mut fields = spec.fields();
        assert!(fields.capabilities().expect_err("x").text().contains("\"x\" is no access_mode"));
        assert!(fields.size("capacity_max").expect_err("no size").text().contains("such as \"10GiB\""));
    }
}
