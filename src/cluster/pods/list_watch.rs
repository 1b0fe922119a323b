//! A collection of objects, read whole or as it changes.
//!
//! The requests are kube's; the answers are read here. A page is parsed off the thread that moves bytes where it is large,
//! and a list has an end: in time, in bytes, in pages.

use std::time::Duration;

use bytes::Bytes;
use kube::{
    Api, Client, Resource,
    api::{ListParams, WatchParams},
    client::Body,
    core::{ObjectList, Request, Status},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tower::BoxError;

use crate::{
    cluster::{
        error::response::ResponseTimeout,
        http::{
            response::{SizeLimit, WithoutPages},
            retry::NoRetry,
        },
    },
    error::Fatal,
    model::name,
};

/// Objects a page of a list.
const PAGE: u32 = 500;

/// The pages of one list. At 500 objects each that is more than a cluster has; a server may send fewer.
const PAGES: usize = 1000;

/// What is read of one list, decompressed: some 13,000 pods of the usual 10 KiB, and a target has fewer.
const LIST: SizeLimit = SizeLimit { bytes: 128 << 20, objects: usize::MAX, of: "one list" };

/// What is longer is parsed by a thread of its own: about a millisecond's work, for which other connections can wait.
const PARSED_HERE: usize = 128 << 10;

/// What is kept of the objects of a collection.
pub(super) trait Watched: Clone + Send + 'static {
    /// The object as the API has it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned;

    /// Takes what matters of an object.
    fn read(object: Self::Object) -> Self;

    /// The version of the object.
    fn version(&self) -> Option<String>;
}

/// One of them, as it is parsed. Each object is let go of before the next is read: a pod takes some 20 KiB as a whole, and the
/// pages of a large list thousands of times as much.
#[derive(Clone)]
pub(super) struct Parsed<T>(pub T);

impl<'de, T: Watched> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::Object::deserialize(deserializer).map(|object| Self(T::read(object)))
    }
}

/// Some objects of one kind.
pub(super) struct ListWatch<T> {
    client: Client,
    /// What the requests are made of.
    request: Request,
    labels: Option<String>,
    fields: Option<String>,
    /// How long a whole list may take.
    time: Duration,
    /// Whether a request that fails is made again here.
    patient: bool,
    kind: std::marker::PhantomData<fn() -> T>,
}

/// The server leads from page to page without an end.
#[derive(Debug, thiserror::Error)]
enum EndlessList {
    #[error("the list has more than {PAGES} pages")]
    Pages,
    #[error("each page of the list leads to the same one")]
    Circle,
}

impl<T: Watched> ListWatch<T> {
    /// For a watcher, which has a patience of its own.
    pub(in crate::cluster) fn new(
        api: Api<T::Object>,
        labels: Option<String>,
        fields: Option<String>,
        time: Duration,
    ) -> Self {
        let request = Request::new(api.resource_url());
        let client = api.into_client();
        Self { client, request, labels, fields, time, patient: false, kind: std::marker::PhantomData }
    }

    /// For a first read.
    pub(super) fn patient(self) -> Self {
        Self { patient: true, ..self }
    }

    /// Everything of the collection and its version.
    pub(in crate::cluster) async fn list(&self) -> kube::Result<(Vec<T>, String)> {
        match timeout_at(Instant::now() + self.time, self.pages()).await {
            Ok(list) => list,
            Err(_) => Err(service(ResponseTimeout::Whole(self.time))),
        }
    }

    /// Page by page. Where the server has forgotten the version that the pages are of, all at once: of a large and busy
    /// collection no page after the first may ever come in time. client-go's pager does the same.
    async fn pages(&self) -> kube::Result<(Vec<T>, String)> {
        match self.pages_of(Some(PAGE)).await {
            Err(kube::Error::Api(status)) if status.code == 410 => self.pages_of(None).await,
            listed => listed,
        }
    }

    async fn pages_of(&self, limit: Option<u32>) -> kube::Result<(Vec<T>, String)> {
        let mut items = Vec::new();
        let mut left = LIST.bytes;
        let mut params = ListParams { limit, ..ListParams::default() };
        params.label_selector.clone_from(&self.labels);
        params.field_selector.clone_from(&self.fields);
        for _ in 0..PAGES {
            let mut request = self.request.list(&params).map_err(kube::Error::BuildRequest)?;
            if limit.is_none() {
                request.extensions_mut().insert(WithoutPages);
            }
            if !self.patient {
                request.extensions_mut().insert(NoRetry);
            }
            let body = self.send(request).await?.collect_bytes().await?;
            left = left.checked_sub(body.len()).ok_or_else(|| service(LIST.too_long()))?;
            let page: ObjectList<Parsed<T>> = parse(body).await?;
            items.extend(page.items.into_iter().map(|Parsed(item)| item));
            let next = page.metadata.continue_.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok((items, version(page.metadata.resource_version)));
            }
            if next.as_ref().is_some_and(|token| !name::is_token(token)) {
                return Err(no_token());
            }
            if next == params.continue_token {
                return Err(service(EndlessList::Circle));
            }
            params.continue_token = next;
        }
        Err(service(EndlessList::Pages))
    }

    /// The lines of a watch that the server ends after `seconds`.
    pub(in crate::cluster) async fn watch(&self, version: &str, seconds: u32) -> kube::Result<Body> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(seconds),
            ..WatchParams::default()
        };
        let mut request = self.request.watch(&params, version).map_err(kube::Error::BuildRequest)?;
        // Each event would be a gzip stream of its own, of which the decompression reads the first.
        let identity = http::HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, identity);
        self.send(request).await
    }

    /// The body of a good answer.
    async fn send(&self, request: http::Request<Vec<u8>>) -> kube::Result<Body> {
        let answer = self.client.send(request.map(Body::from)).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        // Whatever it was, it is a `Status` by now, and bounded.
        let code = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await?;
        let status: Status = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
        Err(kube::Error::Api(status.with_code(code).boxed()))
    }
}

fn service(error: impl Into<BoxError>) -> kube::Error {
    kube::Error::Service(error.into())
}

/// Parses what a server wrote, elsewhere where it is long.
pub(in crate::cluster) async fn parse<T: DeserializeOwned + Send + 'static>(text: Bytes) -> kube::Result<T> {
    let parse = |text: Bytes| serde_json::from_slice(&text).map_err(kube::Error::SerdeError);
    if text.len() <= PARSED_HERE {
        return parse(text);
    }
    match spawn_blocking(move || parse(text)).await {
        Ok(parsed) => parsed,
        Err(stopped) => Err(service(stopped)),
    }
}

/// A version to go on from. One that cannot be sent back is as good as none: the watch then begins with all there is.
pub(in crate::cluster) fn version(text: Option<String>) -> String {
    text.filter(|text| name::is_token(text)).unwrap_or_default()
}

fn no_token() -> kube::Error {
    let fatal = Fatal::new("fwd::cluster::bad_answer", "cannot get the rest of a list")
        .because("the server sent an invalid 'continue' token");
    kube::Error::Service(Box::new(fatal))
}
