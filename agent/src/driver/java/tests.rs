//! With the Java of this machine. Needs root, control groups and a JRE.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::driver::exec::tests::Place as Room;

/// Without Java, or without walls, there is nothing to try.
async fn there() -> bool {
    let java = Java::new(PluginConfig::default(), Vec::new());
    match java.fingerprint().await {
        info if info.healthy => true,
        info if std::env::var_os("CI").is_some() => panic!("{}", info.health_description),
        info => {
            eprintln!("skipped: {}", info.health_description);
            false
        }
    }
}

/// Two-byte and four-byte numbers as a class file has them.
fn u2(n: usize) -> [u8; 2] {
    u16::try_from(n).expect("small").to_be_bytes()
}

/// A class `Hello` whose `main` prints its first argument and the property `said`, assembled by hand: no compiler is needed.
/// Source of the format: The Java Virtual Machine Specification, chapter 4.
fn class() -> Vec<u8> {
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let mut add = |entry: Vec<u8>| {
        pool.push(entry);
        pool.len()
    };
    let text = |t: &str| [&[1][..], &u2(t.len()), t.as_bytes()].concat();
    let one = |tag: u8, a: usize| [&[tag][..], &u2(a)].concat();
    let two = |tag: u8, a: usize, b: usize| [&[tag][..], &u2(a), &u2(b)].concat();
    let mut names = BTreeMap::new();
    for name in [
        "Hello",
        "java/lang/Object",
        "java/lang/System",
        "java/io/PrintStream",
        "out",
        "Ljava/io/PrintStream;",
        "println",
        "(Ljava/lang/String;)V",
        "getProperty",
        "(Ljava/lang/String;)Ljava/lang/String;",
        "main",
        "([Ljava/lang/String;)V",
        "Code",
        "said",
    ] {
        names.insert(name, add(text(name)));
    }
    let [this, object, system, stream] =
        ["Hello", "java/lang/Object", "java/lang/System", "java/io/PrintStream"].map(|n| add(one(7, names[n])));
    let said = add(one(8, names["said"]));
    let of_out = add(two(12, names["out"], names["Ljava/io/PrintStream;"]));
    let of_println = add(two(12, names["println"], names["(Ljava/lang/String;)V"]));
    let of_property = add(two(12, names["getProperty"], names["(Ljava/lang/String;)Ljava/lang/String;"]));
    let out = add(two(9, system, of_out));
    let println = add(two(10, stream, of_println));
    let property = add(two(10, system, of_property));
    // System.out.println(args[0]); System.out.println(System.getProperty("said")); return
    let code = [
        &[0xb2][..],
        &u2(out),
        &[0x2a, 0x03, 0x32, 0xb6],
        &u2(println),
        &[0xb2],
        &u2(out),
        &[0x12, u8::try_from(said).expect("small"), 0xb8],
        &u2(property),
        &[0xb6],
        &u2(println),
        &[0xb1],
    ]
    .concat();
    let attribute = [&u2(3)[..], &u2(1), &u2(0), &u2(code.len()), &code, &u2(0), &u2(0)].concat();
    [
        &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 49][..],
        &u2(pool.len() + 1),
        &pool.concat(),
        &u2(0x21),
        &u2(this),
        &u2(object),
        &u2(0),
        &u2(0),
        &u2(1),
        &u2(9),
        &u2(names["main"]),
        &u2(names["([Ljava/lang/String;)V"]),
        &u2(1),
        &u2(names["Code"]),
        &u2(0),
        &u2(attribute.len()),
        &attribute,
        &u2(0),
    ]
    .concat()
}

/// A jar is an archive that says which class to begin with.
fn jar() -> Vec<u8> {
    use std::io::Write;
    let mut jar = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in
        [("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\nMain-Class: Hello\n".to_vec()), ("Hello.class", class())]
    {
        jar.start_file(name, options).expect("begun");
        jar.write_all(&bytes).expect("written");
    }
    jar.finish().expect("finished").into_inner()
}

#[tokio::test]
async fn jars_and_classes_run_behind_walls() {
    if !there().await {
        return;
    }
    for config in [
        json!({"jar_path": "local/hello.jar", "args": ["first"], "jvm_options": ["-Dsaid=by-option", "-Xmx64m"]}),
        json!({"class": "Hello", "class_path": "/local", "args": ["first"], "jvm_options": ["-Dsaid=by-option"]}),
    ] {
        let mut room = Room::new(config.clone());
        room.request.resources.memory_mb = 300;
        let local = room.request.dirs.local.clone();
        std::fs::write(local.join("hello.jar"), jar()).expect("written");
        std::fs::write(local.join("Hello.class"), class()).expect("written");
        let java = Java::new(PluginConfig::default(), crate::driver::chroot(&BTreeMap::new()));
        let handle = java.start(room.request.clone(), Arc::new(|_| {})).await.expect("starts");
        let exit = handle.wait().await;
        let said = format!("{}{}", room.log("stdout"), room.log("stderr"));
        handle.destroy().await;
        assert!(exit.success() && said.contains("first\nby-option\n"), "{config}: {exit:?} {said}");
    }
    let java = Java::new(PluginConfig::default(), Vec::new());
    let refused = java.start(Room::new(json!({"args": []})).request, Arc::new(|_| {})).await.err().expect("refused");
    assert!(refused.to_string().contains("jar_path or class must be specified"), "{refused}");
}

#[tokio::test]
async fn its_version_is_on_the_node() {
    if !there().await {
        return;
    }
    let info = Java::new(PluginConfig::default(), Vec::new()).fingerprint().await;
    for key in ["driver.java", "driver.java.version", "driver.java.runtime", "driver.java.vm"] {
        assert!(info.attributes.get(key).is_some_and(|value| !value.is_empty()), "{key}: {info:?}");
    }
}

#[test]
fn versions() {
    let of = |text: &str| Version::parse(text).map(|v| [v.version, v.runtime, v.vm].join("|"));
    let new = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"17.0.9\" 2023-10-17\nOpenJDK Runtime Environment (build 17)\nOpenJDK 64-Bit Server VM (build 17)\n";
    assert_eq!(
        of(new).as_deref(),
        Some("17.0.9|OpenJDK Runtime Environment (build 17)|OpenJDK 64-Bit Server VM (build 17)")
    );
    assert_eq!(of("java version \"1.8.0_36\"\n").as_deref(), Some("1.8.0_36||"));
    assert_eq!(of("something else"), None);
}

#[test]
fn arguments_are_in_javas_order() {
    let of = |config: Value| {
        let Value::Object(config) = config else { panic!("an object") };
        let config: Config = crate::driver::decode(&config.into_iter().collect()).expect("a config");
        config.arguments().expect("fine").join(" ")
    };
    let both = json!({"jar_path": "a.jar", "class_path": "x:y", "jvm_options": ["-Xmx1m"], "args": ["1", "2"]});
    assert_eq!(of(both), "-Xmx1m -cp x:y -jar a.jar 1 2");
    assert_eq!(of(json!({"class": "C", "args": ["1"]})), "C 1");
}
