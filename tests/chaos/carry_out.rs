//! A schedule as it is carried out, on the sandbox and on the process.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use sandbox::Sandbox;
use sandbox::faults::Denial;
use sandbox::support::{Failure, Test, processes};
use tokio::time::{sleep, sleep_until};

use crate::excuses::Excuses;
use crate::load::tally::Tally;
use crate::schedule::{App, Schedule, Step, Trouble, Which};

/// What a kubelet says in `Retry-After` is a minute; a run has no time for that.
const RETRY_AFTER: u64 = 1;

impl App {
    /// The workload behind it, and how many pods that has.
    pub(crate) fn workload(self) -> (&'static str, &'static str, u32) {
        match self {
            Self::Api => ("deploy", "api", 2),
            Self::Web => ("deploy", "web", 3),
            Self::Db => ("sts", "db", 2),
        }
    }
}

/// Where things go wrong.
pub(crate) struct Scene<'s> {
    pub(crate) sandbox: &'s Sandbox,
    /// The process under test.
    pub(crate) pid: u32,
    pub(crate) excuses: Arc<Excuses>,
    pub(crate) tally: Arc<Tally>,
    /// When the run began.
    pub(crate) begun: Instant,
    /// Troubles that there were, by kind.
    pub(crate) counts: Mutex<BTreeMap<&'static str, u32>>,
}

impl Scene<'_> {
    /// Both lanes, to their ends.
    pub(crate) async fn play(&self, schedule: &Schedule) -> Test {
        tokio::try_join!(self.lane(&schedule.pods), self.lane(&schedule.network))?;
        Ok(())
    }

    async fn lane(&self, steps: &[Step]) -> Test {
        for Step { at, lasts, trouble } in steps {
            sleep_until((self.begun + *at).into()).await;
            let length = if lasts.is_zero() { String::new() } else { format!(" for {lasts:?}") };
            say(&format!("{:8.3} s  {trouble}{length}", self.begun.elapsed().as_secs_f64()));
            self.excuses.open(*trouble, *lasts);
            let carried_out = self.carry_out(*trouble, *lasts).await;
            carried_out.map_err(|why| format!("{trouble} could not be brought about: {why}"))?;
            *self.counts.lock().entry(trouble.kind()).or_default() += 1;
        }
        Ok(())
    }

    async fn carry_out(&self, trouble: Trouble, lasts: Duration) -> Test {
        let Self { sandbox, .. } = self;
        let faults = sandbox.faults();
        match trouble {
            Trouble::PodDeleted(app, which)
            | Trouble::PodKilled(app, which)
            | Trouble::PodEvicted(app, which)
            | Trouble::ContainerExits(app, which)
            | Trouble::SandboxRecreated(app, which)
            | Trouble::Unready(app, which) => {
                let Some(pod) = self.pod(app, which)? else { return Ok(()) };
                // By now the pod may be on its way out for another reason, which is as good.
                let _ = self.trouble_pod(trouble, &pod, lasts).await;
            }
            Trouble::RolledOut(app) => {
                let (kind, name, _) = app.workload();
                sandbox.restart(kind, "default", name)?;
            }
            Trouble::ScaledToZero(app) => {
                let (kind, name, replicas) = app.workload();
                sandbox.scale(kind, "default", name, 0)?;
                sleep(lasts).await;
                sandbox.scale(kind, "default", name, replicas)?;
            }
            Trouble::ApiAway => {
                sandbox.stop_api().await;
                sleep(lasts).await;
                sandbox.resume_api().await?;
            }
            Trouble::ConnectionsReset => faults.reset_all(),
            Trouble::ConnectionsClosed => faults.close_all(),
            Trouble::UpgradesRefused { status, times } => {
                faults.deny(denial(status)?.path("/portforward").times(times));
                sleep(lasts).await;
                faults.clear();
            }
            Trouble::ListsRefused { status, times } => {
                for path in ["/pods?", "/endpointslices?"] {
                    faults.deny(denial(status)?.method(&Method::GET).path(path).times(times));
                }
                // A watch that is behind gets a 410, and what it follows is listed again.
                sandbox.compact();
                sleep(lasts).await;
                faults.clear();
            }
            Trouble::WatchExpired => sandbox.compact(),
            Trouble::BlackHole => {
                faults.black_hole(true);
                sleep(lasts).await;
                faults.clear();
            }
            Trouble::Latency { ms } => {
                faults.latency(Duration::from_millis(ms));
                sleep(lasts).await;
                faults.clear();
            }
            Trouble::ProcessStopped => {
                processes::signal(self.pid.into(), "STOP")?;
                sleep(lasts).await;
                processes::signal(self.pid.into(), "CONT")?;
            }
        }
        Ok(())
    }

    /// One of the pods that are ready, if there is any.
    fn pod(&self, app: App, which: Which) -> Result<Option<String>, Failure> {
        // Of a StatefulSet the one that is forwarded to.
        if app == App::Db {
            return Ok(Some("db-0".to_owned()));
        }
        let ready = self.sandbox.ready_pods("default", &format!("app={}", app.workload().1))?;
        let serving = self.tally.serving(app);
        Ok(match which {
            Which::Serving if ready.contains(&serving) => Some(serving),
            Which::Serving => ready.into_iter().next(),
            Which::Any(at) => ready.get(at % ready.len().max(1)).cloned(),
        })
    }

    async fn trouble_pod(&self, trouble: Trouble, pod: &str, lasts: Duration) -> Test {
        let Self { sandbox, .. } = self;
        match trouble {
            Trouble::PodKilled(..) => sandbox.force_delete("pod", "default", pod)?,
            Trouble::ContainerExits(..) => sandbox.kill_container("default", pod).await?,
            Trouble::SandboxRecreated(..) => self.recreate_sandbox(pod).await?,
            Trouble::Unready(..) => {
                sandbox.mark_ready("default", pod, false)?;
                sleep(lasts).await;
                sandbox.mark_ready("default", pod, true)?;
            }
            _ => sandbox.delete("pod", "default", pod)?,
        }
        Ok(())
    }

    /// The pod stays what it is for the API; on its node everything is new.
    async fn recreate_sandbox(&self, pod: &str) -> Test {
        let node = self.sandbox.node();
        let Some(old) = node.pods().into_iter().find(|one| one.namespace == "default" && one.name == pod)
        else {
            return Ok(());
        };
        let ports: Vec<u16> = old.ports.keys().copied().collect();
        node.stop_pod(&old.uid, Duration::ZERO).await;
        node.start_pod(&old.uid, &old.namespace, &old.name, &ports).await;
        Ok(())
    }
}

fn denial(status: u16) -> Result<Denial, Failure> {
    let denial = Denial::new(StatusCode::from_u16(status)?);
    Ok(if status == 429 { denial.retry_after(RETRY_AFTER) } else { denial })
}

/// Tells whoever reads what the tests print, which for a test that passes is by stderr itself alone.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "chaos: {line}");
}
