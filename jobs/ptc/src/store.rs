//! The store where there is no Redis: the few commands that the company needs, in memory and, if asked, in a journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::{Value, read_value};

#[derive(Default)]
struct Data {
    texts: BTreeMap<String, String>,
    lists: BTreeMap<String, Vec<String>>,
    /// Every command that changed something, one a line, words parted by tabs.
    journal: Option<File>,
}

/// Serves until it is killed.
pub fn serve(host: IpAddr, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((host, port))
        .map_err(|e| io::Error::new(e.kind(), format!("listening on port {port}: {e}")))?;
    println!("Ready to accept connections on port {port}");
    let data = Arc::new(Mutex::new(Data::open()?));
    for stream in listener.incoming() {
        let (stream, data) = (stream?, Arc::clone(&data));
        std::thread::spawn(move || {
            // A caller that hangs up is the normal end.
            let _ = converse(stream, &data);
        });
    }
    Ok(())
}

fn converse(stream: TcpStream, data: &Mutex<Data>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let Value::List(words) = read_value(&mut reader)? else {
            return Err(io::Error::other("a command is a list"));
        };
        let words: Vec<String> = words.iter().map(Value::text).collect();
        let answer = data.lock().unwrap_or_else(PoisonError::into_inner).take(&words);
        writer.write_all(answer.as_bytes())?;
    }
}

impl Data {
    /// Empty, or what the journal in `PTC_STORE_FILE` says.
    fn open() -> io::Result<Data> {
        let mut data = Data::default();
        if let Ok(path) = std::env::var("PTC_STORE_FILE") {
            let told = |e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
            let mut journal = File::options().read(true).append(true).create(true).open(&path).map_err(told)?;
            let mut text = String::new();
            journal.read_to_string(&mut text).map_err(told)?;
            for line in text.lines() {
                data.answer(&line.split('\t').map(str::to_owned).collect::<Vec<_>>());
            }
            println!("{} changes read from {path}", text.lines().count());
            data.journal = Some(journal);
        }
        Ok(data)
    }

    /// Answers a command, and writes it down first when it changes something.
    fn take(&mut self, words: &[String]) -> String {
        let changes =
            words.first().is_some_and(|w| ["SET", "DEL", "INCRBY", "RPUSH"].contains(&w.to_ascii_uppercase().as_str()));
        if let (true, Some(journal)) = (changes, &mut self.journal) {
            let line = words.iter().map(|w| w.replace(['\t', '\n'], " ")).collect::<Vec<_>>().join("\t");
            if let Err(error) = writeln!(journal, "{line}").and_then(|()| journal.sync_data()) {
                return format!("-ERR not written: {error}\r\n");
            }
        }
        self.answer(words)
    }

    fn answer(&mut self, words: &[String]) -> String {
        let command = words.first().map(|w| w.to_ascii_uppercase()).unwrap_or_default();
        match (command.as_str(), &words[words.len().min(1)..]) {
            ("PING", []) => "+PONG\r\n".to_owned(),
            ("SET", [key, value]) => {
                self.texts.insert(key.clone(), value.clone());
                "+OK\r\n".to_owned()
            }
            ("GET", [key]) => self.texts.get(key).map_or_else(|| "$-1\r\n".to_owned(), |v| bulk(v)),
            ("DEL", keys) => {
                let gone = keys.iter().filter(|k| self.texts.remove(*k).is_some() | self.lists.remove(*k).is_some());
                format!(":{}\r\n", gone.count())
            }
            ("INCRBY", [key, by]) => {
                let old = self.texts.get(key).map_or(Ok(0), |v| v.parse::<i64>());
                match (old, by.parse::<i64>()) {
                    (Ok(old), Ok(by)) => {
                        self.texts.insert(key.clone(), (old + by).to_string());
                        format!(":{}\r\n", old + by)
                    }
                    _ => "-ERR value is not an integer or out of range\r\n".to_owned(),
                }
            }
            ("RPUSH", [key, value]) => {
                let list = self.lists.entry(key.clone()).or_default();
                list.push(value.clone());
                format!(":{}\r\n", list.len())
            }
            ("LRANGE", [key, from, to]) => self.range(key, from, to),
            _ => format!("-ERR unknown command '{command}'\r\n"),
        }
    }

    fn range(&self, key: &str, from: &str, to: &str) -> String {
        let list = self.lists.get(key).map(Vec::as_slice).unwrap_or_default();
        let length = list.len() as i64;
        let place = |text: &str| text.parse::<i64>().map(|n| if n < 0 { (length + n).max(0) } else { n.min(length) });
        let (Ok(from), Ok(to)) = (place(from), place(to)) else {
            return "-ERR value is not an integer or out of range\r\n".to_owned();
        };
        let chosen: Vec<String> =
            list.iter().skip(from as usize).take((to + 1 - from).max(0) as usize).map(|v| bulk(v)).collect();
        format!("*{}\r\n{}", chosen.len(), chosen.concat())
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let mut data = Data::default();
        let mut ask = |line: &str| data.answer(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(ask("PING"), "+PONG\r\n");
        assert_eq!(ask("GET a"), "$-1\r\n");
        assert_eq!(ask("SET a 5"), "+OK\r\n");
        assert_eq!(ask("INCRBY a -7"), ":-2\r\n");
        assert_eq!(ask("GET a"), "$2\r\n-2\r\n");
        assert_eq!(ask("RPUSH l x"), ":1\r\n");
        assert_eq!(ask("RPUSH l y"), ":2\r\n");
        assert_eq!(ask("LRANGE l 0 -1"), "*2\r\n$1\r\nx\r\n$1\r\ny\r\n");
        assert_eq!(ask("LRANGE l -1 -1"), "*1\r\n$1\r\ny\r\n");
        assert_eq!(ask("DEL a l nothing"), ":2\r\n");
        assert_eq!(ask("FLY"), "-ERR unknown command 'FLY'\r\n");
    }
}
