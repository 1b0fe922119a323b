//! Connections that fail because a test wants them to (see [`PairFault`]), in the order in which the runtime fails them
//! (PROTOCOL §3.4).

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair::Pair;
use super::stream::Stream;
use super::transport::BufList;
use crate::faults::PairFault;
use crate::node::PodSandbox;

/// What is read of an answer at a time.
const CHUNK: usize = 32 * 1024;

/// Runs a complete pair to the end that `pair-fault` has for it.
pub(super) async fn run(pair: &Pair, port: u16, sandbox: &Arc<PodSandbox>, pair_fault: PairFault) {
    match pair_fault {
        PairFault::Text { text, after } => {
            swallow(&pair.data, after).await;
            // A refusal is told once the data stream is finished, all else before: refused-then-good and pod-deleted in
            // `tests/data/wire`.
            if text.contains("failed to connect to ") {
                let _ = pair.data.finish().await;
            }
            fail(pair, text).await;
        }
        PairFault::Cut { text, after } => {
            ask(pair, port, sandbox, after).await;
            let _ = pair.data.finish().await;
            if text.is_empty() {
                pair.data.stop_reading().await;
                let _ = pair.error.finish().await;
            } else {
                fail(pair, text).await;
            }
        }
        PairFault::CutSilently { after } => {
            ask(pair, port, sandbox, after).await;
            fail(pair, String::new()).await;
        }
        // Met before there was a pair, or with the session.
        PairFault::RefuseError
        | PairFault::RefuseData
        | PairFault::Incomplete
        | PairFault::LoseAtSyn
        | PairFault::LoseAtData { .. } => {}
    }
}

/// Takes so many bytes of the client's.
pub(super) async fn swallow(data: &Stream, count: usize) {
    let mut taken = 0;
    while taken < count
        && let Some(payload) = data.read().await
    {
        taken += payload.iter().map(Bytes::len).sum::<usize>();
    }
}

async fn fail(pair: &Pair, text: String) {
    pair.data.stop_reading().await;
    if !text.is_empty() {
        let _ = pair.error.write(Bytes::from(text)).await;
    }
    pair.data.reset().await;
    pair.error.reset().await;
}

/// Passes on the client's bytes until the application answers, and the first `count` bytes of what it says.
async fn ask(pair: &Pair, port: u16, sandbox: &Arc<PodSandbox>, count: usize) {
    let Ok(mut application) = sandbox.dial(port).await else { return };
    let (mut from, mut to) = application.split();
    let mut answer = vec![0; CHUNK];
    let answered = async {
        let mut passed = 0;
        loop {
            let read = from.read(&mut answer).await.unwrap_or(0);
            let part = answer[..read.min(count - passed)].to_vec();
            passed += part.len();
            if !part.is_empty() && pair.data.write(Bytes::from(part)).await.is_err() {
                return;
            }
            if read == 0 || passed == count {
                return;
            }
        }
    };
    let asked = async {
        while let Some(payload) = pair.data.read().await {
            if to.write_all_buf(&mut BufList::from(payload)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = answered => {}
        () = asked => {}
    }
}
