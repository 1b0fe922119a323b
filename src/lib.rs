//! `kubectl fwd` forwards local ports to the ready pods behind a service, a workload or a pod, and keeps doing so while
//! pods restart, roll and vanish, while connections break and while the API server is away. This crate is all of it;
//! the binary only hands over the command line.
//!
//! # From Rust
//!
//! A [`forward::registry::Registry`] is all that an embedding program needs: it takes what is to be forwarded as
//! [`forward::Wanted`], finds clusters by kubectl's [flags](cluster::config::flags::Flags) and
//! [environment](cluster::config::flags::Environment), and tells what happens as [`model::event::Event`]s. It runs in the
//! caller's tokio runtime, prints nothing and reads no environment by itself.
//!
//! ```no_run
//! use kubectl_fwd::{
//!     cli::resolve::Surroundings,
//!     cluster::config::flags::Flags,
//!     error::Fatal,
//!     forward::{GRACE, Options, Request, Wanted, registry::Registry},
//!     model::{ports::PortSpec, target::{Kind, Target}},
//!     spdy::session::CreditMode,
//! };
//!
//! # async fn forward() -> Result<(), Fatal> {
//! let (events, _) = tokio::sync::broadcast::channel(256);
//! let registry = Registry::new(Flags::default(), Surroundings::read().cluster, CreditMode::On, events);
//! let ports = vec![PortSpec::parse("8080:http").expect("a port")];
//! let request = Request { target: Target::object(Kind::Service, "api"), ports };
//! let wanted = Wanted { request, options: Options::default(), context: None, label: None };
//! let ids = registry.start(vec![wanted]).await?; // it works now
//! registry.stop(&ids, GRACE).await.expect("they are there");
//! # Ok(())
//! # }
//! ```
//!
//! `examples/forward.rs` in the repository follows the events as well. Programs in other languages drive
//! `kubectl-fwd serve`, see `docs/CONTROL.md`. The other modules are public so that each floor can be tested and measured by
//! itself; before 1.0 they change without notice.
//!
//! # The floors
//!
//! Imports go down only. A floor knows nothing of those above it.
//!
//! ```text
//! F5  app                     wiring, and the order of shutdown
//! F4  cli  control  sets  ui  what is typed; other processes; saved sets; what is told
//! F3  forward                 local ends, the connections they accept, one supervisor a target
//! F2  tunnel  cluster         the way into one pod; the API server: kubeconfig, targets, pods watched
//!     descriptors  system     the process's, for when there are none left; files and waits
//! F1  spdy  policy  input     the protocol, sans-IO; decisions, as pure functions; the grammar of what is written
//! F0  model  error            the vocabulary; what goes wrong, by consequence
//! ```
//!
//! F0 and F1 know no runtime, no cluster, no clock and no environment: bytes and values in, bytes and values out.
//!
//! # The life of one connection
//!
//! 1. A [`forward`] listener accepts. All local ends were bound before anything started: all or none.
//! 2. The connection takes the route that the target's supervisor publishes: a pod chosen by [`policy::select`] from
//!    the set that [`cluster::pods::watch`] follows, and a session to it. Where no pod is ready the connection is *held*,
//!    unread, up to `--hold`.
//! 3. The [`tunnel::pool`] gives it a session to that pod that nobody else has, while there are not too many; the session
//!    opens a pair of streams ([`spdy::session`]). Both `SYN_STREAM`s and the first bytes leave in one write: one round
//!    trip to the first answer.
//! 4. Bytes flow both ways, with credit for each of the peer's queues, so that an application that stops reading holds
//!    up nobody else. What was sent is kept, up to 64 KiB, until the first answer.
//! 5. A pod that is being deleted gets no new connections from its first watch event on; those it has *drain*. An
//!    attempt that provably reached no application ([`policy::retry`]) is made again elsewhere, and its client notices
//!    nothing.
//! 6. It ends as the application ended it: FIN for FIN, reset for reset. A local FIN is held back while the pod still
//!    sends, since the container runtime would cut the answer short.
//!
//! A session that is lost is dialled again at once, then in rounds of three attempts ([`policy::backoff`]); after a
//! failed round the target is *lost* and its connections are refused until the next round. One that ends before it has
//! shown that it works ([`tunnel::status`]) was a failed attempt itself.

pub mod app;
pub mod cli;
pub mod cluster;
pub mod control;
pub mod descriptors;
pub mod error;
pub mod forward;
pub mod input;
pub mod model;
pub mod policy;
pub mod sets;
pub mod spdy;
pub mod system;
pub mod tunnel;
pub mod ui;
