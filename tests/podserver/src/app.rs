//! The applications of a pod, by port number.
//!
//! | port | what it does |
//! |---|---|
//! | 9000, 5432 | raw echo |
//! | 9001 | answers at EOF: how many bytes came, and their SHA-256 |
//! | 9002 | says `hello` and half-closes, then reads to EOF |
//! | 9003 | accepts and resets |
//! | 9004 | accepts and never reads |
//! | 9005 | answers each line with itself; after `quit` it resets, as one that closes with something unread |
//! | 9006, 9016 | sends 100 bytes in ten pieces and closes, and logs what it saw |
//! | 9007, 9017 | the same, once it has read a request of three bytes |
//! | others | HTTP, see `http.rs` |

use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::container::Life;
use super::http;
use super::log::Log;
use super::passing;
use super::socket::Socket;
use super::stats::Counts;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// How long 9003 waits for a first byte before it resets without one.
const RESET_AFTER: Duration = Duration::from_millis(20);

/// What 9006 and 9007 send: so many pieces of so many bytes, with a pause between them so that they stay pieces on the way.
const PIECES: usize = 10;
const PIECE: [u8; 10] = [b'x'; 10];
const BETWEEN: Duration = Duration::from_millis(10);

/// The bytes of a request to 9007.
const REQUEST: usize = 3;

/// An application on one port of one pod.
#[derive(Clone)]
pub(super) struct App {
    pub(super) pod: Arc<str>,
    pub(super) port: u16,
    pub(super) counts: Arc<Counts>,
    pub(super) log: Arc<Log>,
    /// The process that the port is passed on to, in place of what is built in.
    pub(super) process: Option<SocketAddr>,
}

/// Serves one connection to its end. How the client ends it is none of the application's concern.
pub(super) async fn serve(app: App, socket: Socket, life: &Life) {
    if let Some(process) = app.process {
        return passing::serve(socket, process).await;
    }
    let _ = match app.port {
        9000 | 5432 => echo(socket).await,
        9001 => digest_at_eof(socket).await,
        9002 => hello(socket).await,
        9003 => {
            // A byte of ours is on its way when the reset goes out, as in the recorded transcript: the runtime's write
            // succeeds and only its read fails.
            let _ = tokio::time::timeout(RESET_AFTER, socket.readable()).await;
            socket.reset();
            Ok(())
        }
        9004 => future::pending().await,
        9005 => lines(socket).await,
        9006 | 9016 => pieces(&app, socket).await,
        9007 | 9017 => pieces_on_request(&app, socket).await,
        _ => {
            http::serve(app, socket, life).await;
            Ok(())
        }
    };
}

async fn echo(mut socket: Socket) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            return socket.shutdown().await;
        }
        socket.write_all(&buffer[..read]).await?;
    }
}

async fn digest_at_eof(mut socket: Socket) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut sum = digest::Context::new(&digest::SHA256);
    let mut length = 0;
    loop {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        length += read;
        sum.update(&buffer[..read]);
    }
    socket.write_all(format!("{length} {}\n", hex(sum.finish().as_ref())).as_bytes()).await?;
    socket.shutdown().await
}

async fn hello(mut socket: Socket) -> std::io::Result<()> {
    socket.write_all(b"hello\n").await?;
    socket.shutdown().await?;
    let mut buffer = vec![0; CHUNK];
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn lines(mut socket: Socket) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.push(socket.read_u8().await?);
        if line == b"quit\n" {
            socket.reset();
            return Ok(());
        }
        if line.ends_with(b"\n") {
            socket.write_all(&line).await?;
            line.clear();
        }
    }
}

async fn pieces(app: &App, mut socket: Socket) -> std::io::Result<()> {
    app.log.say(format!("{}: a client connected", app.port));
    send_pieces(app, &mut socket).await
}

async fn pieces_on_request(app: &App, mut socket: Socket) -> std::io::Result<()> {
    app.log.say(format!("{}: a client connected", app.port));
    let mut request = Vec::new();
    (&mut socket).take(REQUEST as u64).read_to_end(&mut request).await?;
    app.log.say(format!("{}: read {} of {REQUEST} bytes", app.port, request.len()));
    if request.len() == REQUEST { send_pieces(app, &mut socket).await } else { Ok(()) }
}

async fn send_pieces(app: &App, socket: &mut Socket) -> std::io::Result<()> {
    for _ in 0..PIECES {
        socket.write_all(&PIECE).await?;
        tokio::time::sleep(BETWEEN).await;
    }
    socket.shutdown().await?;
    app.log.say(format!("{}: sent everything", app.port));
    Ok(())
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
