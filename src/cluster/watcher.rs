//! One watched collection, as a stream of changes that survives everything.
//!
//! ```text
//! Start --list--> Listed(version) --watch--> Watching(version, stream)
//!   ^                 ^                          |
//!   |                 +---- end, error, silence -+
//!   +----------------------- 410 Gone -----------+
//! ```
//!
//! kube_runtime's watcher has the same states, but says nothing when a watch stands again after a failure: only the
//! next event would show it, and that may be hours away, while this tool has to say *now* that the cluster is back: it
//! is the sign of life that a lost target waits for. The list, the events and the bookmarks themselves are kube's.

use std::{fmt::Debug, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{error::Fatal, model::name};

/// The server ends a watch after this many seconds, so that one that died in silence is not trusted for longer.
/// Starting again costs one request.
const WATCH_SECONDS: u32 = 120;

/// How much longer than that is waited for the server to do so.
const WATCH_MARGIN: Duration = Duration::from_secs(5);

/// Objects a page of a list.
const PAGE: u32 = 500;

/// The wait after the first failure, and the longest. Each wait is up to twice the one before, at random, so that
/// a restarted server is not met by everyone at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A watch that ends sooner than this counts as failed even if it ended well: a proxy may cut each of them at once.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// What happened to the collection.
#[derive(Debug)]
pub(super) enum Change<K> {
    /// This is all of it.
    Swap(Vec<K>),
    /// An object is new, or another now.
    Apply(K),
    /// An object is gone.
    Delete(K),
    /// Changes arrive (again).
    Alive,
    /// It cannot be read at the moment; it is tried again.
    Problem(String),
    /// A verb is forbidden. Asking again goes on from here, so that rights granted meanwhile are noticed.
    Denied(Verb, String),
}

/// What may be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Reading the whole collection.
    List,
    /// Being told about changes.
    Watch,
}

enum State<K> {
    /// Nothing is known. Next: `Listed`.
    Start,
    /// All is known up to this version. Next: `Watching`, or `Start` if the server has forgotten the version.
    Listed(String),
    /// Changes arrive. Next: `Listed` at any end, `Start` at 410.
    Watching { version: String, stream: BoxStream<'static, kube::Result<WatchEvent<K>>>, since: Instant },
}

/// A collection: some objects of one kind.
pub(super) struct Listing<K> {
    pub api: Api<K>,
    pub labels: Option<String>,
    pub fields: Option<String>,
}

impl<K> Listing<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Everything of the collection and its version.
    pub(super) async fn list(&self) -> kube::Result<(Vec<K>, String)> {
        let mut items = Vec::new();
        let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
        params.label_selector.clone_from(&self.labels);
        params.field_selector.clone_from(&self.fields);
        loop {
            let page = self.api.list(&params).await?;
            items.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            match &params.continue_token {
                None => return Ok((items, version(page.metadata.resource_version))),
                Some(token) if !name::is_token(token) => return Err(no_token()),
                Some(_) => {}
            }
        }
    }

    async fn watch(&self, version: &str) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<K>>>> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            ..WatchParams::default()
        };
        Ok(self.api.watch(&params, version).await?.boxed())
    }
}

/// A watched collection.
pub(super) struct Watcher<K> {
    /// What is watched; to be listed by hand where watching is forbidden.
    pub listing: Listing<K>,
    state: State<K>,
    pauses: Pauses,
    /// Not before this is anything asked.
    resume: Option<Instant>,
}

impl<K> Watcher<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    pub(super) fn new(listing: Listing<K>) -> Self {
        Self { listing, state: State::Start, pauses: Pauses::default(), resume: None }
    }

    /// The next change. Never ends.
    pub(super) async fn next(&mut self) -> Change<K> {
        loop {
            if let Some(at) = self.resume {
                tokio::time::sleep_until(at).await;
                self.resume = None;
            }
            match &mut self.state {
                State::Start => match self.listing.list().await {
                    Ok((items, version)) => {
                        self.state = State::Listed(version);
                        return Change::Swap(items);
                    }
                    Err(error) => {
                        if let Some(change) = self.failed(Verb::List, &error) {
                            return change;
                        }
                    }
                },
                State::Listed(version) => {
                    let version = version.clone();
                    match self.listing.watch(&version).await {
                        Ok(stream) => {
                            self.state = State::Watching { version, stream, since: Instant::now() };
                            return Change::Alive;
                        }
                        Err(error) => {
                            if let Some(change) = self.failed(Verb::Watch, &error) {
                                return change;
                            }
                        }
                    }
                }
                State::Watching { stream, .. } => {
                    let silence = Duration::from_secs(WATCH_SECONDS.into()) + WATCH_MARGIN;
                    let event = tokio::time::timeout(silence, stream.next()).await.unwrap_or(None);
                    if let Some(change) = self.event(event) {
                        return change;
                    }
                }
            }
        }
    }

    /// Takes one event of a watch, or its end.
    fn event(&mut self, event: Option<kube::Result<WatchEvent<K>>>) -> Option<Change<K>> {
        let State::Watching { version, since, .. } = &mut self.state else { return None };
        match event {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                *version = self::version(object.resource_version());
                self.pauses.reset();
                Some(Change::Apply(object))
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                *version = self::version(object.resource_version());
                self.pauses.reset();
                Some(Change::Delete(object))
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                *version = self::version(Some(bookmark.metadata.resource_version));
                None
            }
            Some(Ok(WatchEvent::Error(status))) => self.failed(Verb::Watch, &kube::Error::Api(status)),
            Some(Err(error)) => self.failed(Verb::Watch, &error),
            None => {
                let (version, short) = (std::mem::take(version), since.elapsed() < SHORT_WATCH);
                self.state = State::Listed(version);
                if short {
                    self.resume = Some(Instant::now() + self.pauses.next());
                } else {
                    self.pauses.reset();
                }
                None
            }
        }
    }

    /// Decides where to go on after a failure, and what to say about it.
    fn failed(&mut self, verb: Verb, error: &kube::Error) -> Option<Change<K>> {
        let code = match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        };
        let version = match std::mem::replace(&mut self.state, State::Start) {
            State::Start => None,
            State::Listed(version) | State::Watching { version, .. } => Some(version),
        };
        self.resume = Some(Instant::now() + self.pauses.next());
        let why = super::access::reason(error);
        match (code, version) {
            // The server has forgotten the version: nothing is wrong, the list is read again.
            (410, _) => None,
            (403, version) => {
                self.state = version.map_or(State::Start, State::Listed);
                Some(Change::Denied(verb, why))
            }
            (_, version) => {
                self.state = version.map_or(State::Start, State::Listed);
                Some(Change::Problem(why))
            }
        }
    }

    /// From now on, the list is read anew before anything else.
    pub(super) fn restart(&mut self) {
        self.state = State::Start;
        self.resume = None;
    }
}

/// A version to go on from. One that cannot be sent back is as good as none: the watch then begins with all there is.
fn version(text: Option<String>) -> String {
    text.filter(|text| name::is_token(text)).unwrap_or_default()
}

fn no_token() -> kube::Error {
    let fatal = Fatal::new("fwd::cluster::bad-answer", "the rest of a list cannot be asked for")
        .because("its 'continue' token is none that an API server gives");
    kube::Error::Service(Box::new(fatal))
}

/// Exponential pauses with jitter.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The pause after one more failure: between half and all of the exponential value.
    pub(super) fn next(&mut self) -> Duration {
        // 250 ms doubled six times is over the longest.
        let full = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}
