//! Scenarios that people wrote come true.

use std::fs;
use std::path::Path;

#[test]
fn scenarios_come_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<_> = fs::read_dir(folder).expect("a readable folder").flatten().map(|e| e.path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{paths:?}");
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("readable");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match tarpan_sim::play(&text) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(report) if report.failure.is_some() => wrong.push(format!("{name}: {report}")),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
