//! The objects and their history: the part that etcd and the watch cache play.
//!
//! Every change gets the next resource version and is appended to a history. A watch is nothing but a position in
//! that history: it reads what lies behind its position and then waits for the version to move. So a watch loses no
//! event, sees none twice, and can begin anywhere in the past until [`Store::compact`] forgets it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::meta;
use crate::api::resources::Resource;
use crate::api::status::Status;

/// How many changes are remembered before the oldest are forgotten.
const HISTORY: usize = 20_000;

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        let namespace = if resource.namespaced { namespace } else { "" };
        Self { resource, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn of(resource: &'static Resource, object: &Value) -> Self {
        Self::new(resource, meta::namespace(object), meta::name(object))
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.resource, &self.name)
    }
}

/// One entry of the history.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    /// The object before, if it was there.
    pub(crate) before: Option<Arc<Value>>,
    /// The object after; a deleted object's last state, with the version of its deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) deleted: bool,
}

/// A list and the version at which it was true.
pub(crate) struct Listed {
    pub(crate) items: Vec<(Key, Arc<Value>)>,
    pub(crate) version: u64,
}

struct State {
    version: u64,
    /// Versions below this one have no history any more.
    oldest: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
}

/// All objects of the cluster.
pub(crate) struct Store {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        let state = State { version: 1, oldest: 1, objects: BTreeMap::new(), history: VecDeque::new() };
        Self { state: Mutex::new(state), version: watch::Sender::new(1) }
    }
}

impl Store {
    /// A panic in a closure given to [`Store::modify`] leaves the state as it was.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Follows the newest version.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of a kind, in one namespace or (`None`) in all, ordered by key.
    pub(crate) fn list(&self, resource: &'static Resource, namespace: Option<&str>) -> Listed {
        let state = self.lock();
        Listed { items: select(&state.objects, resource, namespace), version: state.version }
    }

    /// Only the objects.
    pub(crate) fn all(&self, resource: &'static Resource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.list(resource, namespace).items.into_iter().map(|(_, object)| object).collect()
    }

    /// The list as it was at `version`: the present one with the history since then taken back.
    pub(crate) fn list_at(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Listed, Status> {
        let state = self.lock();
        state.reaches(version)?;
        let mut objects: BTreeMap<Key, Arc<Value>> =
            select(&state.objects, resource, namespace).into_iter().collect();
        for change in state.history.iter().rev().take_while(|change| change.version > version) {
            if change.key.resource != resource || namespace.is_some_and(|ns| ns != change.key.namespace) {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Ok(Listed { items: objects.into_iter().collect(), version })
    }

    /// What happened after `version`, for one kind, and the version that this brings the reader to.
    pub(crate) fn changes_since(
        &self,
        resource: &'static Resource,
        version: u64,
    ) -> Result<(Vec<Change>, u64), Status> {
        let state = self.lock();
        state.reaches(version)?;
        let start = state.history.partition_point(|change| change.version <= version);
        let changes = state.history.range(start..).filter(|change| change.key.resource == resource);
        Ok((changes.cloned().collect(), state.version))
    }

    /// Adds an object that is not there yet.
    pub(crate) fn insert(&self, key: Key, object: Value) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        if state.objects.contains_key(&key) {
            return Err(Status::already_exists(key.resource, &key.name));
        }
        let object = state.put(key, None, object);
        self.announce(&state);
        Ok(object)
    }

    /// Changes an object in place. What comes out equal to what was there is no change and no event.
    pub(crate) fn modify(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Arc<Value>, Status> {
        let mut state = self.lock();
        let before = state.objects.get(key).cloned().ok_or_else(|| key.not_found())?;
        let mut after = Value::clone(&before);
        change(&mut after)?;
        if after == *before {
            return Ok(before);
        }
        let object = state.put(key.clone(), Some(before), after);
        self.announce(&state);
        Ok(object)
    }

    /// Takes an object out, if it still is the one with this uid.
    pub(crate) fn remove(&self, key: &Key, uid: &str) -> Option<Arc<Value>> {
        let mut state = self.lock();
        let before = state.objects.get(key).filter(|object| meta::uid(object) == uid).cloned()?;
        state.objects.remove(key);
        state.version += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let object = Arc::new(last);
        let version = state.version;
        state.remember(Change {
            version,
            key: key.clone(),
            before: Some(before),
            object: object.clone(),
            deleted: true,
        });
        self.announce(&state);
        Some(object)
    }

    /// Forgets all history: every version handed out so far is too old to watch or list from.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        state.version += 1;
        state.oldest = state.version;
        state.history.clear();
        self.announce(&state);
    }

    fn announce(&self, state: &State) {
        self.version.send_replace(state.version);
    }
}

impl State {
    fn reaches(&self, version: u64) -> Result<(), Status> {
        if version < self.oldest { Err(Status::expired(version, self.oldest)) } else { Ok(()) }
    }

    fn put(&mut self, key: Key, before: Option<Arc<Value>>, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.objects.insert(key.clone(), object.clone());
        self.remember(Change { version: self.version, key, before, object: object.clone(), deleted: false });
        object
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.oldest = forgotten.version;
        }
    }
}

fn select(
    objects: &BTreeMap<Key, Arc<Value>>,
    resource: &'static Resource,
    namespace: Option<&str>,
) -> Vec<(Key, Arc<Value>)> {
    objects
        .range(Key::new(resource, namespace.unwrap_or_default(), "")..)
        .take_while(|(key, _)| key.resource == resource && namespace.is_none_or(|ns| key.namespace == ns))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resources::{POD, SERVICE};

    fn object(name: &str) -> (Key, Value) {
        let object = json!({ "metadata": { "name": name, "namespace": "default", "uid": name } });
        (Key::of(&POD, &object), object)
    }

    fn names(listed: &Listed) -> Vec<&str> {
        listed.items.iter().map(|(key, _)| key.name.as_str()).collect()
    }

    #[test]
    fn history_is_read_from_any_version() {
        let store = Store::default();
        let (key, pod) = object("a");
        let made = meta::resource_version(&store.insert(key.clone(), pod).unwrap());
        store
            .modify(&key, |pod| {
                pod["status"] = json!(1);
                Ok(())
            })
            .unwrap();
        store.remove(&key, "a").unwrap();
        let (changes, version) = store.changes_since(&POD, made).unwrap();
        assert_eq!(changes.iter().map(|c| c.deleted).collect::<Vec<_>>(), [false, true]);
        assert_eq!(version, made + 2);
        assert_eq!(meta::resource_version(&changes[1].object), version);
        assert!(store.changes_since(&SERVICE, 1).unwrap().0.is_empty());
    }

    #[test]
    fn a_list_can_be_taken_in_the_past() {
        let store = Store::default();
        let (a, pod) = object("a");
        store.insert(a.clone(), pod).unwrap();
        let then = store.version();
        let (b, pod) = object("b");
        store.insert(b, pod).unwrap();
        store.remove(&a, "a");
        assert_eq!(names(&store.list(&POD, Some("default"))), ["b"]);
        assert_eq!(names(&store.list_at(&POD, None, then).unwrap()), ["a"]);
    }

    #[test]
    fn an_equal_object_is_no_change() {
        let store = Store::default();
        let (key, pod) = object("a");
        store.insert(key.clone(), pod).unwrap();
        let before = store.version();
        store.modify(&key, |_| Ok(())).unwrap();
        assert_eq!(store.version(), before);
    }

    #[test]
    fn compaction_makes_every_known_version_too_old() {
        let store = Store::default();
        let (key, pod) = object("a");
        store.insert(key, pod).unwrap();
        let known = store.version();
        store.compact();
        assert_eq!(store.changes_since(&POD, known).unwrap_err().code(), 410);
        assert_eq!(store.list_at(&POD, None, known).err().map(|status| status.code()), Some(410));
        assert!(store.changes_since(&POD, store.version()).is_ok());
    }

    #[test]
    fn the_wrong_uid_is_not_removed() {
        let store = Store::default();
        let (key, pod) = object("a");
        store.insert(key.clone(), pod).unwrap();
        assert!(store.remove(&key, "another").is_none());
        assert!(store.get(&key).is_some());
    }
}
