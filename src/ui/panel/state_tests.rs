use ratatui::crossterm::event::KeyCode;
use serde_json::json;

use super::*;
use crate::{
    model::{
        forward::{ByteCounts, ForwardState, TargetPod},
        ports::RemotePort,
    },
    ui::{
        key_bindings::KeyPress,
        panel::row::{FAILED_SHOWN, STOPPED_SHOWN},
    },
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn id(number: u64) -> ForwardId {
    ForwardId::from_bits(number)
}

/// Forward `number` of process `pid`.
fn forward(pid: u32, number: u64) -> PortForward {
    PortForward {
        id: id(number),
        pid,
        target: format!("svc/s{number}"),
        local_port: Some(8000 + number as u16),
        pod: Some(format!("s{number}-pod")),
        ..PortForward::example("service", "api", RemotePort::Number(80))
    }
}

fn told(pid: u32, number: u64, mut fields: serde_json::Value) -> PanelInput {
    fields["at"] = json!("1970-01-01T00:00:01Z");
    fields["id"] = json!(id(number));
    PanelInput::Told(pid, Box::new(serde_json::from_value(fields).unwrap()))
}

struct Driven(PanelState, i64);

impl Driven {
    /// Two processes with three and two forwards.
    fn new(scope: PanelScope) -> Self {
        let mut driven = Self(PanelState::new(scope), 0);
        driven.0.drawn.rows = 3;
        driven.listed(1, &[1, 2, 3]);
        driven.listed(2, &[4, 5]);
        driven
    }

    fn take(&mut self, input: PanelInput) -> Option<PanelEffect> {
        self.0.apply(input, at(self.1))
    }

    fn listed(&mut self, pid: u32, numbers: &[u64]) {
        let all = numbers.iter().map(|number| forward(pid, *number)).collect();
        self.take(PanelInput::Listed(pid, all));
    }

    fn press(&mut self, key: KeyPress) -> Option<PanelEffect> {
        self.take(PanelInput::Key(key))
    }

    /// Types characters; the effect of the last one.
    fn keys(&mut self, keys: &str) -> Option<PanelEffect> {
        keys.chars().map(|c| self.press(KeyPress::char(c))).last().flatten()
    }

    fn code(&mut self, code: KeyCode) -> Option<PanelEffect> {
        self.press(KeyPress::plain(code))
    }

    fn shown(&self) -> Vec<String> {
        self.0.shown().iter().map(|row| format!("{} {}", row.forward.target, row.state.word())).collect()
    }

    fn selected(&self) -> Option<&str> {
        self.0.selected_row().map(|row| row.forward.target.as_str())
    }

    fn message(&self) -> &str {
        self.0.message.as_ref().map_or("", |message| &message.text)
    }
}

fn reference(pid: u32, number: u64) -> ForwardRef {
    ForwardRef { pid, id: id(number) }
}

#[test]
fn moving_about() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    assert_eq!(driven.selected(), Some("svc/s1"));
    for (keys, expected) in
        [("j", "svc/s2"), ("G", "svc/s5"), ("j", "svc/s5"), ("k", "svc/s4"), ("g", "svc/s1"), ("k", "svc/s1")]
    {
        driven.keys(keys);
        assert_eq!(driven.selected(), Some(expected), "{keys}");
    }
    driven.code(KeyCode::PageDown);
    assert_eq!(driven.selected(), Some("svc/s4"));
    driven.code(KeyCode::Up);
    driven.take(PanelInput::Wheel(WheelTurn::Down(1)));
    assert_eq!(driven.selected(), Some("svc/s5"));
    // The wheel turns the pane that it is over.
    driven.0.drawn.spots.push((Rect::new(0, 10, 80, 5), PanelSpot::Events));
    driven.take(PanelInput::Wheel(WheelTurn::Up(12)));
    assert_eq!(driven.selected(), Some("svc/s5"));
}

#[test]
fn adding() {
    for scope in [PanelScope::AllProcesses, PanelScope::ThisProcess] {
        assert_eq!(Driven::new(scope).keys("a"), Some(PanelEffect::Add));
        // With none there is as well.
        assert_eq!(Driven(PanelState::new(scope), 0).keys("a"), Some(PanelEffect::Add));
    }
}

#[test]
fn what_processes_tell() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    driven.keys("jj");
    // New ones of a process stand behind its others, and what was selected stays so.
    driven.take(told(1, 6, json!({ "event": "started" })));
    driven.listed(1, &[1, 2, 3, 6]);
    assert_eq!(
        driven.shown(),
        [
            "svc/s1 active",
            "svc/s2 active",
            "svc/s3 active",
            "svc/s6 active",
            "svc/s4 active",
            "svc/s5 active"
        ]
    );
    assert_eq!(driven.selected(), Some("svc/s3"));
    let row = |driven: &Driven, number| {
        driven.0.rows.iter().find(|row| row.forward.id == id(number)).cloned().unwrap()
    };
    assert_eq!(row(&driven, 6).log[0].text, "started", "what came before the list");
    driven.take(PanelInput::Unanswered(2, UnansweredWhy::Suspended));
    assert_eq!(driven.shown()[4..], ["svc/s4 suspended", "svc/s5 suspended"]);
    driven.listed(2, &[4, 5]);
    let lost = PortForward { state: ForwardState::Lost, ..forward(1, 2) };
    driven.take(PanelInput::Listed(1, vec![forward(1, 1), lost, forward(1, 3)]));
    assert_eq!(
        driven.shown()[..5],
        ["svc/s1 active", "svc/s2 lost", "svc/s3 active", "svc/s6 stopped", "svc/s4 active"]
    );
}

#[test]
fn forwards_that_end() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    driven.keys("j");
    driven.take(told(1, 2, json!({ "event": "stopped", "by": "request", "why": null })));
    driven.take(told(1, 3, json!({ "event": "stopped", "by": "error", "why": "w" })));
    // A list that was under way does not bring it back.
    driven.listed(1, &[1, 2, 3]);
    driven.take(PanelInput::Ended(2));
    assert_eq!(
        driven.shown(),
        ["svc/s1 active", "svc/s2 stopped", "svc/s3 failed", "svc/s4 failed", "svc/s5 failed"]
    );
    assert!(driven.0.rows[3].log[0].text.contains("killed"));
    driven.1 = STOPPED_SHOWN.as_secs();
    driven.take(PanelInput::Tick);
    assert_eq!(driven.shown().len(), 4);
    // The next one has come into its place.
    assert_eq!(driven.selected(), Some("svc/s3"));
    driven.1 = FAILED_SHOWN.as_secs();
    driven.take(PanelInput::Tick);
    assert_eq!((driven.shown(), driven.selected()), (vec!["svc/s1 active".to_owned()], Some("svc/s1")));
    driven.take(PanelInput::Ended(1));
    driven.1 *= 3;
    driven.take(PanelInput::Tick);
    assert_eq!(driven.selected(), None);
    // Keys for what is not there do nothing.
    for key in "dXrpylo jkgG".chars() {
        assert_eq!(driven.keys(&key.to_string()), None, "{key}");
    }
    assert_eq!(driven.code(KeyCode::Enter), None);
    assert!(driven.0.dialog.is_none());
}

#[test]
fn stopping() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    let question = |driven: &Driven| match &driven.0.dialog {
        Some(PanelDialog::Confirm(question)) => question.text.clone(),
        _ => String::new(),
    };
    assert_eq!(driven.keys("d"), None);
    assert_eq!(question(&driven), "Stop svc/s1:80 (localhost:8001)?");
    assert_eq!(driven.keys("n"), None);
    assert!(driven.0.dialog.is_none());
    assert_eq!(driven.keys("jdy"), Some(PanelEffect::Stop(vec![reference(1, 2)])));
    driven.code(KeyCode::Delete);
    assert_eq!(driven.code(KeyCode::Enter), Some(PanelEffect::Stop(vec![reference(1, 2)])));
    // Two that are marked.
    driven.keys("g ");
    driven.keys("G d");
    assert_eq!(question(&driven), "Stop the 2 marked forwards?");
    assert_eq!(driven.keys("y"), Some(PanelEffect::Stop(vec![reference(1, 1), reference(2, 5)])));
    driven.code(KeyCode::Esc);
    driven.keys("X");
    assert_eq!(question(&driven), "Stop all 5 forwards?");
    assert!(matches!(driven.keys("y"), Some(PanelEffect::Stop(all)) if all.len() == 5));
    // Those that a filter hides are left alone.
    driven.keys("/s4");
    driven.code(KeyCode::Enter);
    driven.keys("X");
    assert_eq!(question(&driven), "Stop the only forward that is shown?");
    assert_eq!(driven.keys("y"), Some(PanelEffect::Stop(vec![reference(2, 4)])));
}

#[test]
fn the_mouse() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    let spots = [(0, PanelSpot::StopAll), (1, PanelSpot::Row(id(4))), (2, PanelSpot::Stop)];
    driven.0.drawn.spots = spots.map(|(y, spot)| (Rect::new(0, y, 10, 1), spot)).to_vec();
    assert_eq!(driven.take(PanelInput::Click(3, 1)), None);
    assert_eq!(driven.selected(), Some("svc/s4"));
    driven.take(PanelInput::Click(3, 2));
    driven.0.drawn.spots.push((Rect::new(0, 5, 4, 1), PanelSpot::Yes));
    assert_eq!(driven.take(PanelInput::Click(2, 5)), Some(PanelEffect::Stop(vec![reference(2, 4)])));
    driven.take(PanelInput::Click(0, 0));
    assert!(driven.0.dialog.is_some());
    // Beside the question is no.
    assert_eq!(driven.take(PanelInput::Click(40, 20)), None);
    assert!(driven.0.dialog.is_none());
}

#[test]
fn filters() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    driven.keys("/S3");
    assert_eq!((driven.shown(), driven.selected()), (vec!["svc/s3 active".to_owned()], Some("svc/s3")));
    driven.code(KeyCode::Backspace);
    assert_eq!(driven.shown().len(), 5);
    driven.code(KeyCode::Esc);
    // q is a letter there.
    assert_eq!(driven.keys("/q"), None);
    assert!(driven.shown().is_empty() && driven.selected().is_none());
    driven.code(KeyCode::Enter);
    driven.code(KeyCode::Esc);
    assert_eq!((driven.shown().len(), driven.selected()), (5, Some("svc/s1")));
    driven.keys("/8005");
    assert_eq!(driven.shown(), ["svc/s5 active"]);
}

#[test]
fn leaving() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    assert_eq!(driven.keys("q"), Some(PanelEffect::Quit));
    assert_eq!(driven.press(KeyPress::ctrl('c')), Some(PanelEffect::Quit));
    let mut driven = Driven::new(PanelScope::ThisProcess);
    assert_eq!(driven.keys("qn"), None);
    assert_eq!(driven.keys("qy"), Some(PanelEffect::Quit));
    driven.press(KeyPress::ctrl('c'));
    assert_eq!(driven.press(KeyPress::ctrl('c')), Some(PanelEffect::Quit));
    // What ends with it has ended.
    driven.take(PanelInput::Listed(1, vec![]));
    driven.take(PanelInput::Listed(2, vec![]));
    assert_eq!(driven.keys("q"), Some(PanelEffect::Quit));
    assert_eq!(driven.press(KeyPress::ctrl('z')), Some(PanelEffect::Suspend));
}

#[test]
fn choosing_a_pod() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    let of = reference(1, 1);
    assert_eq!(driven.keys("p"), Some(PanelEffect::ListPods(of)));
    let pod = |name: &str, candidate, current| TargetPod {
        name: name.into(),
        ready: candidate,
        candidate,
        current,
        reason: None,
    };
    driven.take(PanelInput::Pods(of, vec![pod("a", true, true), pod("b", false, false)]));
    assert!(driven.0.dialog.is_none() && driven.message().contains("no other pod"), "{}", driven.message());
    let pods = vec![pod("a", true, true), pod("b", false, false), pod("c", true, false)];
    driven.take(PanelInput::Pods(of, pods.clone()));
    // One that cannot be is not chosen.
    driven.code(KeyCode::Up);
    assert_eq!(driven.code(KeyCode::Enter), None);
    driven.code(KeyCode::Down);
    assert_eq!(driven.code(KeyCode::Enter), Some(PanelEffect::Retarget(of, "c".into())));
    driven.take(PanelInput::Pods(of, pods));
    driven.0.drawn.spots = vec![(Rect::new(0, 0, 5, 1), PanelSpot::Pod(2))];
    assert_eq!(driven.take(PanelInput::Click(1, 0)), Some(PanelEffect::Retarget(of, "c".into())));
}

#[test]
fn the_rest_of_the_keys() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    assert_eq!(driven.keys("r"), Some(PanelEffect::Reconnect(vec![reference(1, 1)])));
    assert_eq!(driven.keys("y"), Some(PanelEffect::Copy("localhost:8001".into())));
    assert_eq!(driven.message(), "copied localhost:8001");
    driven.1 += MESSAGE_SHOWN.as_secs();
    driven.take(PanelInput::Tick);
    assert_eq!(driven.message(), "");
    assert_eq!(driven.keys("o"), Some(PanelEffect::Open(Box::new(forward(1, 1)))));
    assert_eq!(driven.keys("l"), Some(PanelEffect::ReadLog(1)));
    driven.take(PanelInput::Log(1, None));
    assert_eq!(driven.0.events, EventsSize::All);
    assert_eq!(driven.keys("l"), None);
    assert_eq!(driven.0.events, EventsSize::Part);
    driven.take(PanelInput::Log(1, Some(vec!["line".into(); 9])));
    assert!(matches!(&driven.0.dialog, Some(PanelDialog::Text(text)) if text.above == 6));
    driven.keys("kq");
    driven.keys("s");
    assert_eq!(driven.code(KeyCode::Enter), None, "a set has a name");
    driven.keys("dev");
    let Some(PanelEffect::Save { name, forwards }) = driven.code(KeyCode::Enter) else { panic!() };
    assert_eq!((name.as_str(), forwards.len()), ("dev", 5));
    driven.keys("? ");
    driven.code(KeyCode::Esc);
    driven.code(KeyCode::Enter);
    assert_eq!(driven.0.dialog, Some(PanelDialog::Details));
}

#[test]
fn nothing_grows_without_end() {
    let mut driven = Driven::new(PanelScope::AllProcesses);
    for number in 0..2 * MAX_EARLY as u64 {
        driven.take(told(9, 1000 + number, json!({ "event": "started" })));
    }
    assert_eq!(driven.0.early.len(), MAX_EARLY);
    for _ in 0..500 {
        driven.take(told(1, 1, json!({ "event": "notice", "text": "x" })));
    }
    assert_eq!(driven.0.rows[0].log.len(), crate::ui::panel::row::LOG_LINES);
    let many: Vec<_> = (10..10 + MAX_ROWS as u64 + 7).map(|number| forward(3, number)).collect();
    driven.take(PanelInput::Listed(3, many));
    assert_eq!((driven.0.rows.len(), driven.0.left_out[&3]), (MAX_ROWS, 12));
    let carried = PortForward { bytes: ByteCounts { inbound: u64::MAX, outbound: 1 }, ..forward(2, 4) };
    driven.1 = 1;
    driven.take(PanelInput::Listed(2, vec![carried]));
}
