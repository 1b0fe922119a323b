//! The panel at work: keys and what processes tell go into its state, what it wants done is done, and its screen is drawn.

mod actions;
pub(super) mod adding;
mod processes;
pub(super) mod screen;
pub(super) mod suspend;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

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
    adding::Adding,
    processes::{ProcessReport, Processes},
    screen::{Screen, ScreenContent, SharedContent},
    suspend::{SuspendRequest, Suspension},
};
use super::{
    held::tell_held,
    lifecycle::no_start,
    manage::is_wanted,
    picker::{Picker, PickerEnd, PickerPlan},
    signals::Signals,
};
use crate::{
    cli::resolve::CommonOptions,
    control::{client::CallError, follow::ProcessNews, server::ControlServer, sockets::SocketDirectories},
    error::Fatal,
    model::forward::PortForward,
    sets::SetStore,
    ui::{
        color::Styling,
        escape,
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
    /// How what is picked is started.
    pub adding: Adding,
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
    adding: Adding,
    scope: PanelScope,
}

impl<'a> Panel<'a> {
    fn new(
        scope: PanelScope,
        directories: Option<SocketDirectories>,
        setup: PanelSetup<'a>,
    ) -> Result<Self, Fatal> {
        let PanelSetup { sets, browser, common, adding } = setup;
        let suspension = Suspension::listen().map_err(|error| no_start("listening for Ctrl-Z", &error))?;
        let look = PanelLook { color: common.ui.colors.stdout == Styling::Ansi, unicode: common.has_unicode };
        let content = Arc::new(Mutex::new(DrawnPanel { state: PanelState::new(scope), look }));
        let (sender, results) = mpsc::channel(MAX_RESULTS);
        let actions = Actions { directories, sets, browser, results: sender };
        let screen = Screen::open(Arc::clone(&content) as SharedContent)?;
        Ok(Self { content, screen, suspension, actions, results, common, adding, scope })
    }

    async fn run<T>(
        mut self,
        mut processes: Processes,
        over: impl Future<Output = T>,
    ) -> Result<PanelEnd<T>, Fatal> {
        let ended = self.until_end(&mut processes, pin!(over)).await;
        self.screen.close().await;
        ended
    }

    async fn until_end<T>(
        &mut self,
        processes: &mut Processes,
        mut over: Pin<&mut impl Future<Output = T>>,
    ) -> Result<PanelEnd<T>, Fatal> {
        let mut tick = interval(TICK);
        // A suspended panel has nothing to catch up with.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                over = &mut over => return Ok(PanelEnd::Over(over)),
                key = self.screen.next() => match key {
                    Some(key) => Some(key),
                    None => return Ok(PanelEnd::Quit),
                },
                report = processes.next() => told(report, self.scope, self.common),
                Some(result) = self.results.recv() => Some(result),
                request = self.suspension.next() => {
                    self.suspend(request).await;
                    None
                }
                _ = tick.tick() => Some(PanelInput::Tick),
            };
            let Some(input) = input else { continue };
            let effect = self.content.lock().state.apply(input, Timestamp::now());
            let next = effect.map_or(Next::GoOn, |effect| self.perform(effect, processes));
            match next {
                Next::GoOn => {}
                Next::Quit => return Ok(PanelEnd::Quit),
                Next::Pick => {
                    if let Some(over) = self.pick(processes, over.as_mut()).await? {
                        return Ok(PanelEnd::Over(over));
                    }
                }
            }
            if !self.screen.changed() {
                return Err(Fatal::new("fwd::panel", "the panel cannot be shown any more")
                    .because("writing to the terminal failed"));
            }
        }
    }

    /// Shows the picker, and starts what is picked. What happens meanwhile is taken in all the same.
    async fn pick<T>(
        &mut self,
        processes: &mut Processes,
        mut over: Pin<&mut impl Future<Output = T>>,
    ) -> Result<Option<T>, Fatal> {
        let addresses = self.adding.addresses();
        let history = self.adding.history.as_ref();
        let plan = PickerPlan { common: self.common, addresses: &addresses, history };
        let picker = Picker::new(&plan).await;
        self.screen.show(picker.content());
        let (content, scope, common) = (&self.content, self.scope, self.common);
        let results = &mut self.results;
        let meanwhile = async move {
            loop {
                let input = tokio::select! {
                    over = &mut over => return over,
                    report = processes.next() => told(report, scope, common),
                    Some(result) = results.recv() => Some(result),
                };
                if let Some(input) = input {
                    content.lock().state.apply(input, Timestamp::now());
                }
            }
        };
        let ended = picker.run(&mut self.screen, &mut self.suspension, meanwhile).await;
        self.screen.show(Arc::clone(&self.content) as SharedContent);
        match ended? {
            PickerEnd::Over(over) => return Ok(Some(over)),
            PickerEnd::Left => {}
            PickerEnd::Picked(picked) => {
                let targets: Vec<_> =
                    picked.requests.iter().map(|request| request.target.to_string()).collect();
                let text = escape::line(&format!("starting {}", targets.join(", "))).into_owned();
                let notice = PanelInput::Notice(Severity::Plain, text);
                self.content.lock().state.apply(notice, Timestamp::now());
                self.actions.add(self.adding.clone(), picked);
            }
        }
        Ok(None)
    }

    fn perform(&self, effect: PanelEffect, processes: &Processes) -> Next {
        let actions = &self.actions;
        match effect {
            PanelEffect::Quit => return Next::Quit,
            PanelEffect::Add => return Next::Pick,
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
    /// A person is to pick what else to forward.
    Pick,
}

/// What a report of a process is to the panel.
fn told(report: ProcessReport, scope: PanelScope, common: &CommonOptions) -> Option<PanelInput> {
    let is_shown =
        |forward: &PortForward| scope == PanelScope::ThisProcess || is_wanted(forward, &common.flags);
    Some(match report {
        ProcessReport::Ended(pid) => PanelInput::Ended(pid),
        ProcessReport::News(pid, ProcessNews::Listed(forwards)) => {
            PanelInput::Listed(pid, forwards.into_iter().filter(is_shown).collect())
        }
        // One of a version that tells something else is listed all the same.
        ProcessReport::News(pid, ProcessNews::Told(event)) => {
            PanelInput::Told(pid, serde_json::from_value(event).ok()?)
        }
        ProcessReport::News(pid, ProcessNews::Unanswered(why)) => {
            let suspended = why == CallError::Suspended;
            let why = if suspended { UnansweredWhy::Suspended } else { UnansweredWhy::Silent };
            PanelInput::Unanswered(pid, why)
        }
    })
}
