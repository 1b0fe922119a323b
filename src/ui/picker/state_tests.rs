use std::collections::BTreeMap;

use jiff::SignedDuration;
use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::{
    cluster::catalog::{DeclaredPort, KINDS, ListEnd, ReadyPods},
    error::Fatal,
    ui::{
        key_bindings::KeyPress,
        picker::effect::{PickedForwards, PortWish},
    },
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const ENTER: KeyPress = KeyPress::plain(KeyCode::Enter);
const TAB: KeyPress = KeyPress::plain(KeyCode::Tab);
const ESC: KeyPress = KeyPress::plain(KeyCode::Esc);

fn port(number: u16, name: &str) -> DeclaredPort {
    DeclaredPort { number, name: (!name.is_empty()).then(|| name.to_owned()), inner: None }
}

fn item(kind: Kind, name: &str, ports: &[DeclaredPort]) -> CatalogItem {
    CatalogItem {
        kind,
        name: name.to_owned(),
        ports: ports.to_vec(),
        ready: ReadyPods::Counted(1, 1),
        created: None,
        labels: BTreeMap::new(),
    }
}

fn press(state: &mut PickerState, key: KeyPress) -> Option<PickerEffect> {
    state.apply(PickerInput::Key(key), NOW)
}

fn typed(state: &mut PickerState, text: &str) {
    for c in text.chars() {
        assert_eq!(press(state, KeyPress::char(c)), None);
    }
}

fn connected(used: Vec<UsedTarget>) -> PickerState {
    let mut state = PickerState::new(used, NOW);
    state.apply(PickerInput::Connected { context: None, namespace: "shop".to_owned() }, NOW);
    state
}

fn listed(used: Vec<UsedTarget>) -> PickerState {
    let mut state = connected(used);
    let items = vec![
        item(Kind::Service, "api", &[port(80, "http"), port(9000, "echo")]),
        item(Kind::Service, "db", &[port(5432, "pg")]),
        item(Kind::Deployment, "web", &[]),
        item(Kind::Pod, "solo", &[port(8080, "http")]),
    ];
    state.apply(PickerInput::Items(items), NOW);
    for kind in KINDS {
        state.apply(PickerInput::Listed(kind, Ok(ListEnd::Complete)), NOW);
    }
    state
}

fn shown(state: &PickerState) -> Vec<&str> {
    state.targets.shown(0).map(SearchEntry::words).collect()
}

fn wish(effect: Option<PickerEffect>) -> (PortWish, Vec<u16>) {
    match effect {
        Some(PickerEffect::FindPort(wish, taken)) => (wish, taken),
        other => panic!("{other:?}"),
    }
}

fn words(effect: Option<PickerEffect>) -> Vec<String> {
    let Some(PickerEffect::Done(PickedForwards { requests, .. })) = effect else { panic!("{effect:?}") };
    let all = requests.iter().map(|request| {
        request.ports.iter().fold(request.target.to_string(), |words, port| format!("{words} {port}"))
    });
    all.collect()
}

fn free(state: &mut PickerState, port: u16) -> Option<PickerEffect> {
    state.apply(PickerInput::FreePort(Some(port)), NOW)
}

#[test]
fn from_a_name_to_a_forward() {
    let mut state = listed(Vec::new());
    assert_eq!(shown(&state), ["svc/api", "svc/db", "deploy/web", "pod/solo"]);
    typed(&mut state, "api");
    assert_eq!(shown(&state), ["svc/api"]);
    assert_eq!(press(&mut state, ENTER), None);
    // The second of its ports.
    press(&mut state, KeyPress::plain(KeyCode::Down));
    assert_eq!(wish(press(&mut state, ENTER)), (PortWish::For(9000), vec![]));
    assert_eq!(free(&mut state, 9001), None);
    assert_eq!(words(press(&mut state, ENTER)), ["svc/api 9001:9000"]);
}

#[test]
fn an_only_port_is_not_asked_for() {
    let mut state = listed(Vec::new());
    typed(&mut state, "db");
    assert_eq!(wish(press(&mut state, ENTER)).0, PortWish::For(5432));
    // Somebody is quicker than the answer.
    assert_eq!(press(&mut state, ENTER), None);
    assert_eq!(words(free(&mut state, 5432)), ["svc/db 5432"]);
}

#[test]
fn several_targets_and_ports() {
    let mut state = listed(Vec::new());
    press(&mut state, TAB);
    press(&mut state, TAB);
    assert_eq!(press(&mut state, ENTER), None);
    press(&mut state, TAB);
    press(&mut state, TAB);
    assert_eq!(wish(press(&mut state, ENTER)), (PortWish::For(80), vec![]));
    free(&mut state, 8080);
    assert_eq!(wish(press(&mut state, ENTER)), (PortWish::For(9000), vec![8080]));
    free(&mut state, 9000);
    assert_eq!(wish(press(&mut state, ENTER)), (PortWish::For(5432), vec![8080, 9000]));
    free(&mut state, 5432);
    assert_eq!(words(press(&mut state, ENTER)), ["svc/api 8080:80 9000", "svc/db 5432"]);
}

#[test]
fn a_local_port_of_ones_own() {
    let mut state = listed(Vec::new());
    typed(&mut state, "db");
    press(&mut state, ENTER);
    free(&mut state, 5432);
    let other = |state: &mut PickerState, text: &str| {
        press(state, KeyPress::ctrl('u'));
        typed(state, text);
        press(state, ENTER)
    };
    assert_eq!(other(&mut state, "70000"), None);
    assert!(state.message.as_ref().is_some_and(|text| text.contains("1 to 65535")), "{:?}", state.message);
    assert_eq!(wish(other(&mut state, "80x80")).0, PortWish::From(8080));
    assert_eq!(free(&mut state, 8082), None);
    assert_eq!(state.message.as_deref(), Some("local port 8080 is taken; 8082 is free"));
    assert_eq!(words(press(&mut state, ENTER)), ["svc/db 8082:5432"]);
    // None at all: any.
    assert_eq!(words(other(&mut state, "")), ["svc/db :5432"]);
}

#[test]
fn one_step_back() {
    let mut state = listed(Vec::new());
    typed(&mut state, "api");
    press(&mut state, ENTER);
    press(&mut state, ENTER);
    free(&mut state, 8080);
    assert!(matches!(state.steps.last(), Some(PickerStep::Local(_))));
    assert_eq!(press(&mut state, ESC), None);
    assert!(matches!(state.steps.last(), Some(PickerStep::Ports(_))) && state.chosen[0].ports.is_empty());
    assert_eq!(press(&mut state, ESC), None);
    assert!(state.steps.is_empty() && state.targets.query() == "api");
    assert_eq!(press(&mut state, ESC), None);
    assert_eq!(press(&mut state, ESC), Some(PickerEffect::Leave));
    assert_eq!(press(&mut state, KeyPress::ctrl('c')), Some(PickerEffect::Leave));
}

#[test]
fn what_was_used_comes_first() {
    let used = |target: &str, port: &str, count, days: i64| UsedTarget {
        context: None,
        namespace: "shop".to_owned(),
        target: target.to_owned(),
        port: port.to_owned(),
        count,
        last: NOW - SignedDuration::from_hours(24 * days),
    };
    let elsewhere = UsedTarget { namespace: "other".to_owned(), ..used("svc/api", "80", 99, 0) };
    let all = vec![
        used("pod/solo", "8080", 3, 0),
        used("svc/db", "5432", 1, 0),
        used("deploy/gone", "80", 9, 0),
        used("svc/api", "9000", 1, 30),
        elsewhere,
    ];
    // Before the cluster has answered, they are there.
    let state = connected(all.clone());
    assert_eq!(shown(&state), ["deploy/gone", "pod/solo", "svc/db", "svc/api"]);
    // Afterwards those that are not there any more are gone.
    let mut state = listed(all);
    assert_eq!(shown(&state), ["pod/solo", "svc/db", "svc/api", "deploy/web"]);
    // And of its ports the one that was used.
    typed(&mut state, "api");
    press(&mut state, ENTER);
    assert_eq!(wish(press(&mut state, ENTER)).0, PortWish::For(9000));
}

#[test]
fn what_may_not_be_listed_can_be_typed() {
    let mut state = connected(Vec::new());
    let denied =
        Fatal::new("fwd::access::forbidden", "cannot list services").because("no right").help("a rule");
    assert_eq!(press(&mut state, ENTER), None);
    assert_eq!(state.message.as_deref(), Some("the list is not here yet"));
    for kind in KINDS {
        let complete = matches!(kind, Kind::Pod | Kind::Deployment);
        let how = if complete { Ok(ListEnd::Complete) } else { Err(denied.clone()) };
        state.apply(PickerInput::Listed(kind, how), NOW);
    }
    let notes = state.listing.notes(NOW);
    assert!(notes[0].1.starts_with("Not shown: services, statefulsets"), "{notes:?}");
    assert!(state.listing.details().iter().any(|line| line.contains("a rule")));
    typed(&mut state, "api");
    assert_eq!(shown(&state)[..2], ["svc/api", "sts/api"]);
    assert!(!shown(&state).contains(&"pod/api"));
    press(&mut state, KeyPress::ctrl('u'));
    typed(&mut state, "svc/api");
    assert_eq!(shown(&state), ["svc/api"]);
    let target = Target::object(Kind::Service, "api");
    assert_eq!(press(&mut state, ENTER), Some(PickerEffect::ReadPorts(target.clone())));
    state.apply(PickerInput::Ports(target, Err(denied)), NOW);
    typed(&mut state, "http");
    assert_eq!(press(&mut state, ENTER), None);
    // What a name is a number of is not known.
    assert_eq!(words(press(&mut state, ENTER)), ["svc/api :http"]);
    for bad in ["svc/", "svc/a b", "nonsense/api", "../x"] {
        assert_eq!(typed_targets(bad, &state.listing), [], "{bad}");
    }
}

#[test]
fn another_place() {
    let mut state = listed(Vec::new());
    typed(&mut state, "db");
    assert_eq!(press(&mut state, KeyPress::ctrl('t')), Some(PickerEffect::ListContexts));
    let place = |name: &str| PlaceEntry { name: name.to_owned(), about: String::new() };
    state.apply(PickerInput::Places(vec![place("east"), place("west")]), NOW);
    state.apply(PickerInput::PlacesListed(Ok(())), NOW);
    typed(&mut state, "we");
    let west = PickerPlace { context: Some("west".to_owned()), namespace: None };
    assert_eq!(press(&mut state, ENTER), Some(PickerEffect::Load(west.clone())));
    assert!(shown(&state).is_empty() && state.targets.query().is_empty());
    // Namespaces that may not be listed can be typed; contexts are all known.
    assert_eq!(press(&mut state, KeyPress::ctrl('n')), Some(PickerEffect::ListNamespaces));
    state.apply(PickerInput::PlacesListed(Err(Fatal::new("fwd::access::forbidden", "no"))), NOW);
    typed(&mut state, "shop");
    let shop = PickerPlace { namespace: Some("shop".to_owned()), ..west };
    assert_eq!(press(&mut state, ENTER), Some(PickerEffect::Load(shop.clone())));
    assert_eq!(press(&mut state, KeyPress::ctrl('r')), Some(PickerEffect::Load(shop)));
}

/// A page of five hundred after another: the list stays quick, and the selection where it was put.
#[test]
fn five_thousand_services() {
    let mut state = connected(Vec::new());
    for page in 0..10 {
        let items =
            (0..500).map(|at| item(Kind::Service, &format!("s{:04}", page * 500 + at), &[port(80, "")]));
        state.apply(PickerInput::Items(items.collect()), NOW);
        press(&mut state, KeyPress::plain(KeyCode::Down));
    }
    assert_eq!((state.targets.len(), state.targets.position()), (5000, 10));
    typed(&mut state, "4999");
    assert_eq!(shown(&state)[0], "svc/s4999");
}
