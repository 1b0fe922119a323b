//! What of a set runs already, in whichever process, and what is missing.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::manage::FoundForward;
use crate::{
    cli::resolve::CommonOptions,
    cluster::config::place::{TargetPlace, target_place},
    error::Fatal,
    forward::{ForwardRequest, ForwardSpec},
    sets::{SetMatch, SetPlace, matches},
};

/// A set, compared with what runs.
pub(super) struct SetStatus {
    /// What of it runs.
    pub running: Vec<FoundForward>,
    /// What does not.
    pub missing: Vec<ForwardSpec>,
}

/// Compares. Each forward that runs is taken once.
pub(super) async fn set_status(
    wanted: Vec<ForwardSpec>,
    common: &CommonOptions,
    mut all: Vec<FoundForward>,
) -> Result<SetStatus, Fatal> {
    let kubeconfig = common.flags.kubeconfig.as_deref().map(real);
    all.retain(|(_, one)| one.kubeconfig.as_deref().map(|path| real(Path::new(path))) == kubeconfig);
    let mut places: HashMap<Option<String>, TargetPlace> = HashMap::new();
    for one in &wanted {
        if !places.contains_key(&one.context) {
            let mut flags = common.flags.clone();
            flags.context = one.context.clone().or(flags.context);
            let place = target_place(flags, common.environment.clone()).await?;
            places.insert(one.context.clone(), place);
        }
    }
    let mut left: Vec<Option<ForwardSpec>> = wanted.into_iter().map(Some).collect();
    let mut running = Vec::new();
    // A port that may be any takes what no other wants.
    for sure in [SetMatch::Exact, SetMatch::AnyPort] {
        for slot in &mut left {
            let Some(mut one) = slot.take() else { continue };
            let Some(place) = places.get(&one.context) else { continue };
            let place = SetPlace { context: place.context.as_deref(), namespace: &place.namespace };
            let mut ports = Vec::new();
            for port in std::mem::take(&mut one.request.ports) {
                let found =
                    all.iter().position(|(_, forward)| matches(&one, &port, place, forward) == Some(sure));
                match found {
                    Some(at) => running.push(all.swap_remove(at)),
                    None => ports.push(port),
                }
            }
            if !ports.is_empty() {
                let request = ForwardRequest { ports, ..one.request };
                *slot = Some(ForwardSpec { request, ..one });
            }
        }
    }
    // By process and then by age, as a list has them.
    running.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(SetStatus { running, missing: left.into_iter().flatten().collect() })
}

/// One file has one path, by whatever way it was named.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
