//! WATCH: what is there, what happened since, and what happens from now on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::request::Call;
use super::view::View;
use crate::api::resources::Resource;
use crate::api::selector::Selector;
use crate::api::status::{self, Status};
use crate::cluster::Cluster;
use crate::cluster::store::Change;
use crate::serve::{self, Body};

/// How often a quiet watch is told where it stands; the real thing does so about once a minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);

/// Without `timeoutSeconds`, somewhat as the real thing, which takes 30 to 60 minutes.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// One client's watch.
struct Watch {
    resource: &'static Resource,
    namespace: Option<String>,
    selector: Selector,
    view: View,
    bookmarks: bool,
    /// Everything up to here was sent or was none of its business.
    position: u64,
    /// The position that the client knows of.
    told: u64,
    client: mpsc::Sender<Bytes>,
}

/// The client went away.
struct Gone;

pub(super) fn answer(cluster: &Arc<Cluster>, call: &Call) -> Result<Response<Body>, Status> {
    let initial = call.query.flag("sendInitialEvents");
    let wanted = call.query.version("resourceVersion")?;
    let current = cluster.store.version();
    if let Some(wanted) = wanted.filter(|wanted| *wanted > current) {
        return Err(Status::version_from_the_future(wanted, current));
    }
    if initial && call.query.get("resourceVersionMatch") != "NotOlderThan" {
        let why = "Forbidden: resourceVersionMatch is required when sendInitialEvents is set";
        return Err(Status::invalid(call.resource, "", "resourceVersionMatch", why));
    }
    let (client, response) = serve::stream();
    let mut watch = Watch {
        resource: call.resource,
        namespace: call.scope().map(str::to_owned),
        selector: call.selector.clone(),
        view: call.view,
        bookmarks: call.query.flag("allowWatchBookmarks"),
        position: wanted.unwrap_or_default(),
        told: wanted.unwrap_or_default(),
        client,
    };
    let length = call.query.number("timeoutSeconds").filter(|s| *s > 0).map_or(LONGEST, Duration::from_secs);
    // Without a version a watch begins with what is there; with `sendInitialEvents=false` it begins now.
    let listed = initial || (watch.position == 0 && call.query.get("sendInitialEvents").is_empty());
    if !listed && watch.position == 0 {
        watch.position = current;
    }
    let cluster = cluster.clone();
    cluster.clone().tasks.spawn(async move {
        let run = async {
            if listed {
                watch.begin(&cluster, initial).await?;
            }
            watch.follow(&cluster, Instant::now() + length).await
        };
        tokio::select! {
            () = cluster.stopping.cancelled() => {}
            _gone_or_done = run => {}
        }
    });
    Ok(response)
}

impl Watch {
    /// Sends everything that is there as ADDED.
    async fn begin(&mut self, cluster: &Cluster, announce_end: bool) -> Result<(), Gone> {
        let listed = cluster.store.list(self.resource, self.namespace.as_deref());
        for (_, object) in listed.items.iter().filter(|(_, object)| self.selector.matches(object)) {
            self.send("ADDED", &self.view.object(self.resource, object)).await?;
        }
        (self.position, self.told) = (listed.version, listed.version);
        if announce_end && self.bookmarks {
            self.send("BOOKMARK", &self.view.bookmark(self.resource, self.position, true)).await?;
        }
        Ok(())
    }

    /// Sends what happens until the deadline.
    async fn follow(&mut self, cluster: &Cluster, deadline: Instant) -> Result<(), Gone> {
        let mut versions = cluster.store.subscribe();
        let mut bookmark = tokio::time::interval(BOOKMARK_EVERY);
        let mut orders = cluster.faults.watch_orders();
        let ends = orders.borrow_and_update().ends;
        // A bookmark was ordered.
        let mut is_due = false;
        loop {
            versions.borrow_and_update();
            if orders.borrow().silent {
                self.client.closed().await;
                return Err(Gone);
            }
            match cluster.store.changes_since(self.resource, self.position) {
                Ok((changes, position)) => {
                    for change in &changes {
                        self.pass_on(change).await?;
                    }
                    self.position = position;
                }
                Err(expired) => return self.send("ERROR", &expired.object()).await,
            }
            if std::mem::take(&mut is_due) && self.bookmark().await? && self.resource.kind == "Pod" {
                cluster.faults.bookmarked();
            }
            tokio::select! {
                changed = versions.changed() => changed.map_err(|_| Gone)?,
                () = self.client.closed() => return Err(Gone),
                _ = bookmark.tick() => is_due = true,
                ordered = orders.changed() => {
                    ordered.map_err(|_| Gone)?;
                    if orders.borrow_and_update().ends != ends {
                        return Ok(());
                    }
                    is_due = true;
                }
                () = tokio::time::sleep_until(deadline) => return self.bookmark().await.map(drop),
            }
        }
    }

    /// Tells how far it is; false where its client knows.
    async fn bookmark(&mut self) -> Result<bool, Gone> {
        if !self.bookmarks || self.position <= self.told {
            return Ok(false);
        }
        self.told = self.position;
        self.send("BOOKMARK", &self.view.bookmark(self.resource, self.position, false)).await?;
        Ok(true)
    }

    /// An object that enters what is selected is ADDED to this client, one that leaves it is DELETED.
    async fn pass_on(&mut self, change: &Change) -> Result<(), Gone> {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != change.key.namespace) {
            return Ok(());
        }
        let was = change.before.as_ref().is_some_and(|before| self.selector.matches(before));
        let is = !change.deleted && self.selector.matches(&change.object);
        let kind = match (was, is) {
            (false, false) => return Ok(()),
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        self.told = change.version;
        self.send(kind, &self.view.object(self.resource, &change.object)).await
    }

    async fn send(&self, kind: &str, object: &serde_json::Value) -> Result<(), Gone> {
        self.client.send(status::event_line(kind, object)).await.map_err(|_| Gone)
    }
}
