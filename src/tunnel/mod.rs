//! F2, the tunnel to one pod.
//!
//! [`upgrade`] makes a connection, [`session`] drives it, [`status`] tells how it fares, [`stream`] is one forwarded
//! connection inside it; `stream_entry` is what the driver keeps of it; `backlog` gives turns to what the peer has no
//! room for, [`write_queue`] holds what the transport has not taken yet, `buffers` what may be filled again.
//! [`pool`] keeps the sessions to a pod. `legacy` does without sessions, one upgrade a connection, where nothing better
//! passes; [`dial`] picks among the protocols and remembers the choice. [`dump`] is what a report of a bug tells of it all.

mod backlog;
mod buffers;
pub mod dial;
pub mod dump;
pub mod end;
pub mod error;
#[cfg(test)]
pub(crate) mod fake;
mod legacy;
pub mod limits;
pub mod pool;
pub mod protocol;
mod pulse;
pub mod session;
mod silence;
mod stalled;
pub mod status;
pub mod stream;
mod stream_entry;
mod unread;
pub mod upgrade;
mod wake;
pub mod websocket;
pub mod write_queue;
