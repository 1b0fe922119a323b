//! The start of a target: over once each of its ports has reached a pod, all told together.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::reporter::{ForwardedPort, Reporter};
use crate::model::{endpoint::PodId, event::EventKind};

/// How far the start of a target has come. Its ports may reach different pods at different times.
pub(super) struct StartProgress {
    /// Until then a pod has to be ready.
    pub deadline: Instant,
    /// Turns true when every port has reached a pod.
    ready: watch::Sender<bool>,
    reached: Mutex<Vec<ReachedPort>>,
}

/// A port that has reached a pod.
struct ReachedPort {
    end: Arc<ForwardedPort>,
    pod: PodId,
    pod_port: u16,
}

impl StartProgress {
    pub(super) fn new(deadline: Instant, works: watch::Sender<bool>) -> Self {
        Self { deadline, ready: works, reached: Mutex::default() }
    }

    /// Notes ports that have reached `pod`. Once they are all of the target, tells that it works: kubectl's line, one for
    /// each local address.
    pub(super) fn reached(&self, reporter: &Reporter, pod: &PodId, ends: Vec<(Arc<ForwardedPort>, u16)>) {
        let mut reached = self.reached.lock();
        reached.extend(ends.into_iter().map(|(end, pod_port)| ReachedPort {
            end,
            pod: pod.clone(),
            pod_port,
        }));
        let all = reporter.for_target().ports();
        let place = |one: &Arc<ForwardedPort>| reached.iter().position(|reached| reached.end.id == one.id);
        let Some(places) = all.iter().map(place).collect::<Option<Vec<_>>>() else { return };
        for ReachedPort { end, pod, pod_port } in places.into_iter().map(|place| &reached[place]) {
            for local in &end.bound {
                let (local, pod) = (local.clone(), pod.clone());
                reporter.for_port(end).emit(EventKind::Forwarding { local, pod_port: *pod_port, pod });
            }
        }
        reached.clear();
        self.ready.send_replace(true);
    }
}
