//! As much of HTTP as the load speaks, with every byte of it looked at.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::pattern::{CHUNK, pattern};
use super::tally::Flaw;

/// The longest head of an answer.
const HEAD: usize = 4096;

/// What is said before the body.
pub(super) struct Head {
    pub(super) length: u64,
    id: Option<u64>,
}

/// The head of an answer, which has to be the one to this request.
pub(super) async fn head(stream: &mut (impl AsyncRead + Unpin), id: u64) -> Result<Head, Flaw> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if text.len() < HEAD => text.push(byte),
            Ok(_) => return Err(Flaw::Wrong("a head without end".to_owned())),
            Err(error) => {
                return Err(Flaw::Broke(format!("{error}, after {} bytes of the head", text.len())));
            }
        }
    }
    let text = String::from_utf8_lossy(&text);
    let head = parse(&text).filter(|head| head.id == Some(id));
    head.ok_or_else(|| Flaw::Wrong(format!("no answer to request {id}: {text:?}")))
}

fn parse(text: &str) -> Option<Head> {
    let mut lines = text.lines();
    if lines.next()? != "HTTP/1.1 200 OK" {
        return None;
    }
    let (mut length, mut id) = (None, None);
    for line in lines {
        match line.split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().ok(),
            Some(("Request-Id", value)) => id = value.parse().ok(),
            _ => {}
        }
    }
    Some(Head { length: length?, id })
}

/// A short body.
pub(super) async fn text(stream: &mut (impl AsyncRead + Unpin), length: u64) -> Result<String, Flaw> {
    if length > HEAD as u64 {
        return Err(Flaw::Wrong(format!("{length} bytes where a few had to come")));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
}

/// Reads the pattern from one offset to another; `read` is told of what has come.
pub(super) async fn check(
    stream: &mut (impl AsyncRead + Unpin),
    salt: u64,
    from: u64,
    to: u64,
    read: impl Fn(usize),
) -> Result<(), Flaw> {
    let mut buffer = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        let room = CHUNK.min(usize::try_from(to - at).unwrap_or(CHUNK));
        let got = stream.read(&mut buffer[..room]).await;
        let got = got.map_err(|error| Flaw::Broke(format!("{error}, after {at} bytes")))?;
        if got == 0 {
            return Err(Flaw::Broke(format!("it ended after {at} of {to} bytes")));
        }
        if buffer[..got] != *pattern(salt, at, got) {
            return Err(Flaw::Wrong(format!("other bytes than sent, within {got} from {at} on")));
        }
        at += got as u64;
        read(got);
    }
    Ok(())
}

/// Writes so many bytes of the pattern.
pub(super) async fn put(stream: &mut (impl AsyncWrite + Unpin), salt: u64, length: u64) -> Result<(), Flaw> {
    let mut at = 0;
    while at < length {
        let piece = CHUNK.min(usize::try_from(length - at).unwrap_or(CHUNK));
        stream.write_all(pattern(salt, at, piece)).await?;
        at += piece as u64;
    }
    Ok(())
}
