//! F2, the cluster: which one, as whom, what a target means there, and which pods it has now.
//!
//! From the bottom up:
//!
//! - [`error`]: what goes wrong, and each reason in words.
//! - `tls`: whose certificates are believed, and which one is shown.
//! - [`config`]: which cluster, which user and which way there.
//! - [`http`]: connections, requests and answers.
//! - `auth`: as whom requests are made.
//! - [`client`]: the two clients of a [`client::Cluster`]: `api` for objects, `data` for tunnels.
//! - `objects`: how the API calls its kinds, and what is read of them.
//! - [`access`]: every error in words, with what to do about it.
//! - [`pods`]: what a target stands for, and the pods behind it as they change.
//! - [`names`]: what there is to be named, for completion.
//! - [`catalog`]: what there is to forward to, with its ports and pods, for the picker.
//!
//! [`probe`] tells the steps of all of that apart, for the doctor. [`wait_notifier`] is beside all of them: what is waited for, told once the wait is long.
//!
//! Tokens and keys stay in `SecretString`s and in header values marked sensitive, and nothing here logs a request's
//! headers. kube itself logs answers that it cannot read (at `warn`), and those may hold what they hold: a subscriber
//! has to be filtered to `kubectl_fwd` alone, as `ui::log` does.

pub mod access;
mod auth;
pub mod catalog;
pub mod client;
pub mod config;
pub mod error;
#[cfg(test)]
mod fake;
pub mod http;
pub mod names;
mod objects;
pub mod pods;
pub mod probe;
mod tls;
pub mod wait_notifier;
