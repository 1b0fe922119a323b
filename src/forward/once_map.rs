//! Things that are made once for all who want them, and kept for as long as one of these has them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use futures_util::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;

type MakeFuture<V, E> = BoxFuture<'static, Result<Arc<V>, E>>;

/// Things of one kind. Those who want the same at the same time share one attempt to make it, and its error; what was
/// made is found until nobody has it any more.
pub(super) struct OnceMap<K, V, E>
where
    E: Clone,
{
    entries: Mutex<HashMap<K, OnceEntry<V, E>>>,
}

struct OnceEntry<V, E>
where
    E: Clone,
{
    /// Upgrades while somebody waits for it.
    pending: Option<WeakShared<MakeFuture<V, E>>>,
    value: Weak<V>,
}

impl<K, V, E> Default for OnceMap<K, V, E>
where
    E: Clone,
{
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K, V, E> OnceMap<K, V, E>
where
    K: Hash + Eq + Clone,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// What is there and `usable`, or else what `make` makes.
    pub(super) async fn get(
        &self,
        key: K,
        usable: impl Fn(&V) -> bool,
        make: impl FnOnce() -> BoxFuture<'static, Result<V, E>>,
    ) -> Result<Arc<V>, E> {
        let making: Shared<_> = {
            let mut entries = self.entries.lock();
            // Few are there at a time, and one that is gone leaves nothing but its name.
            entries.retain(|_, entry| entry.is_wanted());
            let entry =
                entries.entry(key.clone()).or_insert_with(|| OnceEntry { pending: None, value: Weak::new() });
            if let Some(made) = entry.value.upgrade().filter(|made| usable(made)) {
                return Ok(made);
            }
            if let Some(making) = entry.pending.as_ref().and_then(WeakShared::upgrade) {
                making
            } else {
                let making = make().map_ok(Arc::new).boxed().shared();
                entry.pending = making.downgrade();
                making
            }
        };
        let outcome = making.await;
        if let (Ok(made), Some(entry)) = (&outcome, self.entries.lock().get_mut(&key)) {
            entry.value = Arc::downgrade(made);
        }
        outcome
    }

    /// All that are there.
    pub(super) fn all(&self) -> Vec<(K, Arc<V>)> {
        let entries = self.entries.lock();
        entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.value.upgrade()?))).collect()
    }

    /// Forgets `thing`: the next one who wants its like gets another.
    pub(super) fn forget(&self, key: &K, thing: &Arc<V>) {
        if let Some(entry) = self.entries.lock().get_mut(key)
            && entry.value.ptr_eq(&Arc::downgrade(thing))
        {
            *entry = OnceEntry { pending: None, value: Weak::new() };
        }
    }
}

impl<V, E> OnceEntry<V, E>
where
    E: Clone,
{
    fn is_wanted(&self) -> bool {
        self.value.strong_count() > 0
            || self.pending.as_ref().is_some_and(|making| making.upgrade().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    type Words = OnceMap<u8, String, &'static str>;

    /// A word that takes a while to make; how many were made is counted.
    fn word(
        made: &Arc<AtomicUsize>,
        result: Result<&'static str, &'static str>,
    ) -> BoxFuture<'static, Result<String, &'static str>> {
        let made = Arc::clone(made);
        async move {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed);
            result.map(ToOwned::to_owned)
        }
        .boxed()
    }

    #[tokio::test]
    async fn made_once_and_gone_with_the_last() {
        let (map, made) = (Words::default(), Arc::new(AtomicUsize::new(0)));
        let get = || map.get(1, |_| true, || word(&made, Ok("a")));
        let all = join_all((0..9).map(|_| get())).await;
        assert!(all.iter().all(|one| one.as_ref().is_ok_and(|one| **one == "a")));
        let one = get().await;
        drop(all);
        assert_eq!(get().await, one);
        assert_eq!(made.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(get().await.is_ok());
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_error_is_shared_and_not_kept() {
        let (map, made) = (Words::default(), Arc::new(AtomicUsize::new(0)));
        let get = |result| {
            let made = Arc::clone(&made);
            map.get(1, |_| true, move || word(&made, result))
        };
        let all = join_all((0..9).map(|_| get(Err("no")))).await;
        assert!(all.iter().all(|one| *one == Err("no")));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(get(Ok("a")).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_of_no_use_is_made_anew() {
        let (map, made) = (Words::default(), Arc::new(AtomicUsize::new(0)));
        let first = map.get(1, |_| true, || word(&made, Ok("a"))).await.unwrap();
        let second = map.get(1, |word| word != "a", || word(&made, Ok("b"))).await.unwrap();
        assert_eq!(*second, "b");
        // Another's is not forgotten.
        map.forget(&1, &first);
        assert!(Arc::ptr_eq(&second, &map.get(1, |_| true, || word(&made, Ok("c"))).await.unwrap()));
        map.forget(&1, &second);
        assert_eq!(*map.get(1, |_| true, || word(&made, Ok("c"))).await.unwrap(), "c");
    }

    #[tokio::test]
    async fn an_attempt_that_nobody_waits_for_is_over() {
        let (map, made) = (Words::default(), Arc::new(AtomicUsize::new(0)));
        let never = async {
            std::future::pending::<()>().await;
            Ok(String::new())
        };
        assert!(map.get(1, |_| true, || never.boxed()).now_or_never().is_none());
        assert!(map.get(1, |_| true, || word(&made, Ok("a"))).await.is_ok());
    }
}
