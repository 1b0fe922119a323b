//! Does what the panel wants done. Nothing here is waited for by the panel: what came of it comes back as a notice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::{adding::Adding, processes::Processes};
use crate::{
    app::{browser, lifecycle::no_config_directory, log_file},
    control::{
        client::CallError, follow::ControlRequest, methods::names, rpc::codes, sockets::SocketDirectories,
    },
    error::Fatal,
    model::forward::{PortForward, TargetPod},
    sets::{Existing, ForwardSet, SetStore},
    ui::{
        escape,
        panel::effect::{ForwardRef, PanelInput},
        picker::effect::PickedForwards,
        wording::Severity,
    },
};

/// How long a process may take to stop a forward: it does not wait for its connections.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to reach a pod: somewhat longer than it gives itself.
const STEER_TIMEOUT: Duration = Duration::from_secs(65);
/// How long it may take to tell of pods, which it has at hand.
const PODS_TIMEOUT: Duration = Duration::from_secs(5);

/// What actions need.
#[derive(Clone)]
pub(super) struct Actions {
    pub directories: Option<SocketDirectories>,
    pub sets: Option<SetStore>,
    pub browser: Option<String>,
    /// Where notices go.
    pub results: mpsc::Sender<PanelInput>,
}

type Requests = mpsc::Sender<ControlRequest>;

impl Actions {
    /// Has this done beside everything else.
    fn spawn(&self, work: impl Future<Output = PanelInput> + Send + 'static) {
        let results = self.results.clone();
        tokio::spawn(async move {
            // A panel that is gone has nobody to tell.
            let _ = results.send(work.await).await;
        });
    }

    pub(super) fn stop(&self, processes: &Processes, all: &[ForwardRef]) {
        let mut by_process: BTreeMap<u32, Vec<ForwardRef>> = BTreeMap::new();
        for one in all {
            by_process.entry(one.pid).or_default().push(*one);
        }
        for (pid, forwards) in by_process {
            let requests = processes.requests(pid);
            self.spawn(async move {
                let mut stopped = 0;
                for one in forwards {
                    let params = json!({ "id": one.id });
                    match ask(requests.as_ref(), pid, names::STOP, params, STOP_TIMEOUT).await {
                        // It ended by itself meanwhile, which is as good.
                        Err(Refusal::Answer(code, _)) if code == codes::UNKNOWN_ID => stopped += 1,
                        Ok(_) => stopped += 1,
                        Err(refusal) => return refusal.notice(),
                    }
                }
                let text = if stopped == 1 {
                    "1 forward stopped".to_owned()
                } else {
                    format!("{stopped} forwards stopped")
                };
                PanelInput::Notice(Severity::Good, text)
            });
        }
    }

    pub(super) fn reconnect(&self, processes: &Processes, all: &[ForwardRef]) {
        for one in all {
            let (requests, pid) = (processes.requests(one.pid), one.pid);
            let params = json!({ "id": one.id });
            self.spawn(async move {
                match ask(requests.as_ref(), pid, names::RECONNECT, params, STEER_TIMEOUT).await {
                    Ok(_) => PanelInput::Notice(Severity::Good, "reconnecting".to_owned()),
                    Err(refusal) => refusal.notice(),
                }
            });
        }
    }

    pub(super) fn list_pods(&self, processes: &Processes, one: ForwardRef) {
        let requests = processes.requests(one.pid);
        self.spawn(async move {
            let params = json!({ "id": one.id });
            let answer = ask(requests.as_ref(), one.pid, names::PODS, params, PODS_TIMEOUT).await;
            match answer.map(serde_json::from_value::<Vec<TargetPod>>) {
                Ok(Ok(pods)) => PanelInput::Pods(one, pods),
                Ok(Err(_)) => Refusal::Silent(one.pid, "its answer is not valid".to_owned()).notice(),
                Err(refusal) => refusal.notice(),
            }
        });
    }

    pub(super) fn retarget(&self, processes: &Processes, one: ForwardRef, pod: String) {
        let requests = processes.requests(one.pid);
        self.spawn(async move {
            let params = json!({ "id": one.id, "pod": pod });
            match ask(requests.as_ref(), one.pid, names::RETARGET, params, STEER_TIMEOUT).await {
                Ok(_) => notice(Severity::Good, &format!("new connections go to pod {pod}")),
                Err(refusal) => refusal.notice(),
            }
        });
    }

    pub(super) fn save(&self, name: String, forwards: Vec<PortForward>) {
        let sets = self.sets.clone();
        self.spawn(async move {
            let saved = spawn_blocking(move || save(sets.as_ref(), &name, &forwards)).await;
            match saved {
                Ok(Ok(text)) => notice(Severity::Good, &text),
                Ok(Err(fatal)) => failed(&fatal),
                Err(_) => notice(Severity::Error, "a bug in kubectl fwd kept the set from being saved"),
            }
        });
    }

    /// Starts what was picked.
    pub(super) fn add(&self, adding: Adding, picked: PickedForwards) {
        self.spawn(async move {
            match adding.start(picked).await {
                Ok(text) => notice(Severity::Good, &text),
                Err(fatal) => failed(&fatal),
            }
        });
    }

    pub(super) fn open(&self, forward: &PortForward) {
        let (url, browser) = (browser::url_of(forward), self.browser.clone());
        self.spawn(async move {
            let Some(url) = url else {
                return notice(Severity::Warning, "a browser cannot open a Unix socket");
            };
            match browser::launch(&url, browser.as_deref()).await {
                Ok(()) => notice(Severity::Good, &format!("opened {url}")),
                Err(why) => notice(Severity::Error, &format!("{url} was not opened: {why}")),
            }
        });
    }

    pub(super) fn read_log(&self, pid: u32) {
        let directories = self.directories.clone();
        self.spawn(async move {
            let read = move || {
                let logs = directories.map(|directories| directories.logs()).unwrap_or_default();
                let (_, path) = logs.into_iter().find(|(own, _)| *own == pid)?;
                let text = log_file::read(&path).ok()?;
                Some(text.lines().map(|line| escape::line(line).into_owned()).collect())
            };
            PanelInput::Log(pid, spawn_blocking(read).await.unwrap_or_default())
        });
    }
}

/// Why something was not done.
enum Refusal {
    /// The process said so: the code and the words.
    Answer(i64, String),
    /// It said nothing.
    Silent(u32, String),
}

impl Refusal {
    fn notice(self) -> PanelInput {
        match self {
            Self::Answer(_, text) => notice(Severity::Error, &text),
            Self::Silent(pid, why) => {
                notice(Severity::Error, &format!("process {pid} does not answer: {why}"))
            }
        }
    }
}

fn notice(severity: Severity, text: &str) -> PanelInput {
    PanelInput::Notice(severity, escape::line(text).into_owned())
}

fn failed(fatal: &Fatal) -> PanelInput {
    let why: Vec<_> = fatal.causes().collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(": ")) };
    notice(Severity::Error, &format!("{fatal}{why}"))
}

async fn ask(
    requests: Option<&Requests>,
    pid: u32,
    method: &'static str,
    params: Value,
    limit: Duration,
) -> Result<Value, Refusal> {
    let silent = |why: &str| Refusal::Silent(pid, why.to_owned());
    let (answer, answered) = oneshot::channel();
    let asked = async {
        let requests = requests.ok_or_else(|| silent("it has ended"))?;
        let request = ControlRequest { method, params, answer };
        requests.send(request).await.map_err(|_| silent("it has ended"))?;
        answered.await.map_err(|_| silent("it closed the connection"))
    };
    match timeout(limit, asked).await {
        Err(_) => Err(silent(&format!("nothing came for {} s", limit.as_secs()))),
        Ok(answer) => answer?.map_err(|error| match error {
            CallError::Refused(error) => Refusal::Answer(error.code, error.message),
            CallError::Suspended => silent("it is suspended"),
            CallError::Silent(why) => silent(&why),
        }),
    }
}

fn save(sets: Option<&SetStore>, name: &str, forwards: &[PortForward]) -> Result<String, Fatal> {
    let sets = sets.ok_or_else(no_config_directory)?;
    sets.path(name)?;
    let set = ForwardSet::of(forwards)?;
    let lock = sets.lock(|_| {})?;
    sets.save(&lock, name, &set, Existing::Keep)?;
    let count = set.forwards();
    let forwards = if count == 1 { "1 forward".to_owned() } else { format!("{count} forwards") };
    Ok(format!("{forwards} saved. Start: kubectl fwd up {name}"))
}
