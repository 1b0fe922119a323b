//! Starts what was picked with `a`: in a process of its own, which goes on when the panel is left as all others do, or in this
//! process, where the panel shows no other.

use std::{ffi::OsString, path::PathBuf};

use crate::{
    app::{background, history::History},
    cli::picked::PickedLine,
    error::Fatal,
    forward::{ForwardOptions, ForwardRequest, ForwardSpec, registry::Registry},
    model::{forward::PortForward, ports::Address},
    ui::{list, picker::effect::PickedForwards},
};

/// Where what is picked is started.
#[derive(Clone)]
pub(in crate::app) enum PickStart {
    /// In a process in the background.
    InBackground {
        /// This program.
        program: Option<PathBuf>,
        /// What was typed: its flags are those of the process.
        argv: Vec<OsString>,
    },
    /// In this process.
    Here {
        /// What of it starts forwards.
        registry: Registry,
        options: ForwardOptions,
    },
}

/// What can be picked, and how it is started.
#[derive(Clone)]
pub(in crate::app) struct Adding {
    pub start: PickStart,
    /// What was used before.
    pub history: Option<History>,
}

impl Adding {
    /// Where what is picked will listen.
    pub(super) fn addresses(&self) -> Vec<Address> {
        match &self.start {
            PickStart::InBackground { .. } => ForwardOptions::default().addresses,
            PickStart::Here { options, .. } => options.addresses.clone(),
        }
    }

    /// Starts it, and says what came of that.
    pub(super) async fn start(self, picked: PickedForwards) -> Result<String, Fatal> {
        match self.start {
            PickStart::InBackground { program, argv } => {
                let line = PickedLine::new(&argv, &picked)?;
                let forwards = background::start(program, &line.argv).await?;
                Ok(format!("started in the background: {}. The same again: {}", told(&forwards), line.shown))
            }
            PickStart::Here { registry, options } => {
                let ids = registry.start(specs(picked, &options)).await?;
                let mut forwards = registry.list();
                forwards.retain(|forward| ids.contains(&forward.id));
                let text = format!("started: {}", told(&forwards));
                if let Some(history) = self.history {
                    history.note(forwards).await;
                }
                Ok(text)
            }
        }
    }
}

fn told(forwards: &[PortForward]) -> String {
    forwards.iter().map(list::named).collect::<Vec<_>>().join(", ")
}

/// What was picked, as a registry takes it.
fn specs(picked: PickedForwards, options: &ForwardOptions) -> Vec<ForwardSpec> {
    let PickedForwards { place, namespace, requests } = picked;
    // The namespace that was typed belongs to the context that was typed.
    let namespace = place.namespace.or_else(|| namespace.filter(|_| place.context.is_some()));
    let spec = |mut request: ForwardRequest| {
        if request.target.namespace.is_none() {
            request.target.namespace.clone_from(&namespace);
        }
        let (options, context) = (options.clone(), place.context.clone());
        ForwardSpec { request, options, context, label: None, origin: None }
    };
    requests.into_iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::picker::effect::PickerPlace;

    #[test]
    fn the_place_that_was_picked() {
        for (context, chosen, shown, expected) in [
            (None, None, Some("typed"), [None, Some("own")]),
            (None, Some("shop"), Some("shop"), [Some("shop"), Some("own")]),
            (Some("prod"), None, Some("of-prod"), [Some("of-prod"), Some("own")]),
            (Some("prod"), Some("shop"), None, [Some("shop"), Some("own")]),
        ] {
            let request = |target: &str| ForwardRequest {
                target: target.parse().unwrap(),
                ports: vec!["8080:80".parse().unwrap()],
            };
            let picked = PickedForwards {
                place: PickerPlace {
                    context: context.map(str::to_owned),
                    namespace: chosen.map(str::to_owned),
                },
                namespace: shown.map(str::to_owned),
                requests: vec![request("svc/api"), request("own/svc/api")],
            };
            let specs = specs(picked, &ForwardOptions::default());
            let namespaces: Vec<_> =
                specs.iter().map(|one| one.request.target.namespace.as_deref()).collect();
            assert_eq!(namespaces, expected, "{context:?} {chosen:?}");
            assert!(specs.iter().all(|one| one.context.as_deref() == context));
        }
    }
}
