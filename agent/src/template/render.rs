//! One rendering of one template, and what becomes of the text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gotmpl::{MissingKey, TemplateError, Value, tmap};
use sha2::{Digest, Sha256};
use tarpan_model::job::Template;
use tarpan_model::service::ServiceRegistration;

use super::budget::{self, Meter, Output};
use super::{Data, One, funcs, text_of};
use crate::alloc_dir::TaskDirs;
use crate::ground::{self, Attr, Dir};

/// Most of an error's text that becomes an event: it may quote what the template made.
const ERROR_CHARS: usize = 500;

/// A template and the text that is rendered.
pub(super) struct Source {
    pub template: Template,
    pub text: String,
    pub name: String,
}

/// What functions can see.
#[derive(Clone)]
pub(super) struct Scope {
    pub env: Arc<BTreeMap<String, String>>,
    pub data: Arc<Data>,
    pub dirs: TaskDirs,
    pub sandbox: bool,
    pub denied: Vec<String>,
}

type Result = gotmpl::Result<Value>;
type Function = fn(&Scope, &[Value]) -> Result;

fn fail(text: impl Into<String>) -> TemplateError {
    TemplateError::Exec(text.into())
}

impl Scope {
    /// The text, with what is not known yet left empty (and noted in the data).
    pub fn render(&self, source: &Source, meter: &Arc<Meter>) -> std::result::Result<String, String> {
        self.parse(source, meter).and_then(|parsed| {
            let mut out = Output::new(meter);
            let done = match parsed.lookup(NAME) {
                Some(_) => parsed.execute_template_fmt(&mut out, NAME, &tmap! {}),
                // A template without a body of its own.
                None => parsed.execute_fmt(&mut out, &tmap! {}),
            };
            done.map(|()| out.text).map_err(|error| match meter.over() {
                Some(over) => over.to_string(),
                None => shortened(&error.to_string()),
            })
        })
    }

    fn parse(&self, source: &Source, meter: &Arc<Meter>) -> std::result::Result<gotmpl::Template, String> {
        let or = |text: &Option<String>, default: &str| {
            text.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let template = &source.template;
        let (left, right) = (or(&template.left_delim, "{{"), or(&template.right_delim, "}}"));
        budget::check_source(&source.text, &left)?;
        let mut parsed = gotmpl::Template::new(NAME).delims(&left, &right);
        if template.err_missing_key == Some(true) {
            parsed = parsed.missing_key(MissingKey::Error);
        }
        for (name, f) in funcs::TABLE {
            let meter = meter.clone();
            parsed = parsed.func(name, move |args| meter.call(name, args, f));
        }
        parsed = self.own_functions(budget::metered(parsed, meter), meter);
        for name in &self.denied {
            let name = name.clone();
            parsed = parsed.func(&name.clone(), move |_| Err(fail(format!("{name}: function is disabled"))));
        }
        let parsed = parsed.parse(&source.text).and_then(budget::watched);
        parsed.map_err(|e| shortened(&e.to_string()))
    }

    fn own_functions(&self, template: gotmpl::Template, meter: &Arc<Meter>) -> gotmpl::Template {
        let with = |name: &'static str, f: Function| {
            let (scope, meter) = (self.clone(), meter.clone());
            move |args: &[Value]| meter.call(name, args, |args| f(&scope, args))
        };
        let own: [(&'static str, Function); 10] = [
            ("nomadService", nomad_service),
            ("nomadServices", nomad_services),
            ("nomadVar", nomad_var),
            ("nomadVarExists", nomad_var_exists),
            ("nomadVarList", nomad_var_list),
            ("nomadVarListSafe", nomad_var_list),
            ("env", |s, a| Ok(text(s.env.get(&arg(a, 0)?).cloned().unwrap_or_default()))),
            ("mustEnv", must_env),
            ("envOrDefault", |s, a| {
                let default = arg(a, 1)?;
                Ok(text(s.env.get(&arg(a, 0)?).cloned().unwrap_or(default)))
            }),
            ("file", file),
        ];
        own.into_iter().fold(template, |template, (name, f)| template.func(name, with(name, f)))
    }
}

/// How the engine calls a task's template, in messages too.
const NAME: &str = "template";

fn shortened(error: &str) -> String {
    match error.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::String(Arc::from(text.as_ref()))
}

fn arg(args: &[Value], index: usize) -> gotmpl::Result<String> {
    let value = args.get(index).ok_or_else(|| fail(format!("argument {} is missing", index + 1)))?;
    Ok(value.to_string())
}

fn must_env(scope: &Scope, args: &[Value]) -> Result {
    let name = arg(args, 0)?;
    let value = scope.env.get(&name).ok_or_else(|| fail(format!("environment variable {name:?} is not set")))?;
    Ok(text(value))
}

fn file(scope: &Scope, args: &[Value]) -> Result {
    let path = arg(args, 0)?;
    text_of(&scope.dirs, &path, scope.sandbox).map(text).map_err(|e| fail(format!("file {path}: {e}")))
}

/// `nomadService "name"`, or `nomadService N "key" "name"`: N of them, always the same ones for a key.
fn nomad_service(scope: &Scope, args: &[Value]) -> Result {
    let name = args.last().map(ToString::to_string).ok_or_else(|| fail("nomadService: a name is missing"))?;
    let rows = {
        let mut services = scope.data.services.lock().expect("no panic while held");
        Data::room(&services, &name).map_err(fail)?;
        services.entry(name).or_default().clone().unwrap_or_default()
    };
    let mut rows = rows;
    if let [count, key, _] = args {
        let key = key.to_string();
        rows.sort_by_key(|row| std::cmp::Reverse(Sha256::digest(format!("{key}{}", row.id)).to_vec()));
        rows.truncate(count.as_int().unwrap_or(0).max(0) as usize);
    }
    Ok(Value::List(rows.iter().map(instance).collect::<Vec<_>>().into()))
}

fn instance(row: &ServiceRegistration) -> Value {
    tmap! {
        "ID" => &*row.id,
        "Name" => &*row.service_name,
        "Node" => row.node_id.to_string(),
        "NodeID" => row.node_id.to_string(),
        "Address" => &*row.address,
        "Port" => i64::from(row.port),
        "Datacenter" => &*row.datacenter,
        "Tags" => Value::List(row.tags.iter().map(text).collect::<Vec<_>>().into()),
        "JobID" => row.job_id.as_str(),
        "AllocID" => row.alloc_id.to_string(),
        "Namespace" => row.namespace.as_str(),
    }
}

/// The answer to a `/v1` request; an empty value until it is there.
fn page(scope: &Scope, path: String) -> gotmpl::Result<Option<serde_json::Value>> {
    let mut pages = scope.data.pages.lock().expect("no panic while held");
    Data::room(&pages, &path).map_err(fail)?;
    match pages.entry(path).or_default() {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.clone())),
        Some(Err(error)) => Err(fail(error.clone())),
    }
}

fn nomad_services(scope: &Scope, _args: &[Value]) -> Result {
    let found = page(scope, "/v1/services".to_owned())?.unwrap_or_default();
    let mut rows = Vec::new();
    for namespace in found.as_array().into_iter().flatten() {
        for service in namespace["Services"].as_array().into_iter().flatten() {
            let tags = service["Tags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|t| t.as_str())
                .map(text)
                .collect::<Vec<_>>();
            let name = service["ServiceName"].as_str().unwrap_or_default();
            rows.push(tmap! { "Name" => name, "Tags" => Value::List(tags.into()) });
        }
    }
    Ok(Value::List(rows.into()))
}

fn nomad_var(scope: &Scope, args: &[Value]) -> Result {
    let path = arg(args, 0)?;
    let found = page(scope, format!("/v1/var/{}", path.trim_matches('/')))?;
    let items = found.as_ref().and_then(|v| v["Items"].as_object());
    let map = items.into_iter().flatten().map(|(k, v)| (Arc::from(k.as_str()), text(v.as_str().unwrap_or_default())));
    Ok(Value::Map(Arc::new(map.collect())))
}

fn nomad_var_exists(scope: &Scope, args: &[Value]) -> Result {
    let path = arg(args, 0)?;
    let found = page(scope, format!("/v1/vars?prefix={path}"))?.unwrap_or_default();
    let exists = found.as_array().into_iter().flatten().any(|v| v["Path"].as_str() == Some(path.as_str()));
    Ok(Value::Bool(exists))
}

fn nomad_var_list(scope: &Scope, args: &[Value]) -> Result {
    let prefix = args.first().map(ToString::to_string).unwrap_or_default();
    let found = page(scope, format!("/v1/vars?prefix={prefix}"))?.unwrap_or_default();
    let rows = found.as_array().into_iter().flatten().map(|v| {
        tmap! { "Path" => v["Path"].as_str().unwrap_or_default(), "Namespace" => v["Namespace"].as_str().unwrap_or_default() }
    });
    Ok(Value::List(rows.collect::<Vec<_>>().into()))
}

/// How a missing page is called in the task's events.
pub(super) fn dependency_name(path: &str) -> String {
    match path.strip_prefix("/v1/var/") {
        Some(variable) => format!("nomad.var.block({variable})"),
        None if path.starts_with("/v1/vars") => {
            format!("nomad.var.list({})", path.rsplit('=').next().unwrap_or_default())
        }
        None => "nomad.services".to_owned(),
    }
}

/// Writes what is new; gives the numbers of the templates that changed.
pub(super) fn write(
    templates: &mut [One],
    rendered: Vec<String>,
    dirs: &TaskDirs,
    compare_disk: bool,
) -> std::result::Result<Vec<usize>, super::TemplateError> {
    let failed =
        |name: &str, e: &ground::Error| super::TemplateError::Write { path: name.to_owned(), text: crate::chain(e) };
    let alloc = dirs.open().map_err(|e| failed("templates", &e))?;
    let mut changed = Vec::new();
    for (index, (one, text)) in templates.iter_mut().zip(rendered).enumerate() {
        if compare_disk && one.last.is_none() {
            let there = alloc.find_plain(&one.dest).and_then(|found| found.bytes(budget::MAX_OUTPUT));
            if let Ok(there) = there {
                one.remember(&String::from_utf8_lossy(&there));
            }
        }
        if one.last == Some(digest(&text)) {
            continue;
        }
        write_file(&alloc, &one.template, &one.dest, &text).map_err(|e| failed(&one.name, &e))?;
        one.remember(&text);
        changed.push(index);
    }
    Ok(changed)
}

impl One {
    fn remember(&mut self, text: &str) {
        self.last = Some(digest(text));
        if self.template.envvars == Some(true) {
            self.env = parse_env(text);
        }
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Writes a rendered text where readers never see half of it, with the template's permissions and owner. No link is
/// followed on the way: a task may have put one where a directory was.
fn write_file(alloc: &Dir, template: &Template, dest: &Path, text: &str) -> std::result::Result<(), ground::Error> {
    let mode = u32::from_str_radix(template.perms.as_deref().unwrap_or("0644"), 8).unwrap_or(0o644) & 0o7777;
    let id = |id: Option<i64>| id.filter(|i| *i >= 0).and_then(|i| u32::try_from(i).ok());
    if let Some(parent) = dest.parent() {
        alloc.make_dirs(parent, Attr::mode(0o755))?;
    }
    alloc.replace(dest, text.as_bytes(), Attr { mode, uid: id(template.uid), gid: id(template.gid) })
}

/// `KEY=VALUE` lines; `#` begins a comment, `export ` may stand before, quotes around a value go away.
pub(super) fn parse_env(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        Some((key.trim().to_owned(), unquote(value.trim())))
    };
    text.lines().filter_map(line).filter(|(key, _)| !key.is_empty()).collect()
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
        return inner.to_owned();
    }
    match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(inner) => inner.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
    }
}
