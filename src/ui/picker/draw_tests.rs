use std::collections::BTreeMap;

use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::{
    cluster::catalog::{CatalogItem, DeclaredPort, KINDS, ListEnd, ReadyPods},
    error::Fatal,
    model::target::Kind,
    ui::{key_bindings::KeyPress, picker::effect::PickerInput, screen_lines::screen_lines},
};

const LOOK: PanelLook = PanelLook { color: true, unicode: true };

fn now() -> Timestamp {
    Timestamp::from_second(3 * 3600).unwrap()
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), "api".to_owned())])
}

fn state() -> PickerState {
    let mut state = PickerState::new(Vec::new(), now());
    let connected =
        PickerInput::Connected { context: Some("pr\u{1b}od".to_owned()), namespace: "shop".to_owned() };
    state.apply(connected, now());
    let port = |number, name: &str| DeclaredPort { number, name: Some(name.to_owned()), inner: None };
    let item = |kind, name: &str, ready, labels| CatalogItem {
        kind,
        name: name.to_owned(),
        ports: vec![port(80, "http"), port(9000, "echo")],
        ready,
        created: Some(Timestamp::UNIX_EPOCH),
        labels,
    };
    let items = vec![
        item(Kind::Service, "api", ReadyPods::Selected(labels()), BTreeMap::new()),
        item(Kind::Deployment, "日本語", ReadyPods::Counted(1, 3), BTreeMap::new()),
        item(Kind::Pod, "api-0", ReadyPods::Counted(1, 1), labels()),
        item(Kind::Pod, "api-1", ReadyPods::Counted(0, 1), labels()),
    ];
    state.apply(PickerInput::Items(items), now());
    for kind in KINDS {
        let denied =
            Fatal::new("fwd::access::forbidden", "cannot list jobs").because("no right").help("a\nrule");
        let how = if kind == Kind::Job { Err(denied) } else { Ok(ListEnd::Complete) };
        state.apply(PickerInput::Listed(kind, how), now());
    }
    state
}

fn screen(state: &mut PickerState, width: u16, height: u16, look: PanelLook) -> Vec<String> {
    screen_lines(width, height, |frame| draw_picker(frame, state, look, now()))
}

#[test]
fn on_a_usual_terminal() {
    let mut state = state();
    state.apply(PickerInput::Key(KeyPress::plain(KeyCode::Tab)), now());
    let lines = screen(&mut state, 80, 14, LOOK);
    assert_eq!(
        lines,
        [
            "kubectl fwd  namespace shop  context pr\\u{1b}od                    1 marked  4/4",
            "Forward to:",
            "  TARGET         PORTS               READY  AGE",
            "✓ svc/api        80 http, 9000 echo  1/2    3h",
            "  deploy/日本語  80 http, 9000 echo  1/3    3h",
            "  pod/api-0      80 http, 9000 echo  1/1    3h",
            "  pod/api-1      80 http, 9000 echo  0/1    3h",
            "",
            "",
            "",
            "Not shown: jobs; you have no right to list them (? tells which right is",
            "missing).",
            "Type a name to take it as it is, for example svc/api",
            "Enter choose  Tab mark  Esc back  Ctrl-N namespace  Ctrl-T context  ? help",
        ]
    );
}

#[test]
fn on_a_narrow_terminal() {
    let lines = screen(&mut state(), 40, 10, LOOK);
    assert_eq!(
        lines,
        [
            "kubectl fwd  namespace shop  context pr\\",
            "Forward to:",
            "  TARGET         READY",
            "  svc/api        1/2",
            "  deploy/日本語  1/3",
            "  pod/api-0      1/1",
            "Not shown: jobs; you have no right to",
            "list them (? tells which right is",
            "Type a name to take it as it is, for",
            "Enter choose  Tab mark  Esc back",
        ]
    );
    // Whatever the size, nothing fails.
    for (width, height) in [(1, 1), (1, 50), (3, 4), (10, 5), (200, 4)] {
        let mut state = state();
        screen(&mut state, width, height, LOOK);
        for key in [KeyPress::char('?'), KeyPress::plain(KeyCode::Esc), KeyPress::ctrl('n')] {
            state.apply(PickerInput::Key(key), now());
            screen(&mut state, width, height, LOOK);
        }
    }
}

#[test]
fn the_steps_behind() {
    let mut state = state();
    let mut press = |key: KeyPress| {
        state.apply(PickerInput::Key(key), now());
        screen(&mut state, 80, 12, PanelLook { color: false, unicode: false })
    };
    let lines = press(KeyPress::plain(KeyCode::Enter));
    assert_eq!(lines[1..4], ["Port of svc/api:", "  80      http", "  9000    echo"]);
    let lines = press(KeyPress::plain(KeyCode::Enter));
    assert!(
        lines[1] == "Local port for svc/api:80:" && lines[2].contains("looking for a free port"),
        "{lines:?}"
    );
    state.apply(PickerInput::FreePort(Some(8080)), now());
    let lines = screen(&mut state, 80, 12, LOOK);
    assert!(
        lines[1] == "Local port for svc/api:80: 8080" && lines[2].contains("Enter takes it"),
        "{lines:?}"
    );
    // All about what is not shown.
    state.apply(PickerInput::Key(KeyPress::char('?')), now());
    let lines = screen(&mut state, 80, 40, LOOK);
    for line in ["Ctrl-N   choose another namespace", "cannot list jobs: no right", "  rule"] {
        assert!(lines.iter().any(|own| own == line), "{line}: {lines:#?}");
    }
}

#[test]
fn on_a_wide_terminal() {
    let mut state = PickerState::new(Vec::new(), Timestamp::UNIX_EPOCH);
    let lines = screen(&mut state, 120, 30, LOOK);
    assert_eq!(lines[28], "reading the kubeconfig, for 3h");
    let fatal =
        Fatal::new("fwd::cluster::refused", "cannot list pods").because("https://x: connection refused");
    state.apply(PickerInput::Failed(fatal), now());
    let lines = screen(&mut state, 120, 30, LOOK);
    assert_eq!(lines[27], "cannot list pods: https://x: connection refused");
    assert!(lines[28].contains("Ctrl-R tries again"), "{lines:?}");
    // Nothing of this name, and nothing at all.
    for kind in KINDS {
        state.apply(PickerInput::Listed(kind, Ok(ListEnd::Complete)), now());
    }
    state.listing.failed = None;
    assert!(screen(&mut state, 120, 30, LOOK)[28].contains("nothing to forward to in this namespace"));
}
