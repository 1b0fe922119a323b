//! Watches the clocks, and the way to a cluster's server, for what breaks connections unseen ([`policy`]). Then every
//! session asks its peer, watches go on over new connections, and no pause before another attempt goes on.
//!
//! [`policy`]: crate::policy::disturbance

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    cluster::client::Cluster,
    policy::disturbance::{DisturbanceDetector, Sample, TICK},
    tunnel::limits::Limits,
};

/// Watches for as long as it is polled. `reconnect` has the watches of the cluster go on over new connections.
pub(super) async fn follow(cluster: Arc<Cluster>, limits: Arc<Limits>, reconnect: impl Fn()) {
    let mut detector = DisturbanceDetector::default();
    let begun = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let sample = Sample { monotonic: begun.elapsed(), wall, route: cluster.route() };
        if let Some(disturbance) = detector.tick(sample) {
            tracing::debug!(?disturbance, "connections may be dead, so each is tried");
            cluster.renew_connections();
            reconnect();
            limits.disturb();
        }
    }
}
