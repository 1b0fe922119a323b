//! Completion: what `cli::complete` needs to know is looked up here, for a fraction of a second and silently.
//!
//! kubectl starts the program by the name `kubectl_complete-fwd`, the scripts of shells with the word `__complete`. Both
//! want an answer at once, and nothing else: no error, no question, no wait. So whatever fails is left out, a credential
//! plugin finds no terminal on its stdin and is ended with the lookup, and no refresh-token is used up.

mod link;

use std::{
    ffi::{OsStr, OsString},
    mem,
    path::Path,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use tokio::{task::spawn_blocking, time::timeout};

pub(super) use self::link::{install, uninstall};
use super::{
    manage::{is_wanted, read_records},
    stdout::put,
};
use crate::{
    cli::{
        complete::{self, COMPLETE, Candidate, Lookup},
        resolve::{self, Environment},
    },
    cluster::{
        client::{Cluster, ClusterConfig},
        config::flags::{ClusterEnvironment, Flags},
        names::{self, NamedItem},
        wait_notifier::WaitNotifier,
    },
    control::{client::call, methods, sockets::SocketDirectories},
    error::Fatal,
    model::forward::PortForward,
    sets::SetStore,
    ui::list,
};

/// As what kubectl starts a plugin to complete its words.
const COMPLETE_NAME: &str = "kubectl_complete-fwd";

/// The words to complete, if that is what the program was started for.
pub(super) fn asked<'a>(name: &OsStr, argv: &'a [OsString]) -> Option<&'a [OsString]> {
    if Path::new(name).file_stem() == Some(OsStr::new(COMPLETE_NAME)) {
        return Some(argv);
    }
    let (first, words) = argv.split_first()?;
    (first == COMPLETE).then_some(words)
}

/// Prints what can follow. Whatever goes wrong, the shell gets what is known.
pub(super) async fn complete(words: &[OsString], environment: Environment) -> Result<u8, Fatal> {
    let mut completion = complete::complete(words);
    let flags = resolve::flags(mem::take(&mut completion.flags));
    let limit = resolve::completion_limit(&environment);
    let mut found = Vec::new();
    if let (Some(lookup), Ok(flags)) = (&completion.lookup, flags) {
        // What was found until then is what there is.
        let _ = timeout(limit, look_up(lookup, flags, environment, &mut found)).await;
    }
    put(completion.answer(found).as_bytes()).map(|_| 0)
}

async fn look_up(
    lookup: &Lookup,
    flags: Flags,
    environment: Environment,
    found: &mut Vec<Candidate>,
) -> Result<(), Fatal> {
    let mut items = FoundItems(found);
    match lookup {
        Lookup::Objects(kind, namespace) => {
            let cluster = cluster(flags, environment.cluster).await?;
            names::objects(&cluster, *kind, namespace.as_deref(), &mut items).await
        }
        Lookup::Ports(target) => {
            names::ports(&cluster(flags, environment.cluster).await?, target, &mut items).await
        }
        Lookup::Namespaces => {
            names::namespaces(&cluster(flags, environment.cluster).await?, &mut items).await
        }
        Lookup::Contexts | Lookup::Clusters | Lookup::Users => {
            let kubeconfig = names::kubeconfig(flags, environment.cluster).await?;
            items.extend(match lookup {
                Lookup::Contexts => kubeconfig.contexts,
                Lookup::Clusters => kubeconfig.clusters,
                _ => kubeconfig.users,
            });
            Ok(())
        }
        Lookup::Forwards | Lookup::Logs => {
            let directories = SocketDirectories::new(&environment.sockets)?;
            // First what is there at once: a process that hangs uses up all the time.
            if *lookup == Lookup::Logs {
                ended(&flags, &directories, found).await;
            }
            forwards(&flags, &directories, found).await;
            Ok(())
        }
        Lookup::Sets => {
            let names =
                environment.configuration.map(|place| spawn_blocking(move || SetStore::new(&place).names()));
            if let Some(names) = names {
                let names = names.await.unwrap_or_default();
                found.extend(names.into_iter().map(|name| Candidate::new(name, "saved set")));
            }
            Ok(())
        }
    }
}

/// The cluster that the flags mean, asked without a word to the person.
async fn cluster(flags: Flags, environment: ClusterEnvironment) -> Result<Cluster, Fatal> {
    let environment = ClusterEnvironment { stdin_is_terminal: false, ..environment };
    let silent = WaitNotifier::silent();
    let config = ClusterConfig::find(flags, environment, &silent).await?;
    config.without_refresh().connect(&silent).await
}

/// Takes what the cluster finds for candidates.
struct FoundItems<'a>(&'a mut Vec<Candidate>);

impl Extend<NamedItem> for FoundItems<'_> {
    fn extend<T: IntoIterator<Item = NamedItem>>(&mut self, items: T) {
        self.0.extend(items.into_iter().map(|item| Candidate::new(item.name, item.about)));
    }
}

/// The forwards that run, by name and by id, as their processes answer: one that hangs holds up none of the others.
async fn forwards(flags: &Flags, directories: &SocketDirectories, found: &mut Vec<Candidate>) {
    let place = directories.clone();
    let sockets = spawn_blocking(move || place.sockets().0).await.unwrap_or_default();
    let request = [(methods::names::LIST, json!({}))];
    let mut asked: FuturesUnordered<_> = sockets.iter().map(|socket| call(socket, &request)).collect();
    while let Some(answer) = asked.next().await {
        let Some(Ok(answer)) = answer.ok().and_then(|mut answers| answers.pop()) else { continue };
        let forwards = serde_json::from_value::<Vec<PortForward>>(answer).unwrap_or_default();
        // In front of one that ended and had the same name.
        found.splice(0..0, forwards.iter().flat_map(|forward| named(forward, flags, "")));
    }
}

/// The forwards in the background that ended lately.
async fn ended(flags: &Flags, directories: &SocketDirectories, found: &mut Vec<Candidate>) {
    let records = read_records(directories).await;
    let forwards = records.ended.iter().filter_map(|found| found.row.forward.as_ref());
    found.extend(forwards.flat_map(|forward| named(forward, flags, "ended, ")));
}

/// The name and the id of a forward, if it is in the namespace and the context that the flags name.
fn named(forward: &PortForward, flags: &Flags, state: &str) -> Vec<Candidate> {
    if !is_wanted(forward, flags) {
        return Vec::new();
    }
    let about = format!("{state}{}", list::target(forward));
    let label = forward.label.iter().cloned();
    label.chain([forward.id.to_string()]).map(|name| Candidate::new(name, &about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn for_what_the_program_was_started() {
        let argv = words(&["svc/api", ""]);
        for name in ["kubectl_complete-fwd", "/usr/bin/kubectl_complete-fwd", "kubectl_complete-fwd.exe"] {
            assert_eq!(asked(OsStr::new(name), &argv), Some(&*argv), "{name}");
        }
        assert_eq!(asked(OsStr::new("kubectl-fwd"), &argv), None);
        assert_eq!(asked(OsStr::new("kubectl-fwd"), &words(&["__complete", "a"])), Some(&*words(&["a"])));
        assert_eq!(asked(OsStr::new(""), &[]), None);
    }

    /// A server that never answers costs the limit and nothing else.
    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_in_time_is_left_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let flags = Flags { server: Some(server), ..Flags::default() };
        let (began, mut found) = (tokio::time::Instant::now(), Vec::new());
        let looking = look_up(&Lookup::Namespaces, flags, Environment::default(), &mut found);
        assert!(timeout(complete::LOOKUP_LIMIT, looking).await.is_err());
        assert_eq!((began.elapsed(), found.len()), (complete::LOOKUP_LIMIT, 0));
    }
}
