//! A web server of one folder, for artifacts.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result};

/// Serves `folder` on a free port of loopback until the test's process ends.
pub fn serve(folder: &Path) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("binding a port for artifacts")?;
    let addr = listener.local_addr()?;
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, &folder));
        }
    });
    Ok(addr)
}

fn answer(stream: TcpStream, folder: &Path) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let name = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let stream = reader.get_mut();
    match File::open(folder.join(name)) {
        Ok(mut file) if !name.contains("..") => {
            let length = file.metadata()?.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
            if !first.starts_with("HEAD") {
                io::copy(&mut file, stream)?;
            }
            Ok(())
        }
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}
