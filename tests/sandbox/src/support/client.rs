//! Clients of an application behind a local port, for tests: each says what it waited for in vain.

use std::error::Error;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::load;

/// Why a test fails.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What a test comes to.
pub type Test = Result<(), Failure>;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// Waits for `what`, but not for ever.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(PATIENCE, step).await.map_err(|_| format!("waited in vain for {what}").into())
}

/// A connection to a local port.
pub async fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection of its own; the name of the pod that answered.
pub async fn ask(port: u16) -> Result<String, Failure> {
    within("an answer", load::get(port, "/")).await?
}

/// Sends a request without waiting for the answer.
pub async fn send(port: u16, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(port).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// The body of the answer that comes.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Failure> {
    within("the answer", async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head)?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.ok_or_else(|| format!("no length in {head}"))?.parse()?];
        stream.read_exact(&mut body).await?;
        Ok(body)
    })
    .await?
}

/// One request with a body, and the body of the answer.
pub async fn post<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    path: &str,
    body: &[u8],
) -> Result<Vec<u8>, Failure> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    within("the upload", async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await
    })
    .await??;
    answer(stream).await
}

/// All that still comes, up to a clean end.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    within("the end of the stream", stream.read_to_end(&mut bytes)).await??;
    Ok(bytes)
}

/// A new connection ends with a reset, which may come as soon as it is accepted.
pub async fn expect_refusal(port: u16) -> Test {
    let begin = async {
        let mut stream = connect(port).await?;
        stream.write_all(b"hello?").await?;
        Ok::<_, io::Error>(stream)
    };
    match within("a connection", begin).await? {
        Ok(mut stream) => expect_reset(&mut stream).await,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            Ok(())
        }
    }
}

/// The connection ends with a reset, not with a clean end that looks like a whole answer.
pub async fn expect_reset(stream: &mut TcpStream) -> Test {
    let mut byte = [0];
    let read = within("a reset", stream.read(&mut byte)).await?;
    let error = read.err().ok_or("there was an end, or a byte, and no reset")?;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    Ok(())
}

/// Resolves when the port refuses.
pub async fn refused(port: u16) -> Test {
    within("new connections to be refused", async {
        while connect(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
}
