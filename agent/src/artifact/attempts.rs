//! What a process that strangers' bytes have taken over might try: for tests, behind the walls that are built for it.

use std::io::Write;

/// The outcome of each, a line each: `ok`, or the error.
pub(super) fn all(attempts: &[Vec<String>]) -> String {
    let outcomes: Vec<String> = attempts.iter().map(|words| one(words)).collect();
    outcomes.join("\n")
}

fn one(words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["read", path] => std::fs::File::open(path).map(drop),
        ["env", name] => std::env::var_os(name).map(drop).ok_or(std::io::ErrorKind::NotFound.into()),
        ["list", path] => std::fs::read_dir(path).map(drop),
        ["write", path] => std::fs::write(path, "x"),
        ["append", path] => std::fs::File::options().append(true).open(path).and_then(|mut f| f.write_all(b"x")),
        ["make", path] => std::fs::create_dir(path),
        ["link", from, to] => std::fs::hard_link(from, to),
        ["connect", path] => std::os::unix::net::UnixStream::connect(path).map(drop),
        ["listen"] => std::net::TcpListener::bind("127.0.0.1:0").map(drop),
        ["run", program, ref args @ ..] => {
            let status = std::process::Command::new(program).args(args).stdout(std::process::Stdio::null()).status();
            status.and_then(|ended| if ended.success() { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) })
        }
        // SAFETY: signal 0 only asks.
        ["signal", pid] => result(unsafe { libc::kill(pid.parse().expect("a number"), 0) }),
        ["raw-socket"] => {
            // SAFETY: gives a descriptor or an error.
            result(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) })
        }
        // SAFETY: gives an error, or a namespace that ends with this process.
        ["unshare"] => result(unsafe { libc::unshare(libc::CLONE_NEWUSER) }),
        // SAFETY: gives an error, or takes rights.
        ["root"] => result(unsafe { libc::setresuid(0, 0, 0) }),
        ["large", size] => {
            let size: u64 = size.parse().expect("a number");
            std::fs::File::create("large").and_then(|file| file.set_len(size))
        }
        _ => panic!("{words:?} is nothing to try"),
    };
    done.map_or_else(|error| error.kind().to_string(), |()| "ok".to_owned())
}

fn result(code: i32) -> std::io::Result<()> {
    if code < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
