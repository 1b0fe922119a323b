//! What every test needs: a cluster, a forward, and clients that say what they waited for.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use sandbox::forward::Forward;
use sandbox::load;
use sandbox::node::Stats;
use sandbox::{Options, Sandbox};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Test = Result<(), Failure>;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"))
}

pub(crate) async fn cluster() -> Result<Sandbox, Failure> {
    Ok(Sandbox::start(Options::default()).await?)
}

/// Starts a forward as the administrator.
pub(crate) fn fwd(sandbox: &Sandbox, line: &str) -> io::Result<Forward> {
    fwd_as(sandbox, "admin", line)
}

/// Starts a forward as one of the users.
pub(crate) fn fwd_as(sandbox: &Sandbox, user: &str, line: &str) -> io::Result<Forward> {
    let args: Vec<_> = line.split_whitespace().collect();
    Forward::start(program(), &sandbox.kubeconfig(user), &args)
}

/// Starts a forward as the administrator, and gives its local port once it works.
pub(crate) async fn working(sandbox: &Sandbox, line: &str) -> Result<(Forward, u16), Failure> {
    let mut forward = fwd(sandbox, line)?;
    let port = forward.port().await?;
    Ok((forward, port))
}

/// Waits for `what`, but not for ever.
pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(PATIENCE, step).await.map_err(|_| format!("waited in vain for {what}").into())
}

pub(crate) async fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection of its own; the name of the pod that answered.
pub(crate) async fn ask(port: u16) -> Result<String, Failure> {
    within("an answer", load::get(port, "/")).await?
}

/// Sends a request without waiting for the answer.
pub(crate) async fn send(port: u16, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(port).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// The body of the answer that comes.
pub(crate) async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Failure> {
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
pub(crate) async fn post<S: AsyncRead + AsyncWrite + Unpin>(
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
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    within("the end of the stream", stream.read_to_end(&mut bytes)).await??;
    Ok(bytes)
}

/// A new connection ends with a reset, which may come as soon as it is accepted.
pub(crate) async fn expect_refusal(port: u16) -> Test {
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
pub(crate) async fn expect_reset(stream: &mut TcpStream) -> Test {
    let mut byte = [0];
    let read = within("a reset", stream.read(&mut byte)).await?;
    let error = read.err().ok_or("there was an end, or a byte, and no reset")?;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    Ok(())
}

/// The one ready pod of an app in the default namespace that serves, or the first of several.
pub(crate) fn a_pod(sandbox: &Sandbox, app: &str) -> Result<String, Failure> {
    let pods = sandbox.ready_pods("default", &format!("app={app}"))?;
    pods.into_iter().next().ok_or_else(|| format!("no pod of {app} is ready").into())
}

pub(crate) fn uid(sandbox: &Sandbox, pod: &str) -> Result<String, Failure> {
    let pod = sandbox.get("pod", "default", pod).ok_or("no such pod")?;
    Ok(pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a pod's application on `port` has seen `enough`.
pub(crate) async fn seen(
    sandbox: &Sandbox,
    pod: &str,
    port: u16,
    enough: impl Fn(&Stats) -> bool,
) -> Result<Stats, Failure> {
    let uid = uid(sandbox, pod)?;
    let stats = within("what the application sees", sandbox.node().wait_for(&uid, port, enough)).await?;
    stats.ok_or_else(|| format!("{pod} has no port {port}").into())
}
