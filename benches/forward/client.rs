//! The load: plain blocking sockets, which cost least beside what is measured. Nothing waits for ever.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::outcome::is_timeout;

/// How long one read or write may wait, unless said otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes read or written at once.
const CHUNK: usize = 256 * 1024;

/// An answer's head is shorter.
const HEAD: usize = 4096;

pub(super) const MIB: u64 = 1024 * 1024;

/// The length of a download that is not to end: no buffers on its way hold as much.
pub(super) const ENDLESS: u64 = 16 * 1024 * MIB;

fn connect(port: u16, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, request: &str, headers: &str) -> io::Result<()> {
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
}

/// Reads an answer's head: the length of its body, and what came of it with the head.
fn head(stream: &mut impl Read) -> io::Result<(u64, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(HEAD);
    let mut buffer = [0; HEAD];
    loop {
        let read = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            return match length {
                Some(length) if head.starts_with("http/1.1 200") => Ok((length, body)),
                _ => Err(io::Error::other(head)),
            };
        }
        if read == 0 || bytes.len() > HEAD {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads a short answer whole. Its end is its length: that of the connection comes a second later, which is how long a
/// container runtime waits once an application has closed (PROTOCOL §3.4).
fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (length, mut body) = head(stream)?;
    let got = body.len();
    body.resize(length.min(MIB) as usize, 0);
    stream.read_exact(&mut body[got..])?;
    Ok(body)
}

/// One request on a connection of its own, and how long its answer took.
pub(super) fn first_answer(port: u16, patience: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut stream = connect(port, patience)?;
    ask(&mut stream, "GET /", "")?;
    answer(&mut stream)?;
    Ok(begun.elapsed())
}

/// The name of the pod that answers.
pub(super) fn pod(port: u16) -> io::Result<String> {
    let mut stream = connect(port, PATIENCE)?;
    ask(&mut stream, "GET /", "")?;
    Ok(String::from_utf8_lossy(&answer(&mut stream)?).trim().to_owned())
}

/// A connection that had an answer and stays open.
pub(super) fn open(port: u16) -> io::Result<TcpStream> {
    let mut stream = connect(port, PATIENCE)?;
    ask(&mut stream, "GET /", "")?;
    answer(&mut stream)?;
    Ok(stream)
}

/// Downloads so many bytes.
pub(super) fn download(port: u16, length: u64) -> io::Result<()> {
    read_download(&mut ask_download(port, length)?, length)
}

/// Asks for so many bytes, of which nothing is read.
pub(super) fn ask_download(port: u16, length: u64) -> io::Result<TcpStream> {
    let mut stream = connect(port, PATIENCE)?;
    ask(&mut stream, &format!("GET /bytes?n={length}"), "")?;
    Ok(stream)
}

/// Reads the head of what was asked for, and at least so many bytes of the rest.
pub(super) fn read_download(stream: &mut impl Read, length: u64) -> io::Result<()> {
    let mut got = head(stream)?.1.len() as u64;
    let mut buffer = vec![0; CHUNK];
    while got < length {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => got += read as u64,
        }
    }
    Ok(())
}

/// Uploads so many bytes; ends when the application has told how many it got.
pub(super) fn upload(port: u16, length: u64) -> io::Result<()> {
    let mut stream = connect(port, PATIENCE)?;
    ask(&mut stream, "POST /sink?sum=no", &format!("Content-Length: {length}\r\n"))?;
    let buffer = vec![7; CHUNK];
    let mut left = length;
    while left > 0 {
        left -= stream.write(&buffer[..left.min(CHUNK as u64) as usize])? as u64;
    }
    let got = String::from_utf8_lossy(&answer(&mut stream)?).trim().to_owned();
    if got == length.to_string() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{got} of {length} arrived")))
    }
}

/// Begins a download that would go on for long, and stops to read it.
pub(super) fn stall_download(port: u16) -> io::Result<TcpStream> {
    let mut stream = ask_download(port, ENDLESS)?;
    head(&mut stream)?;
    Ok(stream)
}

/// Writes to an application that never reads, until nothing more is taken.
pub(super) fn stall_upload(port: u16) -> io::Result<TcpStream> {
    let mut stream = connect(port, Duration::from_millis(500))?;
    let buffer = vec![7; CHUNK];
    for _ in 0..4096 {
        match stream.write(&buffer) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Ok(stream),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("an application that never reads took a gibibyte"))
}

/// Runs something on so many threads, and gathers what they give.
pub(super) fn at_once<T: Send>(threads: usize, run: impl Fn() -> Vec<T> + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(&run)).collect();
        // One that panicked has said why, and is as good as one that got nothing.
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}
