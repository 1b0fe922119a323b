//! The program in a test pod: the applications that tests talk to, on the ports that each pod has.
//!
//! The sandbox runs it in its own process, once a pod, on ports that the kernel chose. On a real cluster it is the
//! binary of this package, alone in an image, on its own ports. So a test means the same thing in both.

mod app;
mod arrivals;
mod container;
mod http;
mod log;
mod passing;
mod socket;
mod stats;

pub use app::hex;
pub use arrivals::Arrivals;
pub use container::Container;
pub use log::Log;
pub use stats::{Counts, Stats};

/// The ports of every pod; `app.rs` says what is on each.
pub const PORTS: [u16; 12] = [8080, 9000, 5432, 9001, 9002, 9003, 9004, 9005, 9006, 9007, 9016, 9017];

/// Those of them on which a pod listens on its loopback address alone.
pub const LOOPBACK: [u16; 2] = [9016, 9017];
