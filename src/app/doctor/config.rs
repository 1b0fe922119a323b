//! Which cluster, as whom: the kubeconfig files, the context, the cluster's entry and the credentials.

use std::{path::PathBuf, time::Instant};

use jiff::Timestamp;

use super::{
    judge, names,
    plan::{DoctorPlan, off_thread},
    record::CheckRecord,
};
use crate::{
    cluster::{
        client::{Cluster, ClusterConfig},
        probe::{CredentialKind, Kubeconfigs},
        wait_notifier::WaitNotifier,
    },
    error::Fatal,
    model::check::Check,
    system::permissions::is_world_readable,
};

/// A cluster that can be dialled.
pub(super) struct Connected {
    pub cluster: Cluster,
    /// There are credentials, as far as can be told here.
    pub has_credentials: bool,
}

/// What is asked of a cluster that is not found.
const OF_A_CLUSTER: [&str; 3] = [names::DNS, names::TCP, names::TLS];

/// Finds the cluster and fetches the credentials. `None` where there is none to dial.
pub(super) async fn check(
    plan: &DoctorPlan,
    record: &mut CheckRecord,
    notifier: &WaitNotifier,
) -> Option<Connected> {
    let found = find(plan, record, notifier).await;
    let failed = match found {
        Ok(config) => match connect(config, record, notifier).await {
            Some(connected) => return Some(connected),
            None => names::CLUSTER,
        },
        Err(failed) => failed,
    };
    record.skip(OF_A_CLUSTER.into_iter().chain(names::AT_THE_SERVER).chain(names::OF_THE_USER), failed);
    if plan.request.is_some() {
        record.skip(names::OF_THE_TARGET, failed);
    }
    None
}

/// The cluster that the kubeconfigs mean, or the check that failed.
async fn find(
    plan: &DoctorPlan,
    record: &mut CheckRecord,
    notifier: &WaitNotifier,
) -> Result<ClusterConfig, &'static str> {
    let (flags, environment) = (plan.common.flags.clone(), plan.common.environment.clone());
    let files = match Kubeconfigs::read(flags, environment, notifier).await {
        Ok(files) => files,
        Err(fatal) => {
            record.add(judge::failed(names::KUBECONFIG, &fatal));
            record.skip([names::CONTEXT, names::CLUSTER, names::CREDENTIALS], names::KUBECONFIG);
            return Err(names::KUBECONFIG);
        }
    };
    let any = !files.found().is_empty();
    if any {
        let paths = files.found().to_vec();
        let open = off_thread("look at the kubeconfig", move || {
            paths.into_iter().filter(|path| is_world_readable(path)).collect()
        });
        record.add(match open.await {
            Ok(open) => kubeconfig(&files, open),
            Err(fatal) => judge::warned(names::KUBECONFIG, &fatal),
        });
    }
    let chosen = files.choose().await;
    match chosen {
        Ok(config) => {
            let summary = config.summary();
            if !any {
                record.add(Check::ok(names::KUBECONFIG, "none is there: this pod's service account is used"));
            }
            let context = summary.context.as_ref().map(|context| format!("{context}, ")).unwrap_or_default();
            record.add(Check::ok(names::CONTEXT, format!("{context}namespace {}", summary.namespace)));
            Ok(config)
        }
        Err(fatal) => {
            let failed = match (any, is_about_credentials(&fatal)) {
                (false, _) => names::KUBECONFIG,
                (true, true) => names::CREDENTIALS,
                (true, false) => names::CONTEXT,
            };
            record.add(judge::failed(failed, &fatal));
            let all = [names::CONTEXT, names::CLUSTER, names::CREDENTIALS];
            record.skip(all.into_iter().filter(|name| *name != failed), failed);
            Err(failed)
        }
    }
}

/// The files, of which others can read those that are `open`.
fn kubeconfig(files: &Kubeconfigs, open: Vec<PathBuf>) -> Check {
    let shown = |paths: &mut dyn Iterator<Item = &PathBuf>| {
        paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let missing = shown(&mut files.missing());
    let missing = if missing.is_empty() { String::new() } else { format!(" (not there: {missing})") };
    let detail = format!("{}{missing}", shown(&mut files.found().iter()));
    let open: Vec<String> = open.into_iter().map(|path| path.display().to_string()).collect();
    if open.is_empty() {
        return Check::ok(names::KUBECONFIG, detail);
    }
    Check::warning(names::KUBECONFIG, format!("{detail}; every user of this machine can read it"))
        .advice(format!("it may hold keys; run: chmod 600 {}", open.join(" ")))
}

fn is_about_credentials(fatal: &Fatal) -> bool {
    fatal.code().starts_with("fwd::auth::")
}

/// Gets ready to dial, with the credentials or, where they are of no use, without.
async fn connect(
    config: ClusterConfig,
    record: &mut CheckRecord,
    notifier: &WaitNotifier,
) -> Option<Connected> {
    let (summary, kind, anonymous) = (config.summary(), config.credential_kind(), config.anonymous());
    let begun = Instant::now();
    let refused = match Box::pin(config.connect(notifier)).await {
        Ok(cluster) => {
            let took = begun.elapsed();
            record.add(judge::cluster(&summary));
            let credentials = judge::credentials(&kind, cluster.credential_expiry(), Timestamp::now());
            let asked = matches!(kind, CredentialKind::Plugin(_) | CredentialKind::Oidc);
            record.add(if asked { credentials.took(took) } else { credentials });
            return Some(Connected { cluster, has_credentials: true });
        }
        Err(fatal) => fatal,
    };
    if !is_about_credentials(&refused) {
        record.add(judge::failed(names::CLUSTER, &refused));
        record.skip([names::CREDENTIALS], names::CLUSTER);
        return None;
    }
    let cluster = Box::pin(anonymous.connect(notifier)).await;
    record.add(match &cluster {
        Ok(_) => judge::cluster(&summary),
        Err(fatal) => judge::failed(names::CLUSTER, fatal),
    });
    record.add(judge::failed(names::CREDENTIALS, &refused));
    cluster.ok().map(|cluster| Connected { cluster, has_credentials: false })
}
