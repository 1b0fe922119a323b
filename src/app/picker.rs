//! The picker at work: keys and what the cluster tells go into its state, and what it wants done is done.

use std::{ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use parking_lot::Mutex;
use ratatui::Frame;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::interval,
};

use super::{
    held::tell_held,
    history::History,
    lifecycle::no_start,
    panel::{
        screen::{Screen, ScreenContent, SharedContent},
        suspend::{SuspendRequest, Suspension},
    },
    signals::Signals,
};
use crate::{
    cli::resolve::CommonOptions,
    cluster::{
        catalog::{self, CatalogPages, KINDS, ListEnd},
        client::{Cluster, ClusterConfig},
        config::flags::{ClusterEnvironment, Flags},
        names::{self, NamedItem},
        wait_notifier::WaitNotifier,
    },
    error::Fatal,
    forward::proposal,
    model::{
        ports::Address,
        target::{Kind, Target},
    },
    ui::{
        color::Styling,
        panel::{draw::PanelLook, effect::PanelInput},
        people::PeopleOutput,
        picker::{
            draw::draw_picker,
            effect::{PickedForwards, PickerEffect, PickerInput, PickerPlace, PortWish},
            entry::PlaceEntry,
            state::PickerState,
        },
    },
};

/// How often time is told to the picker: it shows for how long something is waited for.
const TICK: Duration = Duration::from_secs(1);
/// Pages of lists that wait to be taken in. The server waits with more.
const MAX_NEWS: usize = 8;
/// Kinds that are listed at a time: enough that none waits for a slow one, and few connections.
const LISTS: usize = 3;

/// Where the picker looks, and what it goes by.
pub(super) struct PickerPlan<'a> {
    /// What the flags of the command line mean.
    pub common: &'a CommonOptions,
    /// Where is listened, for local ports that are free.
    pub addresses: &'a [Address],
    /// What was used before.
    pub history: Option<&'a History>,
}

/// Why the picker is over.
pub(super) enum PickerEnd<T> {
    /// These were chosen.
    Picked(PickedForwards),
    /// Its user has left it.
    Left,
    /// What it was to be shown for is over.
    Over(T),
}

/// The state, and how it is drawn.
struct DrawnPicker {
    state: PickerState,
    look: PanelLook,
}

impl ScreenContent for DrawnPicker {
    fn draw(&mut self, frame: &mut Frame<'_>) {
        draw_picker(frame, &mut self.state, self.look, Timestamp::now());
    }
}

/// Has a person pick on the whole terminal. None where the person left, or a signal ended it.
pub(super) async fn pick(
    plan: PickerPlan<'_>,
    people: &PeopleOutput,
) -> Result<Option<PickedForwards>, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let mut suspension = Suspension::listen().map_err(|error| no_start("listening for Ctrl-Z", &error))?;
    let picker = Picker::new(&plan).await;
    let mut screen = Screen::open(picker.content())?;
    people.hold();
    let ended = picker.run(&mut screen, &mut suspension, signals.next()).await;
    screen.close().await;
    tell_held(people, "the picker was shown");
    Ok(match ended? {
        PickerEnd::Picked(picked) => Some(picked),
        PickerEnd::Left | PickerEnd::Over(_) => None,
    })
}

/// The picker, on whichever screen.
pub(super) struct Picker<'a> {
    plan: &'a PickerPlan<'a>,
    drawn: Arc<Mutex<DrawnPicker>>,
    objects: ClusterLookup,
    places: PlaceLookup,
}

impl<'a> Picker<'a> {
    /// Begins to list what there is.
    pub(super) async fn new(plan: &'a PickerPlan<'a>) -> Self {
        let used = match plan.history {
            Some(history) => history.read().await,
            None => Vec::new(),
        };
        let common = plan.common;
        let look = PanelLook { color: common.ui.colors.stdout == Styling::Ansi, unicode: common.has_unicode };
        let state = PickerState::new(used, Timestamp::now());
        let objects =
            ClusterLookup::begin(flags(common, &PickerPlace::default()), common.environment.clone());
        Self { plan, drawn: Arc::new(Mutex::new(DrawnPicker { state, look })), objects, places: None }
    }

    /// What is to be shown.
    pub(super) fn content(&self) -> SharedContent {
        Arc::clone(&self.drawn) as SharedContent
    }

    /// Goes on until something is chosen. The screen shows its content already, and shows it still in the end.
    pub(super) async fn run<T>(
        mut self,
        screen: &mut Screen,
        suspension: &mut Suspension,
        over: impl Future<Output = T>,
    ) -> Result<PickerEnd<T>, Fatal> {
        let mut over = pin!(over);
        let mut tick = interval(TICK);
        loop {
            let input = tokio::select! {
                over = &mut over => return Ok(PickerEnd::Over(over)),
                key = screen.next() => match key {
                    Some(PanelInput::Key(key)) => PickerInput::Key(key),
                    Some(PanelInput::Click(_, row)) => PickerInput::Click(row),
                    Some(PanelInput::Wheel(turn)) => PickerInput::Wheel(turn),
                    Some(_) => PickerInput::Tick,
                    None => return Ok(PickerEnd::Left),
                },
                news = self.objects.next() => news,
                news = next(&mut self.places) => news,
                request = suspension.next() => {
                    if request == SuspendRequest::Stop {
                        screen.leave().await;
                        Suspension::stop_now();
                    }
                    screen.come_back();
                    PickerInput::Tick
                }
                _ = tick.tick() => PickerInput::Tick,
            };
            if let ControlFlow::Break(end) = self.apply(input, screen) {
                return Ok(end.map_or(PickerEnd::Left, PickerEnd::Picked));
            }
            if !screen.changed() {
                return Err(Fatal::new("fwd::picker", "the list cannot be shown any more")
                    .because("writing to the terminal failed"));
            }
        }
    }

    /// Takes in what has happened, and does what is wanted then. Gives what was chosen in the end, or nothing.
    fn apply(&mut self, input: PickerInput, screen: &Screen) -> ControlFlow<Option<PickedForwards>> {
        let mut input = Some(input);
        while let Some(some) = input.take() {
            let effect = self.drawn.lock().state.apply(some, Timestamp::now());
            let Some(effect) = effect else { break };
            match effect {
                PickerEffect::Done(picked) => return ControlFlow::Break(Some(picked)),
                PickerEffect::Leave => return ControlFlow::Break(None),
                PickerEffect::Redraw => screen.redraw(),
                PickerEffect::Suspend => {
                    if !Suspension::suspend_job() {
                        let text = "no shell would continue this program, so it is not suspended";
                        input = Some(PickerInput::Notice(text.to_owned()));
                    }
                }
                PickerEffect::FindPort(wish, taken) => {
                    let addresses = self.plan.addresses;
                    input = Some(PickerInput::FreePort(match wish {
                        PortWish::For(port) => proposal::propose(port, addresses, &taken),
                        PortWish::From(port) => proposal::nearest(port, addresses, &taken),
                    }));
                }
                PickerEffect::Load(place) => {
                    let common = self.plan.common;
                    self.places = None;
                    self.objects = ClusterLookup::begin(flags(common, &place), common.environment.clone());
                }
                PickerEffect::ListNamespaces => self.places = Some(self.objects.namespaces()),
                PickerEffect::ListContexts => {
                    let common = self.plan.common;
                    self.places = Some(contexts(common.flags.clone(), common.environment.clone()));
                }
                PickerEffect::ReadPorts(target) => self.places = Some(self.objects.ports(target)),
            }
        }
        ControlFlow::Continue(())
    }
}

/// The flags of the command line, with another place where one was chosen.
fn flags(common: &CommonOptions, place: &PickerPlace) -> Flags {
    let mut flags = common.flags.clone();
    if let Some(context) = &place.context {
        // It has a namespace of its own.
        (flags.context, flags.namespace) = (Some(context.clone()), None);
    }
    if let Some(namespace) = &place.namespace {
        flags.namespace = Some(namespace.clone());
    }
    flags
}

/// Something that is looked up, and ended with this.
struct PickerLookup {
    _tasks: JoinSet<()>,
    news: mpsc::Receiver<PickerInput>,
}

type PlaceLookup = Option<PickerLookup>;
type NewsSender = mpsc::Sender<PickerInput>;
/// A cluster, once it can be talked to.
type ConnectedCluster = watch::Receiver<Option<Cluster>>;

impl PickerLookup {
    fn begin<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(NewsSender) -> F) -> Self {
        let (sender, news) = mpsc::channel(MAX_NEWS);
        let mut tasks = JoinSet::new();
        tasks.spawn(work(sender));
        Self { _tasks: tasks, news }
    }
}

/// What a lookup has found next. Waits for ever where there is nothing more.
async fn next(lookup: &mut PlaceLookup) -> PickerInput {
    if let Some(PickerLookup { news, .. }) = lookup
        && let Some(input) = news.recv().await
    {
        return input;
    }
    std::future::pending().await
}

/// What there is in a namespace.
struct ClusterLookup {
    lookup: PlaceLookup,
    cluster: ConnectedCluster,
}

impl ClusterLookup {
    fn begin(flags: Flags, environment: ClusterEnvironment) -> Self {
        let (connected, cluster) = watch::channel(None);
        let lookup = PickerLookup::begin(|news| async move {
            if let Err(fatal) = look_up(flags, environment, &connected, &news).await {
                let _ = news.send(PickerInput::Failed(fatal)).await;
            }
        });
        Self { lookup: Some(lookup), cluster }
    }

    async fn next(&mut self) -> PickerInput {
        next(&mut self.lookup).await
    }

    fn namespaces(&self) -> PickerLookup {
        let cluster = self.cluster.clone();
        PickerLookup::begin(|news| async move {
            let Some(cluster) = connected(cluster).await else {
                let _ = news.send(PickerInput::PlacesListed(Err(no_cluster("list the namespaces")))).await;
                return;
            };
            let mut pages = CatalogPages::of_namespaces(cluster);
            let ended = loop {
                match pages.next().await {
                    Ok(Some(names)) => {
                        let entry = |name| PlaceEntry { name, about: String::new() };
                        let places = names.into_iter().map(entry).collect();
                        let _ = news.send(PickerInput::Places(places)).await;
                    }
                    Ok(None) => break Ok(()),
                    Err(fatal) => break Err(fatal),
                }
            };
            let _ = news.send(PickerInput::PlacesListed(ended)).await;
        })
    }

    fn ports(&self, target: Target) -> PickerLookup {
        let cluster = self.cluster.clone();
        PickerLookup::begin(|news| async move {
            let ports = match connected(cluster).await {
                Some(cluster) => catalog::ports_of(&cluster, &target).await,
                None => Err(no_cluster(&format!("read the ports of {target}"))),
            };
            let _ = news.send(PickerInput::Ports(target, ports)).await;
        })
    }
}

fn no_cluster(doing: &str) -> Fatal {
    Fatal::new("fwd::picker::no_cluster", format!("cannot {doing}"))
        .because("there is no connection to the cluster")
}

/// The cluster, once it can be talked to. None where it cannot be.
async fn connected(mut cluster: ConnectedCluster) -> Option<Cluster> {
    cluster.wait_for(Option::is_some).await.ok().and_then(|cluster| cluster.clone())
}

fn contexts(flags: Flags, environment: ClusterEnvironment) -> PickerLookup {
    PickerLookup::begin(|news| async move {
        let ended = match names::kubeconfig(flags, environment).await {
            Ok(found) => {
                let entry = |one: NamedItem| PlaceEntry { name: one.name, about: one.about };
                let contexts = found.contexts.into_iter().map(entry).collect();
                let _ = news.send(PickerInput::Places(contexts)).await;
                Ok(())
            }
            Err(fatal) => Err(fatal),
        };
        let _ = news.send(PickerInput::PlacesListed(ended)).await;
    })
}

/// Lists what there is, kind by kind.
async fn look_up(
    flags: Flags,
    environment: ClusterEnvironment,
    connected: &watch::Sender<Option<Cluster>>,
    news: &NewsSender,
) -> Result<(), Fatal> {
    // The terminal is the picker's: a credential plugin finds none to ask on.
    let environment = ClusterEnvironment { stdin_is_terminal: false, ..environment };
    let waiting = news.clone();
    let notifier = WaitNotifier::new(move |what| {
        // One that finds no room is followed by another.
        let _ = waiting.try_send(PickerInput::Waiting(what));
    });
    let found = ClusterConfig::find(flags, environment, &notifier).await?;
    let _ = news.send(PickerInput::Waiting(format!("connecting to {}", found.server()))).await;
    // What a refresh-token is exchanged for is lost with the picker.
    let cluster = found.without_refresh().connect(&notifier).await?;
    let (context, namespace) = (cluster.context.clone(), cluster.namespace.clone());
    let _ = news.send(PickerInput::Connected { context, namespace }).await;
    connected.send_replace(Some(cluster.clone()));
    let list = |kind| list_kind(cluster.clone(), kind, news.clone(), notifier.clone());
    let found: Vec<FoundObjects> = stream::iter(KINDS).map(list).buffer_unordered(LISTS).collect().await;
    if found.iter().all(|found| *found == FoundObjects::None) {
        catalog::check_namespace(&cluster).await?;
    }
    Ok(())
}

/// What a list had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundObjects {
    /// It is complete, and has nothing.
    None,
    /// It may have something.
    Some,
}

async fn list_kind(cluster: Cluster, kind: Kind, news: NewsSender, notifier: WaitNotifier) -> FoundObjects {
    let mut pages = CatalogPages::of_kind(cluster.clone(), kind);
    let mut found = FoundObjects::None;
    let ended = loop {
        match notifier.watch(|| cluster.waiting_for(kind.plural()), pages.next()).await {
            Ok(Some(items)) => {
                if !items.is_empty() {
                    found = FoundObjects::Some;
                    let _ = news.send(PickerInput::Items(items)).await;
                }
            }
            Ok(None) => break Ok(pages.end()),
            Err(fatal) => break Err(fatal),
        }
    };
    if ended != Ok(ListEnd::Complete) {
        found = FoundObjects::Some;
    }
    let _ = news.send(PickerInput::Listed(kind, ended)).await;
    found
}
