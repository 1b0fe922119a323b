//! Answers that are none: that do not come, do not end, or are more than anybody can hold.

use std::io::Write;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;

use crate::serve::Body;

/// What is answered instead of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadAnswer {
    /// Nothing.
    Silent,
    /// Nothing, and every connection is reset.
    Reset,
    /// The head, and half of an object.
    Half,
    /// The head alone: of a watch, one that tells nothing.
    Deaf,
    /// An object without an end.
    Endless,
    /// 256 MiB, compressed to a thousandth.
    Bomb,
    /// A page of a list that leads to itself.
    Circle,
    /// A `Status` with some megabytes of words.
    Wordy,
}

/// Marks an answer that is never given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeverAnswered;

impl BadAnswer {
    /// The answer of those that give one.
    pub(super) fn response(self) -> Response<Body> {
        let page = r#"{"kind":"List","apiVersion":"v1","metadata":{"continue":"x"},"items":[]}"#;
        match self {
            Self::Silent | Self::Reset => {
                let mut response = json(stream::pending());
                response.extensions_mut().insert(NeverAnswered);
                response
            }
            Self::Deaf => json(stream::pending()),
            Self::Half => {
                let half = Bytes::from_static(br#"{"kind":"Service","#);
                with(json(after(half, stream::pending())), CONTENT_LENGTH, "1000")
            }
            Self::Endless => {
                let more = stream::repeat(Bytes::from(vec![b'x'; 1 << 16]));
                json(after(Bytes::from_static(br#"{"x":""#), more))
            }
            Self::Bomb => with(json(after(bomb(), stream::empty())), CONTENT_ENCODING, "gzip"),
            Self::Circle => json(after(Bytes::from_static(page.as_bytes()), stream::empty())),
            Self::Wordy => {
                let words = Bytes::from(vec![b'm'; 1 << 20]);
                let start = Bytes::from_static(br#"{"kind":"Status","reason":"X","message":""#);
                let mut response = json(after(start, stream::repeat(words).take(8)));
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
}

fn bomb() -> Bytes {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![b' '; 1 << 20];
    // Into memory it cannot fail.
    (0..256).for_each(|_| _ = packed.write_all(&piece));
    packed.finish().unwrap_or_default().into()
}

fn after(
    first: Bytes,
    more: impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static,
) -> impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static {
    stream::iter([first]).chain(more)
}

fn json(pieces: impl futures_util::Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    with(Response::new(BodyExt::boxed(StreamBody::new(frames))), CONTENT_TYPE, "application/json")
}

fn with(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
