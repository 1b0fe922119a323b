//! Targets, and the pods behind them.
//!
//! - [`target`]: what a target stands for: a query for pods (`selector`), and the way from its ports to theirs.
//! - [`examine`]: why a target has no pod to begin with, where that is certain.
//! - [`namesake`]: what was meant by a pod's name that is not there.
//! - [`watch`]: the pods of that query, as snapshots that change: of pods (`endpoint`) or of EndpointSlices (`slices`).
//! - [`object`]: the object of a target, which may come to stand for other pods while it is followed.
//! - `watcher`, `list_watch`, `watch_events`: one collection of objects, read whole and as it changes.

mod endpoint;
pub mod examine;
mod list_watch;
pub mod namesake;
pub mod object;
mod selector;
mod slices;
pub mod target;
pub mod watch;
mod watch_events;
mod watcher;
