//! Renderings with services and environment that are handed in.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Instant;

use super::budget::Meter;
use super::render::{Scope, Source, parse_env};
use super::*;
use crate::alloc_dir::AllocDir;

fn scope(data: &Arc<Data>) -> Scope {
    let env = BTreeMap::from([("NOMAD_META_budget".to_owned(), "200".to_owned())]);
    Scope {
        env: Arc::new(env),
        data: data.clone(),
        dirs: AllocDir { root: PathBuf::from("/nonexistent") }.task("t"),
        sandbox: true,
        denied: vec!["plugin".to_owned()],
    }
}

fn row(port: u16) -> ServiceRegistration {
    ServiceRegistration {
        id: Arc::from(format!("r{port}")),
        service_name: Arc::from("redis-svc"),
        namespace: "default".into(),
        node_id: tarpan_model::NodeId::NIL,
        datacenter: Arc::from("dc1"),
        job_id: "redis".into(),
        alloc_id: tarpan_model::AllocId::NIL,
        tags: vec!["a".to_owned()],
        address: Arc::from("10.0.0.1"),
        port,
        create_index: 0,
        modify_index: 0,
    }
}

fn render(data: &Arc<Data>, source: &str) -> Result<String, String> {
    scope(data).render(&source_of(source), &Arc::default())
}

fn source_of(text: &str) -> Source {
    Source { template: Template::default(), text: text.to_owned(), name: "local/x".to_owned() }
}

#[test]
fn services_are_asked_for_and_then_there() {
    let data = Arc::new(Data::default());
    let source = "{{ range nomadService \"redis-svc\" }}REDIS={{ .Address }}:{{ .Port }}\n{{ end }}";
    assert_eq!(render(&data, source).as_deref(), Ok(""));
    assert_eq!(missing_text(&data.missing()), "Missing: nomad.service(redis-svc)");
    data.services.lock().expect("held").insert("redis-svc".to_owned(), Some(vec![row(6379)]));
    assert!(data.missing().is_empty());
    assert_eq!(render(&data, source).as_deref(), Ok("REDIS=10.0.0.1:6379\n"));
    let two = Some(vec![row(1), row(2), row(3)]);
    data.services.lock().expect("held").insert("redis-svc".to_owned(), two);
    let chosen = "{{ range nomadService 1 \"key\" \"redis-svc\" }}{{ .Port }}{{ end }}";
    assert_eq!(render(&data, chosen), render(&data, chosen));
}

#[test]
fn functions() {
    let data = Arc::new(Data::default());
    for (source, expected) in [
        ("{{ env \"NOMAD_META_budget\" }}", "200"),
        ("{{ envOrDefault \"NOPE\" \"x\" }}", "x"),
        ("{{ \"a,b\" | split \",\" | join \"-\" }}", "a-b"),
        ("{{ 10 | subtract 3 }} {{ add 2 3 }} {{ divide 2 9 }}", "7 5 4"),
        ("{{ \"hello\" | toUpper | base64Encode }}", "SEVMTE8="),
        ("{{ sha256Hex \"abc\" }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("{{ hmacSHA256Hex \"message\" \"key\" }}", "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"),
        ("{{ with parseJSON \"{\\\"a\\\": [1, 2]}\" }}{{ index .a 1 }}{{ end }}", "2"),
        ("{{ range loop 3 }}{{ . }}{{ end }}", "012"),
        ("{{ \"a b\" | toTitle }}", "A B"),
        ("{{ \"x: y\" | indent 2 }}", "  x: y"),
        ("{{ if in (split \",\" \"a,b\") \"b\" }}yes{{ end }}", "yes"),
        ("{{ toJSON (splitToMap \",\" \"=\" \"a=1,b=2\") }}", "{\"a\":\"1\",\"b\":\"2\"}"),
    ] {
        assert_eq!(render(&data, source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn mistakes_are_sentences() {
    let data = Arc::new(Data::default());
    for (source, part) in [
        ("{{ plugin \"x\" }}", "plugin: function is disabled"),
        ("{{ file \"../../etc/passwd\" }}", "Path escapes the alloc directory"),
        ("{{ divide 0 1 }}", "have no result"),
        ("{{ mustEnv \"NOPE\" }}", "is not set"),
        ("{{ if }}", ""),
    ] {
        let error = render(&data, source).expect_err(source);
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn environment_files() {
    let env = parse_env("# comment\nA=1\nexport B=\"two words\"\nC='$x'\n\nD=x # y\nnonsense\n");
    let expected = [("A", "1"), ("B", "two words"), ("C", "$x"), ("D", "x")];
    assert_eq!(env, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn the_engines_own_functions_give_what_they_gave() {
    let data = Arc::new(Data::default());
    for (source, expected) in [
        ("{{ print 1 2 \"a\" 3 4 }}|{{ println \"a\" 1 }}", "1 2a3 4|a 1\n"),
        ("{{ printf \"%05d %-4s| %q %v %x\" 42 \"ab\" \"c\" true 255 }}", "00042 ab  | \"c\" true ff"),
        ("{{ \"x\" | printf \"%s-%s\" \"y\" }}", "y-x"),
        ("{{ html \"<a>\" }} {{ js \"'\" }} {{ urlquery \"a b\" }}", "&lt;a&gt; \\' a+b"),
        ("{{ slice \"hello\" 1 3 }} {{ slice (split \",\" \"a,b,c\") 1 }} {{ len (slice \"abc\") }}", "el [b c] 3"),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" 1 }}{{ block \"b\" 2 }}{{ . }}{{ end }}", "<1>2"),
        (
            "{{ range $i, $x := loop 5 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if eq $i 3 }}{{ break }}{{ end }}{{ $x }}{{ else }}no{{ end }}",
            "02",
        ),
        ("{{ with \"\" }}a{{ else with \"b\" }}{{ . }}{{ end }}", "b"),
        ("", ""),
        ("  \n", "  \n"),
        ("{{/* nothing */}}", ""),
    ] {
        assert_eq!(render(&data, source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn output_is_bounded() {
    let data = Arc::new(Data::default());
    let row = "x".repeat(100);
    let source = format!("{{{{ range loop 1000000 }}}}{{{{ range loop 1000 }}}}{row}{{{{ end }}}}{{{{ end }}}}");
    assert_eq!(render(&data, &source), Err("the task's templates render to more than 32 MB".to_owned()));
    // All of a task's templates together.
    let meter = Arc::new(Meter::default());
    let half = source_of(&"y".repeat(3 << 20));
    let scope = scope(&data);
    let rendered = (0..11).map(|_| scope.render(&half, &meter)).filter(Result::is_ok).count();
    assert_eq!(rendered, 10);
}

#[test]
fn what_a_template_makes_on_its_way_is_bounded() {
    let data = Arc::new(Data::default());
    let list = "{{ $x := loop 1000000 | join \",\" }}";
    for source in [
        // Doubles.
        "{{ $x := \"0123456789abcdef\" }}{{ range loop 60 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}".to_owned(),
        "{{ $x := \"0123456789abcdef\" }}{{ range loop 60 }}{{ $x = print $x $x }}{{ end }}".to_owned(),
        // One call makes far more than it is given.
        format!("{list}{{{{ $y := replaceAll \",\" $x $x }}}}"),
        format!("{list}{{{{ $y := split \",\" $x | join $x }}}}"),
        format!("{list}{{{{ $y := replaceAll \",\" \"\\n\" $x | indent 1000 }}}}"),
        "{{ $f := \"%65535d\" }}{{ range loop 12 }}{{ $f = print $f $f }}{{ end }}{{ $x := printf $f 1 }}".to_owned(),
        // Kept in a variable each.
        "{{ $x := loop 1000000 }}".repeat(20),
        format!("{list}{}", "{{ $y := slice $x 1 }}".repeat(60)),
    ] {
        let begun = Instant::now();
        let error = render(&data, &source).expect_err(&source[..60]);
        assert_eq!(error, "rendering needs more than 256 MB of texts and lists on its way", "{}", &source[..60]);
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", &source[..60]);
    }
}

#[test]
fn a_template_without_end_is_ended() {
    let data = Arc::new(Data::default());
    let nested = "{\\\"n\\\":".repeat(90) + "{}" + &"}".repeat(90);
    for source in [
        // Calls itself twice at each of 90 levels; no function, no output, no range.
        format!(
            "{{{{ define \"a\" }}}}{{{{ with .n }}}}{{{{ template \"a\" . }}}}{{{{ template \"a\" . }}}}{{{{ end }}}}{{{{ end }}}}{{{{ template \"a\" (parseJSON \"{nested}\") }}}}"
        ),
        "{{ $x := loop 100000 }}{{ range $x }}{{ if in $x \"no\" }}{{ end }}{{ end }}".to_owned(),
    ] {
        let begun = Instant::now();
        let meter = Arc::new(Meter::until(begun + Duration::from_millis(300)));
        let error = scope(&data).render(&source_of(&source), &meter).expect_err("ended");
        assert_eq!(error, "rendering takes longer than 10s");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    // Nobody waits any more.
    let meter = Arc::new(Meter::default());
    drop(budget::Waiting(meter.clone()));
    assert_eq!(
        scope(&data).render(&source_of("{{ env \"A\" }}"), &meter),
        Err("the task is not wanted any more".into())
    );
    // The engine's own bound.
    assert!(render(&data, "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}").is_err());
}

#[test]
fn a_template_asks_for_no_more_than_a_number_of_things() {
    let data = Arc::new(Data::default());
    let error = render(&data, "{{ range loop 1000 }}{{ nomadVar (print \"x\" .) }}{{ end }}").expect_err("too many");
    assert!(error.contains("the task's templates ask for more than 500 things"), "{error}");
    assert_eq!(data.watched().len(), 500);
    let long = render(&data, "{{ parseInt (loop 100000 | join \",\") }}").expect_err("no number");
    assert!(long.chars().count() <= 501, "{}", long.len());
    assert!(render(&data, &"{{ . }}".repeat(50_001)).is_err_and(|e| e == "the template has more than 50000 actions"));
}

struct Place {
    _dir: tempfile::TempDir,
    outside: PathBuf,
    dirs: TaskDirs,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).expect("made");
        std::fs::write(outside.join("secret"), "the node's").expect("written");
        let alloc = AllocDir { root: dir.path().join("alloc-1") };
        alloc.create().expect("made");
        let dirs = alloc.create_task("t").expect("made");
        let other = alloc.create_task("other").expect("made");
        std::fs::write(other.secrets.join("key"), "the other's").expect("written");
        Place { _dir: dir, outside, dirs }
    }

    fn write(&self, one: &mut One, text: &str) -> Result<Vec<usize>, TemplateError> {
        render::write(std::slice::from_mut(one), vec![text.to_owned()], &self.dirs, false)
    }
}

fn one(place: &Place, dest: &str, template: Template) -> One {
    let dest_path = own(&place.dirs, dest).expect("the task's own");
    One { template, name: dest.to_owned(), dest: dest_path, last: None, env: BTreeMap::new() }
}

#[test]
fn a_new_rendering_does_not_go_through_a_swapped_directory() {
    let place = Place::new();
    let template = Template { perms: Some("0600".into()), envvars: Some(true), ..Template::default() };
    let mut one = one(&place, "local/deep/conf", template);
    assert_eq!(place.write(&mut one, "A=1"), Ok(vec![0]));
    assert_eq!(place.write(&mut one, "A=1"), Ok(vec![]));
    let written = place.dirs.local.join("deep/conf");
    assert_eq!(written.metadata().expect("there").mode() & 0o7777, 0o600);
    assert_eq!(one.env["A"], "1");
    // The task puts a link where its directory was.
    std::fs::rename(place.dirs.local.join("deep"), place.dirs.local.join("away")).expect("moved");
    symlink(&place.outside, place.dirs.local.join("deep")).expect("linked");
    let error = place.write(&mut one, "A=2").expect_err("a link on the way").to_string();
    assert!(error.contains("nothing is written through links"), "{error}");
    assert_eq!(std::fs::read_dir(&place.outside).expect("listed").count(), 1);
    // A link in the file's own place is replaced.
    std::fs::remove_file(place.dirs.local.join("deep")).expect("removed");
    std::fs::create_dir(place.dirs.local.join("deep")).expect("made");
    symlink(place.outside.join("secret"), &written).expect("linked");
    assert_eq!(place.write(&mut one, "A=3"), Ok(vec![0]));
    assert_eq!(std::fs::read_to_string(place.outside.join("secret")).expect("there"), "the node's");
    assert_eq!(std::fs::read_to_string(&written).expect("there"), "A=3");
}

#[test]
fn sources_and_files_are_the_tasks_own() {
    let place = Place::new();
    std::fs::write(place.dirs.local.join("real"), "mine").expect("written");
    symlink("real", place.dirs.local.join("current")).expect("linked");
    symlink(place.outside.join("secret"), place.dirs.local.join("out")).expect("linked");
    symlink("../../other/secrets/key", place.dirs.local.join("other")).expect("linked");
    nix::unistd::mkfifo(&place.dirs.local.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("made");
    let read = |path: &str| text_of(&place.dirs, path, true);
    assert_eq!(read("local/real").as_deref(), Ok("mine"));
    assert_eq!(read("local/current").as_deref(), Ok("mine"));
    assert_eq!(read(&place.dirs.local.join("real").to_string_lossy()).as_deref(), Ok("mine"));
    let other = place.dirs.alloc.join("other/secrets/key").to_string_lossy().into_owned();
    for path in ["local/out", "local/other", "../other/secrets/key", &other] {
        assert_eq!(read(path).expect_err(path), "Path escapes the alloc directory", "{path}");
    }
    let pipe = read("local/pipe").expect_err("a pipe");
    assert!(pipe.contains("a named pipe"), "{pipe}");
    let outside = place.outside.join("secret").to_string_lossy().into_owned();
    assert!(read(&outside).is_err());
    assert_eq!(text_of(&place.dirs, &outside, false).as_deref(), Ok("the node's"), "where the operator allows it");
    assert_eq!(own(&place.dirs, "local"), Some(PathBuf::from("t/local")));
    for path in ["", ".", "../..", "../other/local/x", &other] {
        assert_eq!(own(&place.dirs, path), None, "{path}");
    }
}

#[test]
fn fuzz_any_template_ends() {
    let words = [
        "{{",
        "}}",
        "{{ end }}",
        "{{ range loop 3 }}",
        "{{ with . }}",
        "{{ if in . 1 }}",
        "{{ define \"x\" }}",
        "{{ template \"x\" . }}",
        "{{ block \"x\" . }}",
        "| toJSON",
        "| parseJSON",
        "| split \",\"",
        "| join \"-\"",
        "printf \"%9999d\" 1",
        "indent 1000",
        "| regexReplaceAll \"a*\" \"b\"",
        "{{ $x := 1 }}",
        "$x",
        "{{- ",
        " -}}",
        "{{/* */}}",
        "{{ template \"template\" . }}",
        "(",
        ")",
        "loop 1000000",
        "replaceAll \"a\" \"aa\"",
        "| toTitle",
        "timestamp",
        "base64Decode",
        "divide 0",
        "index",
        "slice",
        "len",
        "{{ break }}",
        "{{ else }}",
        "env \"A\"",
        "nomadService \"a\"",
        "sprig_repeat",
        "\"%[99999]s\"",
        "-9223372036854775808",
    ];
    let seeds = [
        "{{ range loop 3 }}{{ . }}{{ end }}",
        "{{ with parseJSON \"{\\\"a\\\": [1, 2]}\" }}{{ index .a 1 }}{{ end }}",
        "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
        "{{ 10 | subtract 3 }} {{ divide 2 9 }}",
        "A={{ env \"NOMAD_META_budget\" }}\nexport B=\"x\\n\" # c",
        "{{ printf \"%5.2f %q %v\" 1.5 \"a\" . }}",
        "{{ slice \"abc\" 1 2 }}",
    ];
    let data = Arc::new(Data::default());
    let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "templates").words(&words).seeds(seeds);
    // The meter ends after one second what the program ends after ten.
    fuzz.longest(1_500).limit(Duration::from_secs(4)).texts(|text| {
        let meter = Arc::new(Meter::until(Instant::now() + Duration::from_secs(1)));
        match scope(&data).render(&source_of(text), &meter) {
            Ok(rendered) => {
                let variables = parse_env(&rendered);
                assert!(variables.keys().all(|key| !key.is_empty() && !key.contains('\n')));
                format!("{} {}", rendered == text, variables.is_empty())
            }
            Err(error) => {
                assert!(!error.is_empty() && error.chars().count() < 4_000, "{} characters", error.chars().count());
                error
            }
        }
    });
}
