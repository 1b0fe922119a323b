//! Two streams that make one connection (PROTOCOL §3.1, §3.2).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::stream::Stream;

/// A complete pair.
pub(super) struct Pair {
    pub(super) data: Arc<Stream>,
    pub(super) error: Arc<Stream>,
}

/// A pair that lacks a stream, or both still.
#[derive(Default)]
struct Incomplete {
    data: Option<Arc<Stream>>,
    error: Option<Arc<Stream>>,
    complete: CancellationToken,
}

/// The incomplete pairs of one session, by request id.
#[derive(Clone, Default)]
pub(super) struct Pairs(Arc<Mutex<HashMap<String, Incomplete>>>);

impl Pairs {
    /// Adds a stream, whose headers were checked. Returns the pair if it is complete with it.
    pub(super) async fn add(&self, stream: &Arc<Stream>, timeout: Duration) -> Option<Pair> {
        let request = request_of(stream);
        let is_error = stream.headers.kind == "error";
        let taken = {
            let mut pairs = self.0.lock();
            let pair = pairs.entry(request.clone()).or_insert_with(|| {
                let pair = Incomplete::default();
                tokio::spawn(self.clone().watch(request.clone(), pair.complete.clone(), timeout));
                pair
            });
            let place = if is_error { &mut pair.error } else { &mut pair.data };
            if place.is_some() {
                // Told on the first error stream, whichever stream came twice.
                pair.error.clone().map_or(Err(None), |error| Err(Some(error)))
            } else {
                *place = Some(stream.clone());
                if let (Some(data), Some(error)) = (&pair.data, &pair.error) {
                    let complete = Pair { data: data.clone(), error: error.clone() };
                    pair.complete.cancel();
                    pairs.remove(&request);
                    Ok(Some(complete))
                } else {
                    Ok(None)
                }
            }
        };
        match taken {
            Ok(pair) => pair,
            Err(error) => {
                if let Some(error) = error {
                    let kind = &stream.headers.kind;
                    let text = format!(
                        "error processing stream for request {request}: {kind} stream already assigned"
                    );
                    let _ = error.write(Bytes::from(text)).await;
                }
                None
            }
        }
    }

    /// Gives up on the pair after a while. Its error stream is told, and neither finished nor reset.
    async fn watch(self, request: String, complete: CancellationToken, timeout: Duration) {
        if complete.run_until_cancelled(tokio::time::sleep(timeout)).await.is_none() {
            return;
        }
        let pair = self.0.lock().remove(&request);
        if let Some(error) = pair.and_then(|pair| pair.error) {
            // Go prints the address of its connection object.
            let text = format!("(conn={:p}, request={request}) timed out waiting for streams", self.0);
            let _ = error.write(Bytes::from(text)).await;
        }
    }

    /// Forgets all, with the session.
    pub(super) fn clear(&self) {
        for (_, pair) in self.0.lock().drain() {
            pair.complete.cancel();
        }
    }
}

/// The request a stream belongs to. Without the header, error stream N pairs with data stream N + 2.
fn request_of(stream: &Stream) -> String {
    if !stream.headers.request.is_empty() {
        return stream.headers.request.clone();
    }
    let error = if stream.headers.kind == "error" { stream.id } else { stream.id.saturating_sub(2) };
    error.to_string()
}
