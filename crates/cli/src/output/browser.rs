//! The pages that show the same as a command: named in a hint, and opened where `-ui` asks for it.

use std::process::{Command, Stdio};

use super::hint;

/// Hints at the page, and opens it in a browser where `open` says so. A browser that can't be started is told of, and is no failure:
/// the hint has the address.
pub fn page(open: bool, text: &str, address: &str, path: &str) {
    hint(text, address, path);
    if open {
        show(&format!("{address}{path}"));
    }
}

/// Opens an address in a browser, or says why there is none.
pub fn show(url: &str) {
    println!("\nOpening {url} in the browser");
    if let Err(why) = start(url, &programs()) {
        super::error(&format!("Error opening the browser: {why}"));
    }
}

/// What may open an address, the most wanted first: `BROWSER` as other programs read it, then what desktops have.
fn programs() -> Vec<String> {
    let own = std::env::var("BROWSER").unwrap_or_default();
    let own = own.split(':').filter(|name| !name.is_empty()).map(str::to_owned);
    own.chain(["xdg-open", "open"].map(str::to_owned)).collect()
}

fn start(url: &str, programs: &[String]) -> Result<(), String> {
    if url.starts_with("unix:") {
        return Err("no browser opens a unix socket".to_owned());
    }
    for program in programs {
        let mut command = Command::new(program);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Some of them end when they have told a browser that runs, others are the browser: nobody waits.
        if command.spawn().is_ok() {
            return Ok(());
        }
    }
    Err(format!("none of {} can be started", programs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_that_there_is_gets_the_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told");
        let script = folder.path().join("browser");
        // Moved into place whole, so that whoever sees the file sees all of it.
        let text = format!("#!/bin/sh\nprintf %s \"$1\" > {0}.new && mv {0}.new {0}\n", told.display());
        std::fs::write(&script, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).expect("a program");
        let programs = ["/no/such/program".to_owned(), script.display().to_string()];
        start("http://host:1/ui/jobs", &programs).expect("the second one starts");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !told.exists() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read_to_string(&told).expect("the browser was told"), "http://host:1/ui/jobs");
        assert!(start("http://host:1", &programs[..1]).is_err_and(|why| why.contains("/no/such/program")));
        assert!(start("unix:///a", &programs).is_err());
    }
}
