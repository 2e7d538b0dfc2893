//! A Redis client of one connection: commands out, values back.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// What Redis answers, as far as this demo asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Text(String),
    Number(i64),
    List(Vec<Value>),
}

impl Value {
    pub fn text(&self) -> String {
        match self {
            Value::Nil => String::new(),
            Value::Text(text) => text.clone(),
            Value::Number(n) => n.to_string(),
            Value::List(items) => items.iter().map(Value::text).collect::<Vec<_>>().join(", "),
        }
    }
}

pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `REDIS_HOST:REDIS_PORT`; waits at most five seconds for the connection and for each answer.
    pub fn from_env() -> io::Result<Client> {
        let host = std::env::var("REDIS_HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
        let port = std::env::var("REDIS_PORT").unwrap_or_else(|_| "6379".to_owned());
        let told = |e: io::Error| io::Error::new(e.kind(), format!("store at {host}:{port}: {e}"));
        let addr = format!("{host}:{port}").to_socket_addrs().map_err(told)?.next();
        let addr = addr.ok_or_else(|| io::Error::other(format!("store at {host}:{port}: no address")))?;
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).map_err(told)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Client { reader: BufReader::new(stream) })
    }

    pub fn call(&mut self, words: &[&str]) -> io::Result<Value> {
        let mut out = format!("*{}\r\n", words.len());
        for word in words {
            out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.reader.get_mut().write_all(out.as_bytes())?;
        read_value(&mut self.reader)
    }
}

/// Reads one value of the protocol; an error of the store is an `Err`.
pub fn read_value(reader: &mut impl BufRead) -> io::Result<Value> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let (Some(kind), rest) = (line.chars().next(), line.get(1..).unwrap_or_default()) else {
        return Err(io::Error::other("empty answer"));
    };
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    match kind {
        '+' => Ok(Value::Text(rest.to_owned())),
        '-' => Err(io::Error::other(rest.to_owned())),
        ':' => Ok(Value::Number(number()?)),
        '$' => match usize::try_from(number()?) {
            Err(_) => Ok(Value::Nil),
            Ok(length) if length > 1 << 20 => Err(io::Error::other("value too large")),
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                reader.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
        },
        '*' => (0..number()?.clamp(0, 1 << 16)).map(|_| read_value(reader)).collect::<io::Result<_>>().map(Value::List),
        other => Err(io::Error::other(format!("unknown answer {other:?}"))),
    }
}
