//! Forwards local ports to the ready pods behind a Kubernetes service, a workload or a pod, and keeps doing so while pods
//! restart, roll and vanish, while connections break and while the API server is away. It is the library that the kubectl
//! plugin `kubectl fwd` is made of.
//!
//! A [`Registry`] starts forwards, lists them, tells what happens to them and stops them:
//!
//! ```no_run
//! use kubectl_fwd::{ClusterEnvironment, EventKind, Fatal, Flags, ForwardSpec, GRACE, Registry};
//!
//! # async fn forward() -> Result<(), Fatal> {
//! let registry = Registry::new(Flags::default(), ClusterEnvironment::read());
//! let mut events = registry.events();
//! let spec = ForwardSpec::new("svc/api".parse()?, ["8080:http".parse()?]);
//! registry.start(vec![spec]).await?; // The port is bound now, and a pod was reached.
//! while let Ok(event) = events.recv().await {
//!     if let EventKind::Retargeted { to, .. } = &event.kind {
//!         eprintln!("{} is pod {} now", event.target, to.name);
//!     }
//! }
//! registry.shutdown(GRACE).await;
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | which cluster | [`Flags`] are kubectl's (`--kubeconfig`, `--context`, `--as`), [`ClusterEnvironment`] is what kubectl reads of it |
//! | what to forward | [`ForwardSpec`]: a [`Target`] and its ports, each a [`PortSpec`], both read from kubectl's syntax or made of their fields; how, as [`ForwardOptions`] |
//! | what there is | [`Registry::list`] gives each forward as a [`PortForward`]: its [`ForwardId`], its [`ForwardState`], its counts |
//! | what happens | [`Registry::events`] gives [`Event`]s, whose [`EventKind`] says what it is |
//! | what goes wrong | [`Fatal`]: what failed, why and what to do next |
//!
//! Everything runs in the caller's tokio runtime, which needs its timer and IO. Nothing is printed, no signal is caught, and
//! messages for a log go to [`tracing`]. Times are [`jiff`]'s, passwords and tokens [`secrecy`]'s.
//!
//! `examples/forward.rs` in the repository is a whole program. Programs in other languages drive `kubectl-fwd serve`, see
//! `docs/CONTROL.md` there. Before 1.0 a minor version may change what is here; what is not documented here may change
//! with any.

// The floors. Imports go down only; a floor knows nothing of those above it. docs/DESIGN.md says more.
//
// ```text
// F5  app                     wiring, and the order of shutdown
// F4  cli  control  sets  ui  what is typed; other processes; saved sets; what is told
// F3  forward                 local addresses, the connections they accept, one supervisor a target
// F2  tunnel  cluster         the tunnel to one pod; the API server: kubeconfig, targets, pods watched
//     descriptors  system     the process's, for when there are none left; files and waits
// F1  spdy  policy  input     the protocol, sans-IO; decisions, as pure functions; the grammar of what is written
// F0  model  error            the vocabulary; what goes wrong, by consequence
// ```
//
// F0 and F1 know no runtime, no cluster, no clock and no environment: bytes and values in, bytes and values out.
//
// The modules are public for the binary, the tests and the benchmarks of this package, and hidden from the documentation:
// what others may use is below them.

#[doc(hidden)]
pub mod app;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod control;
#[doc(hidden)]
pub mod descriptors;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod forward;
#[doc(hidden)]
pub mod input;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod policy;
#[doc(hidden)]
pub mod sets;
#[doc(hidden)]
pub mod spdy;
#[doc(hidden)]
pub mod system;
#[doc(hidden)]
pub mod tunnel;
#[doc(hidden)]
pub mod ui;

#[doc(inline)]
pub use self::{
    cluster::config::flags::{ClusterEnvironment, Flags, InClusterConfig},
    error::Fatal,
    forward::{ForwardOptions, ForwardRequest, ForwardSpec, GRACE, registry::Registry},
    model::{
        endpoint::PodId,
        event::{Event, EventKind, LocalAddress, RetargetReason, StopReason, Unreachable},
        forward::{
            ByteCounts, ConnectionCounts, ForwardId, ForwardIdError, ForwardState, PortForward, RetryMode,
            TargetPod,
        },
        ports::{Address, LocalPort, PortSpec, RemotePort},
        target::{Kind, Target, TargetRef},
    },
};
