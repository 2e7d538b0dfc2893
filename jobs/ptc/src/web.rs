//! The company's page: what the store holds, as HTML at `/` and as JSON at `/status`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::client::{Client, Value};

/// Serves until it is killed.
pub fn serve(host: IpAddr, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((host, port))
        .map_err(|e| io::Error::new(e.kind(), format!("listening on port {port}: {e}")))?;
    println!("the page is on port {port}");
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("ptc: {error}");
            }
        });
    }
    Ok(())
}

struct Figures {
    budget: String,
    earned: String,
    tasks: Vec<String>,
}

fn figures() -> io::Result<Figures> {
    let mut store = Client::from_env()?;
    let budget = store.call(&["GET", "budget"])?.text();
    let earned = store.call(&["GET", "earned"])?.text();
    let tasks = match store.call(&["LRANGE", "tasks", "-20", "-1"])? {
        Value::List(items) => items.iter().map(Value::text).collect(),
        _ => Vec::new(),
    };
    Ok(Figures { budget, earned, tasks })
}

fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("/");
    let (status, kind, body) = match (path, figures()) {
        ("/status", Ok(f)) => ("200 OK", "application/json", json(&f)),
        ("/", Ok(f)) => ("200 OK", "text/html; charset=utf-8", page(&f)),
        ("/" | "/status", Err(e)) => ("503 Service Unavailable", "text/plain; charset=utf-8", format!("{e}\n")),
        _ => ("404 Not Found", "text/plain; charset=utf-8", "no such page\n".to_owned()),
    };
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn json(f: &Figures) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let tasks: Vec<String> = f.tasks.iter().map(|t| quoted(t)).collect();
    format!("{{\"budget\":{},\"earned\":{},\"tasks\":[{}]}}\n", quoted(&f.budget), quoted(&f.earned), tasks.join(","))
}

fn page(f: &Figures) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let rows: String = f.tasks.iter().rev().map(|t| format!("<li>{}</li>", escaped(t))).collect();
    let shown = |text: &str| if text.is_empty() { "none yet".to_owned() } else { escaped(text) };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=3><title>Pytechco</title>\
         <h1>Pytechco</h1><p>Budget: <b>{}</b> · earned: <b>{}</b></p><h2>Latest tasks</h2><ol>{rows}</ol></html>\n",
        shown(&f.budget),
        shown(&f.earned)
    )
}
