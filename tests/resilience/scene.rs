//! What a row has at hand: the cluster, a program that forwards, and its clients.

use std::path::Path;
use std::time::Duration;

use sandbox::Sandbox;
use sandbox::support::forward::{self, Forward};
use sandbox::support::pods::uid;
use sandbox::support::{Failure, Test, World, within};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::clients::{Clients, ask};
use crate::row::Row;

/// How long kubectl gets to answer again, from the moment when that is possible: some five times as long as the slowest recovery
/// of ours but those that wait for a silence.
const KUBECTL_PATIENCE: Duration = Duration::from_secs(20);

/// How often a request is made where those before it are not answered.
const ANEW: Duration = Duration::from_millis(250);

/// How long a dial may go on that is under way when new ones begin to fail.
const DIALS_END: Duration = Duration::from_millis(300);

/// By when a failure of all sessions is told, where it was one of all: a plugin that hangs is told after three seconds.
const SAID_BY: Duration = Duration::from_secs(10);

/// A failure while it happens.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) forward: Forward,
    /// The local port.
    port: u16,
    pub(crate) clients: Clients,
    /// The pod that answered before anything happened.
    first: String,
    clock: Instant,
    /// How long it took until the answer that was waited for, last of all.
    pub(crate) recovery: Option<Duration>,
    is_kubectl: bool,
}

impl Scene {
    /// A forward that works, and its clients: of kubectl where one is given.
    pub(crate) async fn open(row: &Row, kubectl: Option<&Path>) -> Result<Self, Failure> {
        let sandbox = Sandbox::start((row.options)()).await?;
        if let Some(prepare) = row.prepare {
            prepare(&sandbox).await?;
            sandbox.settled().await?;
        }
        let world = World::of(sandbox, env!("CARGO_BIN_EXE_kubectl-fwd"));
        let (forward, port) = match kubectl {
            None => world.working(row.line).await?,
            Some(kubectl) => {
                let words: Vec<&str> =
                    ["port-forward"].into_iter().chain(row.line.split_whitespace()).collect();
                let mut forward = Forward::spawn(forward::command(kubectl, &world.kubeconfig(), &words))?;
                let port = forward.port().await?;
                (forward, port)
            }
        };
        let clients = Clients::start(port).await?;
        let first = clients.until(|seen| seen.answers.first().map(|answer| answer.pod.clone()));
        let first = within("a first answer", first).await?;
        let (clock, is_kubectl) = (Instant::now(), kubectl.is_some());
        Ok(Self { world, forward, port, clients, first, clock, recovery: None, is_kubectl })
    }

    /// The cluster.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.world.sandbox
    }

    /// The pod that answered before anything happened.
    pub(crate) fn first(&self) -> String {
        self.first.clone()
    }

    /// The time to recovery counts from now: of the failure, or of what makes recovery possible.
    pub(crate) fn begin_now(&mut self) {
        self.clock = Instant::now();
    }

    /// Waits for the next line on stderr with this text. kubectl is not expected to say it.
    pub(crate) async fn says(&mut self, text: &str) -> Test {
        if !self.is_kubectl {
            self.forward.stderr(text).await?;
        }
        Ok(())
    }

    /// Ends all sessions, and waits for the line with this text that follows. A session that was being dialled just then goes
    /// on, and has the rest wait for it: such a one is ended as well.
    pub(crate) async fn ends_sessions_until(&mut self, text: &str) -> Test {
        sleep(DIALS_END).await;
        loop {
            self.world.sandbox.faults().end_sessions();
            if let Ok(said) = timeout(SAID_BY, self.says(text)).await {
                return said;
            }
        }
    }

    /// Waits until a request has failed since the clock was set.
    pub(crate) async fn fails(&self) -> Test {
        let failed = self.clients.until(|seen| seen.failed_at.filter(|at| *at >= self.clock));
        within("a request that fails", failed).await.map(drop)
    }

    /// Waits for an answer by such a pod, and notes how long it took. kubectl gets some time for it, and need not.
    pub(crate) async fn answered(&mut self, what: &str, is_right: impl Fn(&str) -> bool) -> Test {
        let right = self.clients.until(|seen| {
            let since = seen.answers.iter().skip_while(|answer| answer.at < self.clock);
            since.into_iter().find(|answer| is_right(&answer.pod)).map(|answer| answer.at)
        });
        let at = if self.is_kubectl {
            let ended = self.forward.exited();
            tokio::select! {
                at = timeout(KUBECTL_PATIENCE, right) => at.ok(),
                () = ended => None,
            }
        } else {
            let said = self.forward.said_on_stderr();
            Some(within(what, right).await.map_err(|why| format!("{why}; it said:\n{said}"))?)
        };
        self.recovery = at.map(|at| at - self.clock);
        Ok(())
    }

    /// Waits until the application on a port of a pod has had a request, which is the recovery where the pod stays the same.
    pub(crate) async fn reaches(&mut self, pod: &str, port: u16) -> Test {
        let uid = uid(self.sandbox(), pod)?;
        let node = self.world.sandbox.node();
        let asked = async {
            let stats = node.wait_for(&uid, port, |stats| stats.requests > 0).await;
            stats.map(|_| Instant::now())
        };
        let at = if self.is_kubectl {
            timeout(KUBECTL_PATIENCE, asked).await.ok().flatten()
        } else {
            Some(within("a request on the port", asked).await?.ok_or("the pod has no such port")?)
        };
        self.recovery = at.map(|at| at - self.clock);
        Ok(())
    }

    /// The pod that answered last.
    pub(crate) async fn last(&self) -> Result<String, Failure> {
        let last = self.clients.until(|seen| seen.answers.last().map(|answer| answer.pod.clone()));
        within("an answer", last).await
    }

    /// The same for a request that nobody made before: those that were under way may wait for a session that is silent.
    pub(crate) async fn answered_anew(&mut self, what: &str, is_right: impl Fn(&str) -> bool) -> Test {
        let mut requests = JoinSet::new();
        let asking = async {
            loop {
                let port = self.port;
                requests.spawn(async move { ask(port).await });
                while let Ok(Some(asked)) = timeout(ANEW, requests.join_next()).await {
                    if matches!(asked, Ok(Ok(pod)) if is_right(&pod)) {
                        return;
                    }
                }
            }
        };
        if self.is_kubectl {
            let asked = timeout(KUBECTL_PATIENCE, asking).await;
            self.recovery = asked.ok().map(|()| self.clock.elapsed());
            return Ok(());
        }
        let said = self.forward.said_on_stderr();
        within(what, asking).await.map_err(|why| format!("{why}; it said:\n{said}"))?;
        self.recovery = Some(self.clock.elapsed());
        Ok(())
    }

    /// Waits for any answer.
    pub(crate) async fn answered_again(&mut self) -> Test {
        self.answered("an answer", |_| true).await
    }

    /// Waits for an answer of another pod than at the beginning.
    pub(crate) async fn answered_elsewhere(&mut self) -> Test {
        let first = self.first();
        self.answered("an answer of another pod", move |pod| pod != first).await
    }
}
