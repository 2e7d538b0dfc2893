//! Builds the browser's part: two WASM modules, the npm parts and the style sheet, in one folder named by its hash.
//!
//! Reads: `app/`, `style/`, the crates they use. Gives: `dist/ui/<hash>/…` in a release each file as `.br`, and
//! `dist/ui/manifest.json`, which the server's host of the UI reads. Start at [`build`].
//!
//! Where rustup has the WASM target (or can add it) that is all that is needed; else Debian's `rustc-web` builds it. Without npm the
//! editor stays a plain text area. A second build of the same sources leaves everything as it is.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use xtask_start::Step;

pub const TRIPLE: &str = "wasm32-unknown-unknown";
/// The packages that become modules.
pub const MODULES: [&str; 2] = ["tarpan-browser", "tarpan-worker"];

/// How to build.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Small and slow to build: size-optimised WASM, brotli at its best.
    pub release: bool,
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// `dist/ui`.
    pub folder: PathBuf,
    /// What is less than it could be, in sentences: npm missing, say.
    pub notes: Vec<String>,
    /// Bytes of each file as they are and as brotli carries them; empty when nothing had to be built.
    pub sizes: BTreeMap<String, (usize, usize)>,
}

/// `cargo xtask ui [-release]`.
pub fn run(flags: &[&str]) -> Result<()> {
    let built = build(&Options { release: flags.contains(&"release") })?;
    for note in &built.notes {
        println!("note: {note}");
    }
    for (name, (plain, small)) in &built.sizes {
        println!("{name:40} {:>9} bytes {:>9} brotli", plain, small);
    }
    println!("The UI is in {}", built.folder.display());
    Ok(())
}

/// Builds what changed; the folder is complete when this returns.
pub fn build(options: &Options) -> Result<Built> {
    let root = root();
    let folder = root.join("dist/ui");
    let mut notes = Vec::new();
    let wasm = compile(&root, options.release)?;
    let web = web_parts(&root, options.release, &mut notes)?;
    let stamp = stamp(&wasm, &web, options)?;
    if manifest_stamp(&folder).as_deref() == Some(&stamp) {
        return Ok(Built { folder, notes, sizes: BTreeMap::new() });
    }

    let fresh = root.join("dist/ui.new");
    let _ = fs::remove_dir_all(&fresh);
    let files = fresh.join(&stamp);
    fs::create_dir_all(&files).with_context(|| format!("making {}", files.display()))?;
    let main = split(&wasm.app, &files)?;
    bind(&main, "app", &files, options.release)?;
    fs::remove_file(&main).with_context(|| format!("removing {}", main.display()))?;
    if options.release {
        for part in files_below(&files)?.iter().filter(|p| is_part(p)) {
            fs::write(part, lean(part, true)?.emit_wasm()).with_context(|| format!("writing {}", part.display()))?;
        }
    }
    bind(&wasm.worker, "worker", &files, options.release)?;
    if options.release && has_npm() {
        minify(&root, &files)?;
    }
    fs::write(files.join("check.js"), WORKER_JS)?;
    for (name, bytes) in &web.files {
        fs::write(files.join(name), bytes)?;
    }
    let sizes = compress(&files, options.release)?;
    let manifest = json!({
        "base": format!("/ui/assets/{stamp}"), "js": "app.js", "wasm": "app_bg.wasm", "css": "app.css",
        "editor": web.editor, "terminal": web.terminal, "worker": "check.js",
    });
    fs::write(fresh.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&fresh, &folder).with_context(|| format!("moving {} into place", fresh.display()))?;
    Ok(Built { folder, notes, sizes })
}

/// The web worker's start: answers `[id, call, text]` with `[id, answer, error]`.
const WORKER_JS: &str = "\
import init, * as parts from './worker.js';
const ready = init({ module_or_path: new URL('./worker_bg.wasm', import.meta.url) });
onmessage = async ({ data: [id, call, text] }) => {
  try { await ready; postMessage([id, parts[call](text), null]); } catch (error) { postMessage([id, null, String(error)]); }
};
";

struct Wasm {
    app: PathBuf,
    worker: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Compiles the two modules.
fn compile(root: &Path, release: bool) -> Result<Wasm> {
    let (profile, folder) = if release { ("wasm-release", "wasm-release") } else { ("dev", "debug") };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = if target.is_absolute() { target } else { root.join(target) };
    // From `cargo tree`, for the browser's target.
    let step = |what, minutes, crates| Step { what, minutes, crates: Some(crates) };
    // What is shipped has the features that it asks for itself: together the first load would be 2 kB larger and the worker 43. Everyday
    // builds make both in one command, and build once what they stand on.
    let commands: &[(&[&str], Step<'_>)] = match release {
        true => &[
            (&MODULES[..1], step("the pages for the browser", 10, 195)),
            (&MODULES[1..], step("the editor's worker", 4, 95)),
        ],
        false => &[(&MODULES, step("the pages for the browser", 5, 220))],
    };
    for (names, step) in commands {
        let mut command = compiler()?;
        command.env("CARGO_TARGET_DIR", &target);
        command.args(["build", "--locked", "--target", TRIPLE, "--profile", profile]);
        command.args(names.iter().flat_map(|name| ["-p", name]));
        crate::shell::build(step, &mut command)
            .with_context(|| format!("{} does not build for the browser", names.join(" or ")))?;
    }
    let at = |name: &str| target.join(TRIPLE).join(folder).join(format!("{name}.wasm"));
    Ok(Wasm { app: at("tarpan_browser"), worker: at("tarpan_worker") })
}

/// A cargo that can build for the browser: rustup's, with the target added where that is possible, else Debian's.
pub fn compiler() -> Result<Command> {
    let root = &root();
    let sysroot = text_of(Command::new("rustc").current_dir(root).args(["--print", "sysroot"]))
        .context("asking rustc for its folder")?;
    let sysroot = PathBuf::from(sysroot.trim());
    let has_target = || sysroot.join("lib/rustlib").join(TRIPLE).join("lib").is_dir();
    if !has_target() {
        // Fails quietly where rustup is missing or can't reach its server: then Debian's is tried.
        let _ = Command::new("rustup").current_dir(root).args(["target", "add", TRIPLE]).output();
    }
    if has_target() {
        let mut command = xtask_start::command("cargo");
        // Tests have Clippy there: it has seen the same sources by then, and would see them twice more.
        command.env_remove("RUSTC_WORKSPACE_WRAPPER");
        return Ok(command);
    }
    let debian = Path::new("/usr/bin/rustc");
    let std_source = Path::new("/usr/lib/rustlib").join(TRIPLE);
    if debian.exists() && (std_source.exists() || Path::new("/usr/src").join("rustc-web").exists() || web_rustc(debian))
    {
        let linker = sysroot.join("lib/rustlib").join(host_triple(root)?).join("bin/rust-lld");
        let mut command = xtask_start::command("/usr/bin/cargo");
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", debian).env_remove("RUSTC_WORKSPACE_WRAPPER");
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        command.arg("-Zbuild-std=std,panic_abort");
        return Ok(command);
    }
    bail!(
        "no compiler for the browser: `rustup target add {TRIPLE}` adds one; on Debian \
         `apt-get install rustc-web cargo-web rust-web-src` does as well"
    )
}

/// Whether this rustc knows the browser's target at all.
fn web_rustc(rustc: &Path) -> bool {
    text_of(Command::new(rustc).args(["--print", "target-list"])).is_ok_and(|list| list.contains(TRIPLE))
        && Path::new("/usr/bin/cargo").exists()
}

fn host_triple(root: &Path) -> Result<String> {
    let text = text_of(Command::new("rustc").current_dir(root).arg("-vV"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(line.context("rustc does not say its host")?.to_owned())
}

fn text_of(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes the parts that pages load on demand into `out`, with the script that loads them; gives the module that is left.
fn split(wasm: &Path, out: &Path) -> Result<PathBuf> {
    let bytes = fs::read(wasm).with_context(|| format!("reading {}", wasm.display()))?;
    let main = out.join("main.wasm");
    let mut options = wasm_split_cli_support::Options::new(&bytes);
    options.output_dir = out;
    options.main_out_path = &main;
    options.link_name = "./__wasm_split.js";
    options.main_module = "./app.js";
    wasm_split_cli_support::transform(options).map_err(|e| anyhow!("splitting {}: {e:#}", wasm.display()))?;
    Ok(main)
}

/// Whether a file is one of the parts that [`split`] wrote.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".wasm") && (name.starts_with("split_") || name.starts_with("chunk_"))
}

/// Makes the JavaScript around a module.
fn bind(wasm: &Path, name: &str, out: &Path, release: bool) -> Result<()> {
    let module = lean(wasm, release)?;
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_module(name, module).out_name(name).typescript(false).omit_default_module_path(true);
    // The parts of a split module find each other by what the linker exports.
    bindgen.keep_lld_exports(name == "app");
    bindgen.web(true)?.generate(out).with_context(|| format!("binding {}", wasm.display()))
}

/// Reads a module; for release without names, and without what is never called.
fn lean(wasm: &Path, release: bool) -> Result<walrus::Module> {
    let mut config = walrus::ModuleConfig::new();
    config.strict_validate(false).generate_name_section(!release).generate_producers_section(!release);
    let bytes = fs::read(wasm).with_context(|| format!("reading {}", wasm.display()))?;
    let mut module = config.parse(&bytes).map_err(|e| anyhow!("reading {}: {e:#}", wasm.display()))?;
    if release {
        empty_unused(&mut module);
    }
    Ok(module)
}

/// What the browser never calls though the table of every type of view or route names it: the asynchronous half of hydration (ours is
/// synchronous, see `tarpan_app::hydrate`), and what lists the routes for a server.
const UNUSED: [&str; 2] = ["::hydrate_async", "::into_any_nested_route::generate_routes"];

/// A function of fewer instructions may stand for others that do the same (the compiler makes one of them), and weighs nothing.
const TOO_SMALL: u64 = 40;

/// Empties the functions in [`UNUSED`] and their closures; what only they need goes with them. Called all the same, they trap.
fn empty_unused(module: &mut walrus::Module) {
    let unused = |name: &str| {
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let own = name.trim_end_matches("::{{closure}}");
        UNUSED.iter().any(|n| own.ends_with(n)) && !name.contains("drop_in_place")
    };
    let large = module.funcs.iter_local().filter(|(_, f)| f.size() >= TOO_SMALL);
    let found: Vec<_> = large.map(|(id, f)| (id, f.ty())).collect();
    for (id, ty) in found {
        if !module.funcs.get(id).name.as_deref().is_some_and(unused) {
            continue;
        }
        let (params, results) = module.types.params_results(ty);
        let (params, results) = (params.to_vec(), results.to_vec());
        let mut empty = walrus::FunctionBuilder::new(&mut module.types, &params, &results);
        empty.func_body().unreachable();
        let args = params.iter().map(|ty| module.locals.add(*ty)).collect();
        module.funcs.get_mut(id).kind = walrus::FunctionKind::Local(empty.local_func(args));
    }
}

/// What npm made, or its plain stand-in.
struct Web {
    files: BTreeMap<String, Vec<u8>>,
    /// The entries of the editor and of the terminal; empty without npm.
    editor: String,
    terminal: String,
}

/// Bundles the npm parts and the style sheet.
fn web_parts(root: &Path, release: bool, notes: &mut Vec<String>) -> Result<Web> {
    let web = root.join("app/web");
    if !has_npm() {
        notes.push(
            "npm was not found: the job editor is a plain text area, and there is no terminal (install nodejs and npm for both)"
                .to_owned(),
        );
        let files = BTreeMap::from([("app.css".to_owned(), plain_css(root)?.into_bytes())]);
        return Ok(Web { files, editor: String::new(), terminal: String::new() });
    }
    install_packages(&web)?;
    let dist = web.join("dist");
    let _ = fs::remove_dir_all(&dist);
    let mut command = Command::new(web.join("node_modules/.bin/esbuild"));
    command.current_dir(&web).args([
        "editor.js",
        "terminal.js",
        "app.css",
        "--bundle",
        "--splitting",
        "--format=esm",
        "--target=es2022",
    ]);
    command.args(["--entry-names=[name]", "--chunk-names=chunk-[hash]", "--outdir=dist", "--log-level=warning"]);
    if release {
        command.arg("--minify");
    }
    let status = command.status().context("starting esbuild")?;
    ensure!(status.success(), "the npm parts do not bundle");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&dist)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read(&path)?);
    }
    Ok(Web { files, editor: "editor.js".to_owned(), terminal: "terminal.js".to_owned() })
}

/// Shortens the JavaScript that was made around the modules.
fn minify(root: &Path, files: &Path) -> Result<()> {
    let scripts = files_below(files)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "js"));
    let mut command = Command::new(root.join("app/web/node_modules/.bin/esbuild"));
    command.args(scripts).args([
        "--minify",
        "--format=esm",
        "--target=es2022",
        "--allow-overwrite",
        "--log-level=warning",
        // wasm-bindgen names the script of the parts once for each of them.
        "--log-override:duplicate-object-key=silent",
    ]);
    let status =
        command.arg(format!("--outdir={}", files.display())).arg(format!("--outbase={}", files.display())).status();
    ensure!(status.context("starting esbuild")?.success(), "the scripts around the modules can't be minified");
    Ok(())
}

fn has_npm() -> bool {
    ["npm", "node"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success()))
}

/// `npm ci`, when the lock file is newer than what is installed.
fn install_packages(web: &Path) -> Result<()> {
    let modified = |path: PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    let installed = modified(web.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(web.join("package-lock.json")) {
        return Ok(());
    }
    let step = Step { what: "the npm parts of editor and terminal", minutes: 1, crates: None };
    let mut command = xtask_start::command("npm");
    command.current_dir(web).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    crate::shell::build(&step, &mut command).with_context(|| format!("`npm ci` failed in {}", web.display()))
}

/// The sheets of `style/index.css`, joined.
fn plain_css(root: &Path) -> Result<String> {
    let style = root.join("style");
    let index = fs::read_to_string(style.join("index.css")).context("reading style/index.css")?;
    let names = index.lines().filter_map(|l| l.strip_prefix("@import \"")?.strip_suffix("\";"));
    names.map(|name| fs::read_to_string(style.join(name)).with_context(|| format!("reading style/{name}"))).collect()
}

/// A name for exactly this content.
fn stamp(wasm: &Wasm, web: &Web, options: &Options) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    options.release.hash(&mut hasher);
    WORKER_JS.hash(&mut hasher);
    for path in [&wasm.app, &wasm.worker] {
        fs::read(path).with_context(|| format!("reading {}", path.display()))?.hash(&mut hasher);
    }
    web.files.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The stamp of what is there, when it is whole.
fn manifest_stamp(folder: &Path) -> Option<String> {
    let text = fs::read(folder.join("manifest.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
    manifest["base"].as_str()?.rsplit('/').next().map(str::to_owned)
}

/// Packs each file (release only), and says how large they are.
fn compress(folder: &Path, release: bool) -> Result<BTreeMap<String, (usize, usize)>> {
    let mut sizes = BTreeMap::new();
    for path in files_below(folder)? {
        let plain = fs::read(&path)?;
        let mut small = plain.len();
        if release {
            let brotli = brotli(&plain)?;
            small = brotli.len();
            fs::write(with_suffix(&path, "br"), &brotli)?;
            // The host makes of it what others take.
            fs::remove_file(&path)?;
        }
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        sizes.insert(name, (plain.len(), small));
    }
    Ok(sizes)
}

fn brotli(plain: &[u8]) -> Result<Vec<u8>> {
    let mut small = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut small, 64 * 1024, 11, 24);
    writer.write_all(plain)?;
    drop(writer);
    Ok(small)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
