//! One rendering of one template, and what becomes of the text.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gotmpl::{MissingKey, TemplateError, Value, tmap};
use sha2::{Digest, Sha256};
use tarpan_model::job::Template;
use tarpan_model::service::ServiceRegistration;

use super::{Data, funcs, readable};

/// What functions can see.
#[derive(Clone)]
pub(super) struct Scope {
    pub env: Arc<BTreeMap<String, String>>,
    pub data: Arc<Data>,
    pub task_dir: PathBuf,
    pub sandbox: bool,
    pub denied: Vec<String>,
}

type Result = gotmpl::Result<Value>;

fn fail(text: impl Into<String>) -> TemplateError {
    TemplateError::Exec(text.into())
}

impl Scope {
    /// The text, with what is not known yet left empty (and noted in the data).
    pub fn render(&self, template: &Template, source: &str) -> std::result::Result<String, String> {
        let or = |text: &Option<String>, default: &str| {
            text.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let mut parsed =
            gotmpl::Template::new("template").delims(&or(&template.left_delim, "{{"), &or(&template.right_delim, "}}"));
        if template.err_missing_key == Some(true) {
            parsed = parsed.missing_key(MissingKey::Error);
        }
        for (name, f) in funcs::TABLE {
            parsed = parsed.func(name, *f);
        }
        parsed = self.own_functions(parsed);
        for name in &self.denied {
            let name = name.clone();
            parsed = parsed.func(&name.clone(), move |_| Err(fail(format!("{name}: function is disabled"))));
        }
        let parsed = parsed.parse(source).map_err(|e| e.to_string())?;
        parsed.execute_to_string(&tmap! {}).map_err(|e| e.to_string())
    }

    fn own_functions(&self, template: gotmpl::Template) -> gotmpl::Template {
        let with = |f: fn(&Scope, &[Value]) -> Result| {
            let scope = self.clone();
            move |args: &[Value]| f(&scope, args)
        };
        template
            .func("nomadService", with(nomad_service))
            .func("nomadServices", with(nomad_services))
            .func("nomadVar", with(nomad_var))
            .func("nomadVarExists", with(nomad_var_exists))
            .func("nomadVarList", with(nomad_var_list))
            .func("nomadVarListSafe", with(nomad_var_list))
            .func("env", with(|s, a| Ok(text(s.env.get(&arg(a, 0)?).cloned().unwrap_or_default()))))
            .func("mustEnv", with(must_env))
            .func(
                "envOrDefault",
                with(|s, a| {
                    let default = arg(a, 1)?;
                    Ok(text(s.env.get(&arg(a, 0)?).cloned().unwrap_or(default)))
                }),
            )
            .func("file", with(file))
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
    let real = readable(&scope.task_dir, &path, scope.sandbox).map_err(|e| fail(format!("file {path}: {e}")))?;
    std::fs::read_to_string(real).map(text).map_err(|e| fail(format!("file {path}: {e}")))
}

/// `nomadService "name"`, or `nomadService N "key" "name"`: N of them, always the same ones for a key.
fn nomad_service(scope: &Scope, args: &[Value]) -> Result {
    let name = args.last().map(ToString::to_string).ok_or_else(|| fail("nomadService: a name is missing"))?;
    let rows = {
        let mut services = scope.data.services.lock().expect("no panic while held");
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

/// Writes a rendered text where readers never see half of it, with the template's permissions and owner.
pub(super) fn write_file(template: &Template, dest: &Path, task_dir: &Path, text: &str) -> io::Result<()> {
    let parent = dest.parent().unwrap_or(task_dir);
    std::fs::create_dir_all(parent)?;
    let mode = u32::from_str_radix(template.perms.as_deref().unwrap_or("0644"), 8).unwrap_or(0o644);
    let tmp = parent.join(format!(
        ".{}.{:08x}",
        dest.file_name().and_then(|n| n.to_str()).unwrap_or("t"),
        rand::random::<u32>()
    ));
    std::fs::write(&tmp, text)?;
    std::fs::set_permissions(&tmp, std::fs::Permissions::from_mode(mode))?;
    let id = |id: Option<i64>| id.filter(|i| *i >= 0).and_then(|i| u32::try_from(i).ok());
    if template.uid.is_some() || template.gid.is_some() {
        std::os::unix::fs::chown(&tmp, id(template.uid), id(template.gid))?;
    }
    std::fs::rename(&tmp, dest)
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
