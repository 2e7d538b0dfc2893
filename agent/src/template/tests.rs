//! Renderings with services and environment that are handed in.

use super::render::{Scope, parse_env};
use super::*;

fn scope(data: &Arc<Data>) -> Scope {
    let env = BTreeMap::from([("NOMAD_META_budget".to_owned(), "200".to_owned())]);
    Scope {
        env: Arc::new(env),
        data: data.clone(),
        task_dir: PathBuf::from("/nonexistent"),
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
    scope(data).render(&Template::default(), source)
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
