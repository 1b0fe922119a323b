use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::*;
use crate::{
    model::{
        forward::{ByteCounts, ConnectionCounts, ForwardId, PortForward},
        ports::RemotePort,
    },
    ui::{key_bindings::KeyPress, panel::effect::PanelInput, screen_lines::screen_lines},
};

const LOOK: PanelLook = PanelLook { color: true, unicode: true };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn state() -> PanelState {
    let api = PortForward {
        id: ForwardId::from_bits(1),
        target: "svc/api".into(),
        pod: Some("api-6d4cf56db6-x2x4z".into()),
        connections: ConnectionCounts {
            open: 3,
            total: 20,
            failed: 2,
            held: 1,
            ..ConnectionCounts::default()
        },
        bytes: ByteCounts { inbound: 2048, outbound: 10 },
        ..PortForward::example("service", "api", RemotePort::Name("http".into()))
    };
    let wide = PortForward {
        id: ForwardId::from_bits(2),
        target: "svc/\u{1b}[2J日本".into(),
        namespace: "e\u{301}t\u{301}e".into(),
        local_port: Some(9090),
        state: ForwardState::Lost,
        pid: 2,
        ..api.clone()
    };
    let mut state = PanelState::new(PanelScope::AllProcesses);
    state.apply(PanelInput::Listed(1, vec![api.clone()]), at(0));
    state.apply(PanelInput::Listed(2, vec![wide]), at(0));
    let event = json!({ "at": "1970-01-01T00:00:01Z", "id": api.id, "event": "lost", "why": "no route", "nextMs": 5000 });
    state.apply(PanelInput::Told(1, Box::new(serde_json::from_value(event).unwrap())), at(1));
    let more = ByteCounts { inbound: 4096, outbound: 10 };
    state.apply(PanelInput::Listed(1, vec![PortForward { bytes: more, ..api }]), at(2));
    state
}

fn screen(state: &mut PanelState, width: u16, height: u16, look: PanelLook) -> Vec<String> {
    screen_lines(width, height, |frame| draw(frame, state, look, at(65)))
}

#[test]
fn on_a_usual_terminal() {
    let lines = screen(&mut state(), 80, 24, LOOK);
    for line in &lines {
        assert!(line.width() <= 80, "{line}");
    }
    let expected = [
        "kubectl fwd  2 forwards in 2 processes  1 lost               [ Stop ] [ Stop all ]",
        "  STATE     TARGET                NAMESPACE  LOCAL           AGE  CONNECTIONS",
        "  ● active  svc/api:http          default    localhost:8080  65s  3/20 2 failed…",
    ];
    assert_eq!(
        lines[1].split_whitespace().take(4).collect::<Vec<_>>(),
        ["STATE", "TARGET", "NAMESPACE", "LOCAL"],
        "{lines:#?}"
    );
    assert!(
        lines[0].starts_with(&expected[0][..38]) && lines[0].ends_with("[ Stop ] [ Stop all ]"),
        "{lines:#?}"
    );
    assert!(
        lines[2].starts_with("  ● active  svc/api:http ")
            && lines[3].starts_with("  ✗ lost    svc/\\u{1b}[2J日本:http "),
        "{lines:#?}"
    );
    // Wide and combining characters leave the columns straight.
    let column = |line: &str, what: &str| line[..line.find(what).unwrap()].width();
    assert_eq!(column(&lines[2], "localhost:8080"), column(&lines[3], "localhost:9090"), "{lines:#?}");
    assert!(lines[16].starts_with("── events of svc/api:http (localhost:8080) ──"), "{lines:#?}");
    assert!(lines[17].ends_with("  lost: no route; next attempt in 5.0 s"), "{lines:#?}");
    assert!(
        lines[23].starts_with("? help  q quit  d stop  X stop all  a add  / filter  Enter details  r"),
        "{lines:#?}"
    );
}

#[test]
fn on_a_wide_terminal() {
    let lines = screen(&mut state(), 200, 30, LOOK);
    let heads: Vec<_> = lines[1].split("  ").map(str::trim).filter(|head| !head.is_empty()).collect();
    assert_eq!(
        heads,
        [
            "STATE",
            "TARGET",
            "NAMESPACE",
            "LOCAL",
            "POD",
            "AGE",
            "CONNECTIONS",
            "FROM POD",
            "TO POD",
            "BYTES",
            "LAST EVENT"
        ]
    );
    for part in
        ["api-6d4cf56db6-x2x4z", "3/20 2 failed 1 held", "1.0Ki/s", "██", "4.0Ki/10", "lost: no route; next"]
    {
        assert!(lines[2].contains(part), "{part}: {lines:#?}");
    }
}

#[test]
fn on_a_narrow_terminal() {
    for (width, height) in [(40, 12), (40, 10), (20, 6), (10, 4), (1, 3), (1, 1), (0, 0)] {
        let lines = screen(&mut state(), width, height, LOOK);
        if width == 40 {
            assert!(lines[2].starts_with("  ● "), "{lines:#?}");
            assert!(lines[2].contains("svc/api:http") && lines[2].contains("localhost:8080"), "{lines:#?}");
        }
        for key in ["?", "d", "p"] {
            let mut state = state();
            state.apply(PanelInput::Key(KeyPress::char(key.chars().next().unwrap())), at(2));
            screen(&mut state, width, height, LOOK);
        }
    }
}

#[test]
fn dialogs() {
    use ratatui::crossterm::event::KeyCode;

    let mut state = state();
    let press = |state: &mut PanelState, code| {
        state.apply(PanelInput::Key(KeyPress::plain(code)), at(2));
        screen(state, 80, 24, LOOK).join("\n")
    };
    let help = press(&mut state, KeyCode::Char('?'));
    assert!(
        help.contains("│ d          stop the marked forwards, or the selected one")
            && help.contains("┌ Keys"),
        "{help}"
    );
    press(&mut state, KeyCode::Esc);
    let details = press(&mut state, KeyCode::Enter);
    assert!(details.contains("│ pod          api-6d4cf56db6-x2x4z"), "{details}");
    press(&mut state, KeyCode::Esc);
    let question = press(&mut state, KeyCode::Char('d'));
    assert!(
        question.contains("Stop svc/api:http (localhost:8080)?")
            && question.contains("[ Yes (y) ]  [ No (n) ]"),
        "{question}"
    );
    assert!(state.drawn.spots.iter().any(|(_, spot)| *spot == PanelSpot::Yes));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('/'));
    assert!(press(&mut state, KeyCode::Char('x')).ends_with("\nFilter: x"));
}

#[test]
fn without_colour_and_without_unicode() {
    let plain = PanelLook { color: false, unicode: false };
    let mut state = state();
    let mut terminal = Terminal::new(TestBackend::new(200, 24)).unwrap();
    terminal.draw(|frame| draw(frame, &mut state, plain, at(65))).unwrap();
    let coloured = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset);
    assert!(!coloured);
    let lines = screen(&mut state, 200, 24, plain);
    assert!(lines[2].starts_with("  * active") && lines[3].starts_with("  ! lost"), "{lines:#?}");
    assert!(lines[2].is_ascii(), "{}", lines[2]);
}

/// More than fit: the selected one is on the screen, and only as much is moved as is needed.
#[test]
fn scrolling() {
    let mut state = PanelState::new(PanelScope::AllProcesses);
    let forward = |number: u64| PortForward {
        id: ForwardId::from_bits(number),
        target: format!("svc/s{number}"),
        ..PortForward::example("service", "api", RemotePort::Number(80))
    };
    state.apply(PanelInput::Listed(1, (0..200).map(forward).collect()), at(0));
    screen(&mut state, 80, 24, LOOK);
    let fit = state.drawn.rows;
    for (selected, first) in
        [(0, 0), (fit - 1, 0), (fit, 1), (199, 200 - fit), (200 - fit, 200 - fit), (5, 5)]
    {
        state.select(selected);
        let lines = screen(&mut state, 80, 24, LOOK);
        assert_eq!(state.drawn.first, first, "{selected}");
        assert!(lines[2].contains(&format!("svc/s{first}:80")), "{lines:#?}");
    }
}
