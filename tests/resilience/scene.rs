//! What a row has at hand: the cluster, a program that forwards, and its clients.

use std::path::Path;
use std::time::Duration;

use sandbox::Sandbox;
use sandbox::support::forward::{self, Forward};
use sandbox::support::pods::uid;
use sandbox::support::{Failure, Test, World, within};
use tokio::time::{Instant, timeout};

use crate::clients::Clients;
use crate::row::Row;

/// How long kubectl gets to answer again, from the moment when that is possible: some five times as long as the slowest recovery
/// of ours but those that wait for a silence.
const KUBECTL_PATIENCE: Duration = Duration::from_secs(20);

/// A failure while it happens.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) forward: Forward,
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
        Ok(Self { world, forward, clients, first, clock, recovery: None, is_kubectl })
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
    pub(crate) fn from_now(&mut self) {
        self.clock = Instant::now();
    }

    /// Waits for the next line on stderr with this text. kubectl is not expected to say it.
    pub(crate) async fn says(&mut self, text: &str) -> Test {
        if !self.is_kubectl {
            self.forward.stderr(text).await?;
        }
        Ok(())
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
