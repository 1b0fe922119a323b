//! The panel at work: keys and what processes tell go into its state, what it wants done is done, and its screen is drawn.

mod actions;
mod processes;
pub(super) mod screen;
pub(super) mod suspend;

use std::{pin::pin, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use parking_lot::Mutex;
use ratatui::Frame;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::{
    actions::Actions,
    processes::{ProcessReport, Processes},
    screen::{Screen, ScreenContent, SharedContent},
    suspend::{SuspendRequest, Suspension},
};
use super::{held::tell_held, lifecycle::no_start, manage::is_wanted, signals::Signals};
use crate::{
    cli::resolve::CommonOptions,
    control::{client::CallError, follow::ProcessNews, server::ControlServer, sockets::SocketDirectories},
    error::Fatal,
    model::forward::PortForward,
    sets::SetStore,
    ui::{
        color::Styling,
        panel::{
            draw::{PanelLook, draw},
            effect::{PanelEffect, PanelInput, UnansweredWhy},
            state::{PanelScope, PanelState},
        },
        people::PeopleOutput,
        wording::Severity,
    },
};

/// How often time is told to the panel: its ages are in seconds.
const TICK: Duration = Duration::from_secs(1);
/// Notices that wait to be shown: one for each thing that a person has just asked for.
const MAX_RESULTS: usize = 64;

/// What the panel works with.
pub(super) struct PanelSetup<'a> {
    /// Where sets are saved.
    pub sets: Option<SetStore>,
    /// `$BROWSER`.
    pub browser: Option<String>,
    pub common: &'a CommonOptions,
}

/// Why the panel is over.
pub(super) enum PanelEnd<T> {
    /// Its user has left it.
    Quit,
    /// What it was to be shown for is over.
    Over(T),
}

/// The state, and how it is drawn.
struct DrawnPanel {
    state: PanelState,
    look: PanelLook,
}

impl ScreenContent for DrawnPanel {
    fn draw(&mut self, frame: &mut Frame<'_>) {
        draw(frame, &mut self.state, self.look, Timestamp::now());
    }
}

/// `ui`: the panel of all processes. The forwards go on when it is left.
pub(super) async fn ui(
    directories: SocketDirectories,
    setup: PanelSetup<'_>,
    people: &PeopleOutput,
) -> Result<u8, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let processes = Processes::of_user(directories.clone());
    let panel = Panel::new(PanelScope::AllProcesses, Some(directories), setup)?;
    people.hold();
    let ended = panel.run(processes, signals.next()).await;
    tell_held(people, "the panel was shown");
    ended.map(|_| 0)
}

/// `--ui`: the panel of this process, until `over`.
pub(super) async fn of_process<T>(
    server: Arc<ControlServer>,
    setup: PanelSetup<'_>,
    over: impl Future<Output = T>,
) -> Result<PanelEnd<T>, Fatal> {
    let panel = Panel::new(PanelScope::ThisProcess, None, setup)?;
    panel.run(Processes::own(server), over).await
}

struct Panel<'a> {
    content: Arc<Mutex<DrawnPanel>>,
    screen: Screen,
    suspension: Suspension,
    actions: Actions,
    results: mpsc::Receiver<PanelInput>,
    common: &'a CommonOptions,
    scope: PanelScope,
}

impl<'a> Panel<'a> {
    fn new(
        scope: PanelScope,
        directories: Option<SocketDirectories>,
        setup: PanelSetup<'a>,
    ) -> Result<Self, Fatal> {
        let PanelSetup { sets, browser, common } = setup;
        let suspension = Suspension::listen().map_err(|error| no_start("listening for Ctrl-Z", &error))?;
        let look = PanelLook { color: common.ui.colors.stdout == Styling::Ansi, unicode: common.has_unicode };
        let content = Arc::new(Mutex::new(DrawnPanel { state: PanelState::new(scope), look }));
        let (sender, results) = mpsc::channel(MAX_RESULTS);
        let actions = Actions { directories, sets, browser, results: sender };
        let screen = Screen::open(Arc::clone(&content) as SharedContent)?;
        Ok(Self { content, screen, suspension, actions, results, common, scope })
    }

    async fn run<T>(
        mut self,
        mut processes: Processes,
        over: impl Future<Output = T>,
    ) -> Result<PanelEnd<T>, Fatal> {
        let mut over = pin!(over);
        let mut tick = interval(TICK);
        // A suspended panel has nothing to catch up with.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            let input = tokio::select! {
                over = &mut over => break PanelEnd::Over(over),
                key = self.screen.next() => match key {
                    Some(key) => Some(key),
                    None => break PanelEnd::Quit,
                },
                report = processes.next() => self.input(report),
                Some(result) = self.results.recv() => Some(result),
                request = self.suspension.next() => {
                    self.suspend(request).await;
                    None
                }
                _ = tick.tick() => Some(PanelInput::Tick),
            };
            let Some(input) = input else { continue };
            let effect = self.content.lock().state.apply(input, Timestamp::now());
            if let Some(effect) = effect
                && self.perform(effect, &processes) == Next::Quit
            {
                break PanelEnd::Quit;
            }
            if !self.screen.changed() {
                self.screen.close().await;
                return Err(Fatal::new("fwd::panel", "the panel cannot be shown any more")
                    .because("writing to the terminal failed"));
            }
        };
        self.screen.close().await;
        Ok(ended)
    }

    /// What a report of a process is to the panel.
    fn input(&self, report: ProcessReport) -> Option<PanelInput> {
        Some(match report {
            ProcessReport::Ended(pid) => PanelInput::Ended(pid),
            ProcessReport::News(pid, ProcessNews::Listed(forwards)) => {
                PanelInput::Listed(pid, forwards.into_iter().filter(|one| self.is_shown(one)).collect())
            }
            // One of a version that tells something else is listed all the same.
            ProcessReport::News(pid, ProcessNews::Told(event)) => {
                PanelInput::Told(pid, serde_json::from_value(event).ok()?)
            }
            ProcessReport::News(pid, ProcessNews::Unanswered(why)) => {
                let suspended = why == CallError::Suspended;
                PanelInput::Unanswered(
                    pid,
                    if suspended { UnansweredWhy::Suspended } else { UnansweredWhy::Silent },
                )
            }
        })
    }

    fn is_shown(&self, forward: &PortForward) -> bool {
        self.scope == PanelScope::ThisProcess || is_wanted(forward, self.common)
    }

    fn perform(&self, effect: PanelEffect, processes: &Processes) -> Next {
        let actions = &self.actions;
        match effect {
            PanelEffect::Quit => return Next::Quit,
            PanelEffect::Stop(all) => actions.stop(processes, &all),
            PanelEffect::Reconnect(all) => actions.reconnect(processes, &all),
            PanelEffect::ListPods(one) => actions.list_pods(processes, one),
            PanelEffect::Retarget(one, pod) => actions.retarget(processes, one, pod),
            PanelEffect::Save { name, forwards } => actions.save(name, forwards),
            // OSC 52. A terminal that does not know it, or may not, shows nothing of it.
            PanelEffect::Copy(text) => {
                self.screen.send(format!("\u{1b}]52;c;{}\u{7}", STANDARD.encode(text)));
            }
            PanelEffect::Open(forward) => actions.open(&forward),
            PanelEffect::ReadLog(pid) => actions.read_log(pid),
            PanelEffect::Redraw => self.screen.redraw(),
            PanelEffect::Suspend => {
                if !Suspension::suspend_job() {
                    let text = "no shell would continue this program, so it is not suspended".to_owned();
                    self.content
                        .lock()
                        .state
                        .apply(PanelInput::Notice(Severity::Warning, text), Timestamp::now());
                }
            }
        }
        Next::GoOn
    }

    async fn suspend(&self, request: SuspendRequest) {
        if request == SuspendRequest::Stop {
            self.screen.leave().await;
            Suspension::stop_now();
        }
        self.screen.come_back();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Quit,
}
