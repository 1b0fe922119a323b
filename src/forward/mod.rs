//! F3, forwarding: local ends, the connections they accept, and the supervisor of each target.
//!
//! [`start`] is the one way in: every target is resolved, every local end bound, and only then anything runs; it
//! returns once all of it works, or with the first reason why it does not and nothing left behind.

mod conflict;
mod connection;
mod listener;
mod local;
mod report;
mod route;
mod supervisor;

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::report::Events;
use self::{
    connection::Context,
    listener::{Instead, Listening},
    report::Reporter,
    supervisor::Supervisor,
};
use crate::{
    cluster::{
        client::Cluster,
        examine::examine,
        target::{self, Resolved},
        watch::{self as pods, Snapshot},
    },
    error::Fatal,
    model::{
        event::Happening,
        forward::ForwardId,
        ports::{Address, Local, PortSpec, Remote},
        target::Target,
    },
    policy::select,
    tunnel::dial::Dialer,
};

/// How long sessions have to close in order once their connections were ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// A target and the ports wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to forward to.
    pub target: Target,
    /// Its ports, at least one.
    pub ports: Vec<PortSpec>,
}

/// How to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a connection waits for a ready pod.
    pub hold: Duration,
    /// How long the start waits for one.
    pub pod_running_timeout: Duration,
    /// A taken local port is replaced by the next free one.
    pub auto_port: bool,
    /// A failed round of attempts ends everything.
    pub give_up: bool,
    /// Peers are sent no more than their queues hold (PROTOCOL §2.8).
    pub credit: bool,
    /// Where to listen, for ports that do not say.
    pub addresses: Vec<Address>,
}

/// Forwards at work.
pub struct Running {
    /// What supervisors gave up with.
    gave_up: mpsc::Receiver<Fatal>,
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// A target on its way to being forwarded.
struct Prepared {
    request: Request,
    resolved: Arc<Resolved>,
    pods: watch::Receiver<Snapshot>,
    reporter: Reporter,
    ends: Vec<(Remote, Listening)>,
}

/// Starts all of `requests`, or none.
pub async fn start(
    cluster: Arc<Cluster>,
    requests: Vec<Request>,
    options: Options,
    events: Events,
) -> Result<Running, Fatal> {
    let (stop, kill, tracker) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    let (give_up, gave_up) = mpsc::channel(1);
    let mut running = Running { gave_up, tracker, stop, kill };
    match running.start(&cluster, requests, &options, &events, give_up).await {
        Ok(()) => Ok(running),
        Err(fatal) => {
            running.shutdown(Duration::ZERO).await;
            Err(fatal)
        }
    }
}

impl Running {
    /// Resolves only when there is nothing left to do: a target was given up.
    pub async fn finished(&mut self) -> Fatal {
        match self.gave_up.recv().await {
            Some(fatal) => fatal,
            None => std::future::pending().await,
        }
    }

    /// Stops accepting, lets connections finish for at most `grace`, ends every task.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(grace, self.tracker.wait()).await.is_err() {
            self.kill.cancel();
            // Sessions say good-bye once their last stream is gone. A dial that hangs is not waited for.
            let _ = timeout(FAREWELL, self.tracker.wait()).await;
        }
    }

    async fn start(
        &mut self,
        cluster: &Arc<Cluster>,
        requests: Vec<Request>,
        options: &Options,
        events: &Events,
        give_up: mpsc::Sender<Fatal>,
    ) -> Result<(), Fatal> {
        let resolved = try_join_all(requests.iter().map(|request| async {
            let resolved = target::resolve(cluster, &request.target).await?;
            resolved.check(&request.ports)?;
            Ok(Arc::new(resolved))
        }))
        .await?;
        let mut prepared = Vec::new();
        for (request, resolved) in requests.into_iter().zip(resolved) {
            let ids: Vec<_> = request.ports.iter().map(|_| ForwardId::from_bits(fastrand::u64(..))).collect();
            let reporter = Reporter::new(events.clone(), ids, request.target.to_string());
            let teller = reporter.clone();
            let notice = move |text| teller.tell(Happening::Notice { text });
            let pods = pods::follow(cluster, &resolved, &self.tracker, self.stop.clone(), notice);
            prepared.push(Prepared { request, resolved, pods, reporter, ends: Vec::new() });
        }
        try_join_all(prepared.iter_mut().map(|target| target.first_look(cluster))).await?;
        for target in &mut prepared {
            target.bind(options).await?;
        }
        let dialer = Dialer::new(Arc::clone(cluster), self.tracker.clone(), options.credit);
        let mut routes = Vec::new();
        for target in prepared {
            routes.push(self.spawn(target, &dialer, options, &give_up));
        }
        drop(give_up);
        let all_open = async {
            for mut opened in routes {
                // Its sender is dropped only with the supervisor, which gives up first.
                if opened.wait_for(|opened| *opened).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = all_open => Ok(()),
            Some(fatal) = self.gave_up.recv() => Err(fatal),
        }
    }

    /// Starts one target's supervisor and the accept loops of its local ends. The receiver turns true once it works.
    fn spawn(
        &self,
        target: Prepared,
        dialer: &Dialer,
        options: &Options,
        give_up: &mpsc::Sender<Fatal>,
    ) -> watch::Receiver<bool> {
        let Prepared { resolved, pods, reporter, ends, .. } = target;
        let (publish, suspects, router) = route::channel();
        let mut working = Vec::new();
        for (remote, listening) in ends {
            working.push((remote.clone(), listening.bound.clone()));
            let context = Context::new(
                router.clone(),
                Arc::clone(&resolved),
                remote,
                options.hold,
                reporter.clone(),
                self.stop.clone(),
            );
            let (tracker, stop, kill) = (self.tracker.clone(), self.stop.clone(), self.kill.clone());
            self.tracker.spawn(listener::accept(listening, Arc::new(context), tracker, stop, kill));
        }
        let (works, opened) = watch::channel(false);
        let (dialer, options) = (dialer.clone(), options.clone());
        let supervisor = Supervisor {
            pods,
            dialer,
            resolved,
            ends: working,
            route: publish,
            suspects,
            reporter,
            options,
            works,
        };
        let (stop, give_up) = (self.stop.clone(), give_up.clone());
        self.tracker.spawn(async move {
            if let Some(fatal) = stop.run_until_cancelled(supervisor.run()).await {
                // One that gave up is enough: whoever listens ends all of them.
                let _ = give_up.try_send(fatal);
            }
        });
        opened
    }
}

fn no_port(target: &str, remote: &Remote, why: String) -> Fatal {
    Fatal::new("fwd::port::unknown", format!("cannot forward to port {remote} of {target}"))
        .because(why)
        .help("`kubectl describe pod` shows the declared ports; others can be forwarded by number, if they are TCP")
}

impl Prepared {
    /// Waits for the first word about the pods. Where it is not a good one, finds out whether there is hope.
    async fn first_look(&mut self, cluster: &Cluster) -> Result<(), Fatal> {
        let told = self.pods.wait_for(|set| set.synced || set.problem.is_some()).await;
        if told.is_ok_and(|set| select::choose(&set.pods, None).is_some()) {
            return Ok(());
        }
        examine(cluster, &self.resolved).await
    }

    /// Binds every local end of the target.
    async fn bind(&mut self, options: &Options) -> Result<(), Fatal> {
        for port in &self.request.ports {
            let same = match (&port.local, self.resolved.same_local(&port.remote)) {
                (Local::Same, Some(number)) => number,
                (Local::Same, None) => {
                    let target = self.request.target.to_string();
                    same_in_pod(&target, &self.resolved, &mut self.pods, &port.remote, options).await?
                }
                _ => 0,
            };
            let addresses = match port.address {
                Some(address) => &[address],
                None => options.addresses.as_slice(),
            };
            let (listening, instead) =
                listener::bind(&port.local, same, addresses, options.auto_port).await?;
            if let Some(Instead { wanted, bound }) = instead {
                self.reporter.tell(Happening::OtherPort { wanted, bound });
            }
            self.ends.extend(listening.into_iter().map(|listening| (port.remote.clone(), listening)));
        }
        Ok(())
    }
}

/// The number of a pod's named port, where the local port is to be the same: known only from a pod.
async fn same_in_pod(
    target: &str,
    resolved: &Resolved,
    pods: &mut watch::Receiver<Snapshot>,
    remote: &Remote,
    options: &Options,
) -> Result<u16, Fatal> {
    let unknown = |why: String| {
        Fatal::new("fwd::port::unknown", format!("the local port for '{remote}' is not known"))
            .because(why)
            .help(format!(
                "name the local port as well, for example 8080:{remote}, or :{remote} for any free one"
            ))
    };
    let deadline = Instant::now() + options.pod_running_timeout;
    let found = timeout_at(deadline, pods.wait_for(|set| select::choose(&set.pods, None).is_some())).await;
    match found {
        Ok(Ok(set)) => match select::choose(&set.pods, None) {
            Some(pod) => resolved.pod_port(remote, pod).map_err(|why| no_port(target, remote, why)),
            None => Err(unknown("no pod is ready".to_owned())),
        },
        _ => Err(unknown(format!("no pod was ready within {:?}", options.pod_running_timeout))),
    }
}
