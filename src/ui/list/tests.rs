use super::*;
use crate::model::{
    forward::{ByteCounts, ConnectionCounts, ForwardState, PortForward},
    ports::RemotePort,
};

fn forward(target: &str) -> PortForward {
    PortForward {
        context: Some("prod".into()),
        pod: Some("api-1".into()),
        pod_port: Some(80),
        connections: ConnectionCounts { open: 1, total: 20, ..ConnectionCounts::default() },
        bytes: ByteCounts { inbound: 1536, outbound: 999 },
        restarts: 2,
        pid: 7,
        target: target.into(),
        ..PortForward::example("service", "api", RemotePort::Name("http".into()))
    }
}

fn lost() -> PortForward {
    PortForward {
        local: Some("unix:/s".into()),
        local_port: None,
        pod: None,
        state: ForwardState::Lost,
        last_error: Some("no \u{1b}[2J".into()),
        label: Some("x".into()),
        ..forward("-l a=\u{1b}")
    }
}

fn failed() -> ListRow {
    let reason = Some("the process was killed".to_owned());
    ListRow { state: RowState::Failed, reason, ..ListRow::from(forward("svc/web")) }
}

fn styled(format: ListFormat, width: TableWidth) -> ListStyle {
    ListStyle { format, headers: true, width, styling: Styling::Plain }
}

fn shown(rows: &[ListRow], format: ListFormat) -> String {
    render(rows, &styled(format, TableWidth::Any), Timestamp::from_second(5).unwrap())
}

#[test]
fn tables() {
    let all = [forward("svc/api").into(), lost().into()];
    assert_eq!(
        shown(&all, ListFormat::Table),
        "ID       NAME   NAMESPACE   TARGET             LOCAL            POD     STATE    SINCE   CONNECTIONS   BYTES\n\
         aaaaaa   -      default     svc/api:http       localhost:8080   api-1   active   5s      1/20          1.5Ki/999\n\
         aaaaaa   x      default     -l a=\\u{1b}:http   unix:/s          -       lost     5s      1/20          1.5Ki/999\n"
    );
    let wide = shown(&all, ListFormat::Wide);
    assert!(
        wide.contains("NAME   CONTEXT   NAMESPACE ") && wide.contains("PID   RESTARTS   LAST ERROR\n"),
        "{wide}"
    );
    assert!(wide.ends_with("7     2          no \\u{1b}[2J\n"), "{wide}");
    let colored = ListStyle { styling: Styling::Ansi, ..styled(ListFormat::Table, TableWidth::Any) };
    let colored = render(&all, &colored, Timestamp::UNIX_EPOCH);
    assert_eq!(colored.matches('\u{1b}').count(), 4, "{colored:?}");
    let bare = ListStyle { headers: false, ..styled(ListFormat::Table, TableWidth::Any) };
    assert_eq!(render(&all, &bare, Timestamp::UNIX_EPOCH).lines().count(), 2);
}

/// The context is there where it tells forwards apart, and the reason where something ended.
#[test]
fn columns_that_are_wanted() {
    let elsewhere = PortForward { context: Some("test".into()), ..forward("svc/api") };
    let two = shown(&[forward("svc/api").into(), elsewhere.into()], ListFormat::Table);
    assert!(two.contains("CONTEXT   NAMESPACE") && two.contains("test      default"), "{two}");
    let suspended = ListRow::of_process(9, RowState::Suspended);
    let ended = shown(&[forward("svc/api").into(), suspended, failed()], ListFormat::Table);
    assert!(!ended.contains("CONTEXT ") && ended.contains("BYTES       REASON\n"), "{ended}");
    assert!(ended.contains("process 9 ") && ended.contains(" suspended "), "{ended}");
    assert!(ended.ends_with(" the process was killed\n") && ended.contains(" failed "), "{ended}");
}

/// A row fits a terminal: what matters least goes first, and what names a forward stays.
#[test]
fn narrow_terminals() {
    let label = Some("a-name-of-mine".to_owned());
    let rows = [
        PortForward { label, pod: Some("api-6d4cf56db6-x2x4z".into()), ..forward("svc/api") }.into(),
        failed(),
    ];
    let wide = shown(&rows, ListFormat::Table).lines().map(|line| line.chars().count()).max().unwrap();
    let mut before = usize::MAX;
    for width in (40..=wide).rev() {
        let text =
            render(&rows, &styled(ListFormat::Table, TableWidth::Within(width)), Timestamp::UNIX_EPOCH);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width.max(57), "{width}:\n{text}");
        let columns = text.lines().next().unwrap().split("   ").filter(|head| !head.is_empty()).count();
        assert!(columns <= before && text.contains("svc/api:http") && text.contains(" failed"), "{text}");
        before = columns;
        if width == 80 {
            assert!(text.contains("the process") && !text.contains("BYTES"), "{text}");
        }
    }
    assert_eq!(before, 4);
    let text = render(&rows, &styled(ListFormat::Wide, TableWidth::Within(80)), Timestamp::UNIX_EPOCH);
    assert!(text.contains("LAST ERROR"), "what was asked for is shown");
}

#[test]
fn for_programs() {
    let odd = PortForward { last_error: Some("\u{9b}2J \u{202e}".into()), ..forward("svc/api") };
    let all = [ListRow::from(odd.clone())];
    assert_eq!(shown(&all, ListFormat::Name), "aaaaaa\n");
    let json = shown(&all, ListFormat::Json);
    assert!(json.contains("\\u009b2J \\u202e") && json.is_ascii() && !json.contains("ended"), "{json}");
    assert_eq!(serde_json::from_str::<Vec<PortForward>>(&json).unwrap(), [odd]);
    let yaml = shown(&all, ListFormat::Yaml);
    assert!(
        yaml.starts_with("- active: true\n") && yaml.contains("\n  connections:\n    blocked: 0\n"),
        "{yaml}"
    );
    let columns = CustomColumn::parse_all("ID:.id,STATE:.state,FAILED:.ended.failed").unwrap();
    assert_eq!(
        shown(
            &[all[0].clone(), failed(), ListRow::of_process(9, RowState::Silent)],
            ListFormat::Custom(columns)
        ),
        "ID       STATE     FAILED\naaaaaa   active    <none>\naaaaaa   stopped   true\n"
    );
    assert_eq!(shown(&[], ListFormat::Json), "[]\n");
    assert_eq!(shown(&[], ListFormat::Yaml), "[]\n");
    assert_eq!(shown(&[], ListFormat::Table), "");
}
