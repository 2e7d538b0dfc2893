//! Functions that need nothing but their arguments. A value that comes through a pipe is the last argument, as in Go.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gotmpl::{TemplateError, Value};
use sha2::{Digest, Sha256};
use tarpan_model::go;

type Result = gotmpl::Result<Value>;
type Func = fn(&[Value]) -> Result;

/// Name and function.
pub(super) const TABLE: &[(&str, Func)] = &[
    ("add", |a| arithmetic(a, "add", i64::checked_add, |x, y| x + y)),
    ("base64Decode", |a| decode(&STANDARD, &last(a)?)),
    ("base64Encode", |a| Ok(text(STANDARD.encode(last(a)?)))),
    ("base64URLDecode", |a| decode(&URL_SAFE, &last(a)?)),
    ("base64URLEncode", |a| Ok(text(URL_SAFE.encode(last(a)?)))),
    ("byKey", |a| group_by(a, "Key")),
    ("byTag", by_tag),
    ("contains", |a| Ok(Value::Bool(has(list(a)?, at(a, 0)?)))),
    ("containsAll", |a| contains_many(a, |found, all| found == all)),
    ("containsAny", |a| contains_many(a, |found, _| found > 0)),
    ("containsNone", |a| contains_many(a, |found, _| found == 0)),
    ("containsNotAll", |a| contains_many(a, |found, all| found < all)),
    ("divide", |a| arithmetic(a, "divide", i64::checked_div, |x, y| x / y)),
    ("explodeMap", |a| Ok(at(a, 0)?.clone())),
    ("hmacSHA256Hex", |a| Ok(text(hex(&hmac(arg(a, 1)?.as_bytes(), arg(a, 0)?.as_bytes()))))),
    ("in", |a| Ok(Value::Bool(has(at(a, 0)?, at(a, 1)?)))),
    ("indent", |a| Ok(text(indent(int(a, 0)?, &last(a)?)))),
    ("join", |a| {
        let parts: Vec<String> = items(list(a)?).iter().map(ToString::to_string).collect();
        Ok(text(parts.join(&arg(a, 0)?)))
    }),
    ("loop", looping),
    ("maximum", |a| arithmetic(a, "maximum", |x, y| Some(x.max(y)), f64::max)),
    ("md5sum", |a| Ok(text(hex(&md5::Md5::digest(last(a)?))))),
    ("mergeMap", |a| merge(a, false)),
    ("mergeMapWithOverride", |a| merge(a, true)),
    ("minimum", |a| arithmetic(a, "minimum", |x, y| Some(x.min(y)), f64::min)),
    ("modulo", |a| arithmetic(a, "modulo", i64::checked_rem, |x, y| x % y)),
    ("multiply", |a| arithmetic(a, "multiply", i64::checked_mul, |x, y| x * y)),
    ("parseBool", |a| match last(a)?.trim() {
        "" => Ok(Value::Bool(false)),
        word => go::boolean(word).map(Value::Bool).ok_or_else(|| fail(format!("parseBool: {word:?} is not a boolean"))),
    }),
    ("parseFloat", |a| number(a, "parseFloat", |t| t.parse().ok().map(Value::Float))),
    ("parseInt", |a| number(a, "parseInt", |t| t.parse().ok().map(Value::Int))),
    ("parseJSON", |a| {
        let text = last(a)?;
        if text.is_empty() {
            return Ok(Value::Map(Arc::default()));
        }
        serde_json::from_str(&text).map(|v| from_json(&v)).map_err(|e| fail(format!("parseJSON: {e}")))
    }),
    ("parseUint", |a| number(a, "parseUint", |t| t.parse().ok().map(Value::Uint))),
    ("replaceAll", |a| Ok(text(last(a)?.replace(&arg(a, 0)?, &arg(a, 1)?)))),
    ("sha256Hex", |a| Ok(text(hex(&Sha256::digest(last(a)?))))),
    ("split", |a| {
        let (separator, whole) = (arg(a, 0)?, last(a)?);
        let parts = whole.split(separator.as_str()).map(text).collect::<Vec<_>>();
        Ok(Value::List(if whole.is_empty() { Vec::new().into() } else { parts.into() }))
    }),
    ("splitToMap", |a| {
        let (between, within, whole) = (arg(a, 0)?, arg(a, 1)?, last(a)?);
        let pairs = whole.split(between.as_str()).filter_map(|p| p.split_once(within.as_str()));
        Ok(Value::Map(Arc::new(pairs.map(|(k, v)| (Arc::from(k), text(v))).collect())))
    }),
    ("subtract", |a| arithmetic(a, "subtract", i64::checked_sub, |x, y| x - y)),
    ("timestamp", timestamp),
    ("toJSON", |a| Ok(text(to_json(at(a, 0)?).to_string()))),
    ("toJSONPretty", |a| Ok(text(serde_json::to_string_pretty(&to_json(at(a, 0)?)).unwrap_or_default()))),
    ("toUnescapedJSON", |a| Ok(text(to_json(at(a, 0)?).to_string()))),
    ("toUnescapedJSONPretty", |a| Ok(text(serde_json::to_string_pretty(&to_json(at(a, 0)?)).unwrap_or_default()))),
    ("toLower", |a| Ok(text(last(a)?.to_lowercase()))),
    ("toTitle", |a| Ok(text(title(&last(a)?)))),
    ("toUpper", |a| Ok(text(last(a)?.to_uppercase()))),
    ("trim", |a| {
        let set = arg(a, 0)?;
        Ok(text(last(a)?.trim_matches(|c| set.contains(c))))
    }),
    ("trimPrefix", |a| {
        let whole = last(a)?;
        Ok(text(whole.strip_prefix(arg(a, 0)?.as_str()).unwrap_or(&whole)))
    }),
    ("trimSpace", |a| Ok(text(last(a)?.trim()))),
    ("trimSuffix", |a| {
        let whole = last(a)?;
        Ok(text(whole.strip_suffix(arg(a, 0)?.as_str()).unwrap_or(&whole)))
    }),
    ("sprig_default", sprig_default),
    ("sprig_upper", |a| Ok(text(last(a)?.to_uppercase()))),
    ("sprig_lower", |a| Ok(text(last(a)?.to_lowercase()))),
    ("sprig_trim", |a| Ok(text(last(a)?.trim()))),
    ("sprig_quote", |a| Ok(text(format!("{:?}", last(a)?)))),
    ("sprig_squote", |a| Ok(text(format!("'{}'", last(a)?)))),
    ("sprig_replace", |a| Ok(text(last(a)?.replace(&arg(a, 0)?, &arg(a, 1)?)))),
    ("sprig_b64enc", |a| Ok(text(STANDARD.encode(last(a)?)))),
    ("sprig_b64dec", |a| decode(&STANDARD, &last(a)?)),
    ("sprig_sha256sum", |a| Ok(text(hex(&Sha256::digest(last(a)?))))),
    ("sprig_join", |a| {
        let parts: Vec<String> = items(list(a)?).iter().map(ToString::to_string).collect();
        Ok(text(parts.join(&arg(a, 0)?)))
    }),
];

fn fail(message: impl Into<String>) -> TemplateError {
    TemplateError::Exec(message.into())
}

fn text(value: impl AsRef<str>) -> Value {
    Value::String(Arc::from(value.as_ref()))
}

fn at(args: &[Value], index: usize) -> gotmpl::Result<&Value> {
    args.get(index).ok_or_else(|| fail(format!("argument {} is missing", index + 1)))
}

fn arg(args: &[Value], index: usize) -> gotmpl::Result<String> {
    at(args, index).map(ToString::to_string)
}

fn last(args: &[Value]) -> gotmpl::Result<String> {
    args.last().map(ToString::to_string).ok_or_else(|| fail("an argument is missing"))
}

fn list(args: &[Value]) -> gotmpl::Result<&Value> {
    args.last().ok_or_else(|| fail("a list is missing"))
}

fn int(args: &[Value], index: usize) -> gotmpl::Result<i64> {
    let value = at(args, index)?;
    value.as_int().or_else(|| value.to_string().parse().ok()).ok_or_else(|| fail(format!("{value} is not a number")))
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn has(within: &Value, item: &Value) -> bool {
    match within {
        Value::List(items) => items.iter().any(|i| i.to_string() == item.to_string()),
        Value::Map(map) => map.contains_key(item.to_string().as_str()),
        Value::String(whole) => whole.contains(&item.to_string()),
        _ => false,
    }
}

fn contains_many(args: &[Value], decide: fn(usize, usize) -> bool) -> Result {
    let wanted = items(at(args, 0)?);
    let within = at(args, 1)?;
    let found = wanted.iter().filter(|w| has(within, w)).count();
    Ok(Value::Bool(decide(found, wanted.len())))
}

/// The piped value is the left operand: `{{ 10 | subtract 3 }}` is 7.
fn arithmetic(args: &[Value], name: &str, whole: fn(i64, i64) -> Option<i64>, real: fn(f64, f64) -> f64) -> Result {
    let (right, left) = (at(args, 0)?, at(args, 1)?);
    if let (Value::Int(_) | Value::Uint(_), Value::Int(_) | Value::Uint(_)) = (left, right) {
        let (left, right) = (left.as_int().unwrap_or(0), right.as_int().unwrap_or(0));
        return whole(left, right)
            .map(Value::Int)
            .ok_or_else(|| fail(format!("{name}: {left} and {right} have no result")));
    }
    let float =
        |v: &Value| v.as_float().or_else(|| v.as_int().map(|i| i as f64)).or_else(|| v.to_string().parse().ok());
    match (float(left), float(right)) {
        (Some(left), Some(right)) => Ok(Value::Float(real(left, right))),
        _ => Err(fail(format!("{name}: {left} and {right} are not both numbers"))),
    }
}

fn number(args: &[Value], name: &str, parse: fn(&str) -> Option<Value>) -> Result {
    let whole = last(args)?;
    if whole.is_empty() {
        return parse("0").ok_or_else(|| fail(format!("{name}: no number")));
    }
    parse(whole.trim()).ok_or_else(|| fail(format!("{name}: {whole:?} is not a number")))
}

fn decode(engine: &base64::engine::GeneralPurpose, whole: &str) -> Result {
    let bytes = engine.decode(whole.trim()).map_err(|e| fail(format!("base64: {e}")))?;
    Ok(text(String::from_utf8_lossy(&bytes)))
}

fn group_by(args: &[Value], key: &str) -> Result {
    let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
    for item in items(list(args)?) {
        let name = item.field(key).map(ToString::to_string).unwrap_or_default();
        groups.entry(Arc::from(name)).or_default().push(item.clone());
    }
    Ok(Value::Map(Arc::new(groups.into_iter().map(|(k, v)| (k, Value::List(v.into()))).collect())))
}

fn by_tag(args: &[Value]) -> Result {
    let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
    for item in items(list(args)?) {
        for tag in item.field("Tags").map(items).unwrap_or_default() {
            groups.entry(Arc::from(tag.to_string())).or_default().push(item.clone());
        }
    }
    Ok(Value::Map(Arc::new(groups.into_iter().map(|(k, v)| (k, Value::List(v.into()))).collect())))
}

fn looping(args: &[Value]) -> Result {
    let (from, to) = match args.len() {
        1 => (0, int(args, 0)?),
        _ => (int(args, 0)?, int(args, 1)?),
    };
    if to.saturating_sub(from) > 1_000_000 {
        return Err(fail("loop: more than a million rounds"));
    }
    Ok(Value::List((from..to).map(Value::Int).collect::<Vec<_>>().into()))
}

fn merge(args: &[Value], override_: bool) -> Result {
    let (other, base) = (at(args, 0)?, at(args, 1)?);
    let (Value::Map(other), Value::Map(base)) = (other, base) else {
        return Err(fail("mergeMap: two maps are needed"));
    };
    let mut merged = (**base).clone();
    for (key, value) in other.iter() {
        if override_ || !merged.contains_key(key) {
            merged.insert(key.clone(), value.clone());
        }
    }
    Ok(Value::Map(Arc::new(merged)))
}

fn indent(spaces: i64, whole: &str) -> String {
    let pad = " ".repeat(spaces.clamp(0, 1000) as usize);
    whole
        .split('\n')
        .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
        .collect::<Vec<_>>()
        .join("\n")
}

fn title(whole: &str) -> String {
    let mut start = true;
    let upper = |c: char, start: &mut bool| {
        let shown = if *start { c.to_uppercase().collect::<String>() } else { c.to_string() };
        *start = c.is_whitespace();
        shown
    };
    whole.chars().map(|c| upper(c, &mut start)).collect()
}

/// Without arguments the time in RFC 3339; `"unix"` gives seconds. Other layouts of Go are not known here.
fn timestamp(args: &[Value]) -> Result {
    let now = crate::wall();
    match args.first().map(ToString::to_string).as_deref() {
        None => Ok(text(tarpan_model::time::rfc3339(tarpan_model::UnixNanos::from_secs(now.secs())))),
        Some("unix") => Ok(text(now.secs().to_string())),
        Some(other) => Err(fail(format!("timestamp: the layout {other:?} is not supported"))),
    }
}

fn sprig_default(args: &[Value]) -> Result {
    let value = at(args, 1)?;
    Ok(if value.is_truthy() { value.clone() } else { at(args, 0)?.clone() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    match key.len() > 64 {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        // As in Go, every number of a JSON text is a float; whole ones print without a point.
        serde_json::Value::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        serde_json::Value::String(s) => text(s),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_json).collect::<Vec<_>>().into()),
        serde_json::Value::Object(map) => {
            Value::Map(Arc::new(map.iter().map(|(k, v)| (Arc::from(k.as_str()), from_json(v))).collect()))
        }
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Function(_) => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Uint(n) => (*n).into(),
        Value::Float(f) => (*f).into(),
        Value::String(s) => s.to_string().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            map.iter().map(|(k, v)| (k.to_string(), to_json(v))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}
