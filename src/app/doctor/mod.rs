//! `doctor`: what is needed to forward, from the kubeconfig to the application in the pod, and whether it is there.
//!
//! The checks come in the order in which forwarding needs them: `config` (which cluster, as whom), `server` (the way there),
//! `target` (rights, pods, protocols, the application) and `machine` (what is needed here). Each does the real thing once, by
//! the code that forwards, and `judge` words what was found. What depends on a check that failed is skipped, and told so.
//!
//! Each step has a limit, and so has the whole. Nothing is changed in the cluster, and nothing is sent to an application.

mod config;
mod judge;
mod machine;
mod names;
mod plan;
mod record;
mod server;
mod target;

use std::time::Duration;

use tokio::time::timeout;

pub(super) use self::plan::DoctorPlan;
use self::record::CheckRecord;
use super::{
    lifecycle::{INTERRUPTED, no_start},
    manage::print_notice,
    signals::Signals,
};
use crate::{cluster::wait_notifier::WaitNotifier, error::Fatal, model::check::Check, ui::escape};

/// How long all checks may take together. A login by a credential plugin takes a person a minute or two, and each of a dozen
/// steps of the way at most [`plan::STEP_TIMEOUT`].
const WHOLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Makes every check; the exit status is 1 where something that is needed is missing.
pub(super) async fn doctor(plan: DoctorPlan) -> Result<u8, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("the watch for signals", &error))?;
    let mut record = CheckRecord::new(plan.common.ui, plan.marks);
    let ended = tokio::select! {
        biased;
        // What was under way, a credential plugin among it, ends with the future.
        _ = signals.next() => return Ok(INTERRUPTED),
        ended = timeout(WHOLE_TIMEOUT, Box::pin(examine(&plan, &mut record))) => ended,
    };
    if ended.is_err() {
        let detail = format!("the checks took longer than {} s and were stopped", WHOLE_TIMEOUT.as_secs());
        record.add(
            Check::failed(names::TIME, detail).advice("what comes next after the last check is too slow"),
        );
    }
    record.finish(plan.request.as_ref().map(|(target, _)| target.to_string()).as_deref())
}

async fn examine(plan: &DoctorPlan, record: &mut CheckRecord) {
    let quiet = plan.common.ui.quiet;
    let notifier = WaitNotifier::new(move |text| {
        if !quiet {
            print_notice(&escape::line(&text));
        }
    });
    if let Some(connected) = config::check(plan, record, &notifier).await {
        let reached = server::check(connected, record, &notifier).await;
        target::check(plan, &reached, record, &notifier).await;
    }
    machine::check(plan, record).await;
}
