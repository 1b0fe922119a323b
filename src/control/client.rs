//! Asks other processes of this user.

use std::{io, pin::pin, time::Duration};

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use super::{
    rpc,
    sockets::{ControlSocket, ControlStream, SocketConnection, SocketDirectories},
};
use crate::{
    error::{Fatal, io_message},
    system::process_state::is_suspended,
};

/// How long a process may take over one answer: one that works answers within milliseconds, on a machine that is busy
/// within tenths of a second; one that hangs never does, and a command that asks all of them waits for it.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// After this long without an answer it is looked whether the process is suspended, which is not waited for: with the look
/// itself it costs a command less than a second.
pub(super) const SUSPENDED_AFTER: Duration = Duration::from_millis(500);
/// Bytes of an answer: a list of some ten thousand forwards.
pub(super) const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Why a process gave no result.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// It answered with an error.
    Refused(rpc::RpcError),
    /// It did not answer.
    Silent(String),
    /// It is suspended, and answers once it is resumed.
    Suspended,
}

/// What every process answered.
pub struct CallResults<T> {
    /// Results, by process.
    pub results: Vec<(ControlSocket, T)>,
    /// What is missing from them, and why.
    pub problems: Vec<Fatal>,
    /// The processes that did not answer, each with why.
    pub unanswered: Vec<(ControlSocket, CallError)>,
}

/// Asks every process of this user the same, all at once. Those that are dead are no trouble.
pub async fn call_all<T: DeserializeOwned>(place: &SocketDirectories, method: &str) -> CallResults<T> {
    let (sockets, problems) = place.sockets();
    let mut answers = CallResults { results: Vec::new(), problems, unanswered: Vec::new() };
    let asked = sockets.into_iter().map(|socket| async move {
        let answer = call(&socket, &[(method, json!({}))]).await;
        (socket, answer)
    });
    for (socket, answer) in join_all(asked).await {
        let result = answer.and_then(|mut answer| match answer.pop() {
            None => Ok(None),
            Some(answer) => serde_json::from_value(answer?)
                .map(Some)
                .map_err(|error| CallError::Silent(error.to_string())),
        });
        match result {
            Ok(None) => {}
            Ok(Some(result)) => answers.results.push((socket, result)),
            Err(trouble) => {
                answers.problems.push(no_answer(&socket, &trouble));
                answers.unanswered.push((socket, trouble));
            }
        }
    }
    answers
}

/// Asks one process several things, one after the other. Answers are missing from where on it was dead, or ended; one
/// that says nothing is asked nothing more.
pub async fn call(
    socket: &ControlSocket,
    requests: &[(&str, Value)],
) -> Result<Vec<Result<Value, CallError>>, CallError> {
    let Some(mut stream) = connect(socket).await? else { return Ok(Vec::new()) };
    let mut answers = Vec::new();
    for (id, (method, params)) in (0..).zip(requests) {
        let request = rpc::request(id, method, params);
        match in_time(socket, exchange(&mut stream, &format!("{request}\n"))).await {
            Ok(Some(line)) => answers.push(read(&line)),
            // It has closed the connection: because it ends, which leaves no socket, or for a reason of its own.
            Ok(None) if connect(socket).await.is_ok_and(|stream| stream.is_none()) => break,
            Ok(None) => {
                answers.push(Err(CallError::Silent("it closed the connection".to_owned())));
                break;
            }
            Err(trouble) => {
                answers.push(Err(trouble));
                break;
            }
        }
    }
    Ok(answers)
}

/// None where the process is dead.
async fn connect(socket: &ControlSocket) -> Result<Option<ControlStream>, CallError> {
    Ok(match in_time(socket, socket.connect()).await? {
        SocketConnection::Stream(stream) => Some(stream),
        SocketConnection::Dead => None,
    })
}

/// Sends a line and receives one; none where the connection ended instead.
async fn exchange(stream: &mut ControlStream, request: &str) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let talk = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut line).await
    };
    match talk.await {
        Err(error) if !is_end(&error) => Err(error),
        Ok(1..) => Ok(Some(line)),
        Ok(0) | Err(_) => Ok(None),
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

async fn in_time<T>(
    socket: &ControlSocket,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, CallError> {
    let mut work = pin!(work);
    let done = |done: io::Result<T>| done.map_err(|error| CallError::Silent(io_message(&error)));
    for wait in [SUSPENDED_AFTER, CALL_TIMEOUT.saturating_sub(SUSPENDED_AFTER)] {
        if let Ok(over) = timeout(wait, &mut work).await {
            return done(over);
        }
        if is_suspended(socket.pid).await {
            return Err(CallError::Suspended);
        }
    }
    Err(CallError::Silent(format!("it did not answer for {} s", CALL_TIMEOUT.as_secs())))
}

/// What an answer says.
pub(super) fn read(line: &[u8]) -> Result<Value, CallError> {
    let mut answer: Value =
        serde_json::from_slice(line).map_err(|_| CallError::Silent("its answer is not valid".to_owned()))?;
    match answer.get_mut("error").map(Value::take) {
        Some(error) => Err(serde_json::from_value(error)
            .map_or_else(|error| CallError::Silent(error.to_string()), CallError::Refused)),
        None => Ok(answer["result"].take()),
    }
}

/// A process that is there and gives no answer.
pub fn no_answer(socket: &ControlSocket, trouble: &CallError) -> Fatal {
    let pid = socket.pid;
    let fatal = |what: &str| Fatal::new("fwd::control::no_answer", format!("process {pid} {what}"));
    match trouble {
        CallError::Suspended => fatal("is suspended, so its forwards do not work")
            .help(format!("resume it: kill -CONT {pid}, or 'fg' in its terminal")),
        CallError::Silent(why) => {
            fatal("does not answer").because(why).help(format!("if it hangs, end it: kill {pid}"))
        }
        CallError::Refused(error) => fatal("does not answer").because(&error.message),
    }
}
