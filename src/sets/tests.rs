use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use super::*;
use crate::model::{
    forward::RetryMode,
    ports::{Address, PortSpec},
    target::Target,
};

/// The text as JSON, for the schema: what an editor sees.
fn json(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

fn entry(target: &str, ports: &[&str]) -> SetEntry {
    SetEntry {
        target: Target::parse(target).unwrap(),
        ports: ports.iter().map(|port| PortSpec::parse(port).unwrap()).collect(),
        label: None,
        scope: EntryOptions::default(),
        line: 0,
    }
}

/// As it was before it was written.
fn unplaced(mut set: ForwardSet) -> ForwardSet {
    set.entries.iter_mut().for_each(|entry| entry.line = 0);
    set
}

#[test]
fn the_example() {
    let text = include_str!("../../examples/fwd.yaml");
    let ReadSet { set, problems, unusable: spoilt } = read(text);
    assert!(problems.is_empty() && !spoilt, "{problems:?}");
    assert!(schema().is_valid(&json(text)));
    let shown = |entry: &SetEntry| {
        let ports: Vec<_> = entry.ports.iter().map(ToString::to_string).collect();
        let scope = &entry.scope;
        let [context, namespace] =
            [&scope.context, &scope.namespace].map(|text| text.as_deref().unwrap_or("-"));
        format!("{}:{context} {namespace} {} {}", entry.line, entry.target, ports.join(" "))
    };
    let found: Vec<_> = set.entries.iter().map(shown).collect();
    assert_eq!(
        found,
        [
            "12:staging shop svc/api 8080:80 9090:metrics",
            "16:staging shop data/sts/db 5432",
            "21:production shop -l app=worker :8080",
            "27:staging shop deploy/web unix:/tmp/web.sock:3000 127.0.0.2:3000:3000",
        ]
    );
    assert_eq!(set.entries[1].label.as_deref(), Some("db"));
    assert_eq!(set.entries[2].scope.auto_port, Some(true));
    assert!(set.entries.iter().all(|entry| entry.scope.hold == Some(Duration::from_secs(60))));
}

/// Each is refused, at its place and with these words; the schema refuses it as well, where it can know (`+`).
#[test]
fn every_problem_with_its_place() {
    let (schema, mut wrong) = (schema(), String::new());
    for (text, expected) in [
        ("", "+1:1 the set is empty"),
        ("- a", "+1:1 a set must be a mapping"),
        (
            "forward: []",
            "+1:1 'forward' is not a key of a set; did you mean 'forwards'?|1:1 'forwards' is missing",
        ),
        ("forwards: svc/api", "+1:11 'forwards' must be a list"),
        ("version: 2\nforwards: []", "+1:10 version 2 is not known"),
        ("auto: maybe\nforwards: []", "+1:7 auto must be true or false"),
        ("forwards: [svc/api]", "+1:12 a forward must be a mapping"),
        ("forwards: [{ports: 80}]", "+1:12 'target' or 'selector' is missing"),
        ("forwards: [{target: a}]", "+1:12 'ports' is missing"),
        ("forwards: [{target: a, ports: []}]", "+1:31 'ports' is empty"),
        ("forwards: [{target: a, ports: 0}]", "+1:31 '0' is not a port: ports are 1 to 65535"),
        (
            "forwards: [{target: a, ports: [80, '1:2:x y']}]",
            "+1:36 'x y' in '1:2:x y' is neither a port number",
        ),
        ("forwards: [{target: a, ports: 70000}]", "+1:31 '70000' is not a port"),
        ("forwards: [{target: a, ports: {a: b}}]", "+1:31 a port must be text"),
        (
            "forwards: [{target: a, selector: b=c, ports: 80}]",
            "+1:34 a forward has either 'target' or 'selector', not both",
        ),
        ("forwards: [{target: [a], ports: 80}]", "+1:21 target must be text"),
        (
            "forwards: [{target: scv/a, ports: 80}]",
            "1:21 'scv' is not a type of object that can be forwarded to; did you mean 'svc'?",
        ),
        ("forwards: [{target: a/b/c/d, ports: 80}]", "+1:21 'a/b/c/d' is not a target"),
        ("forwards: [{target: svc/a_b, ports: 80}]", "+1:21 'a_b' cannot be a name in Kubernetes"),
        ("forwards: [{selector: ' ', ports: 80}]", "+1:23 the label selector is empty"),
        (
            "forwards: [{target: a, port: 80}]",
            "+1:12 'ports' is missing|1:24 'port' is not a key of a forward; did you mean 'ports'?",
        ),
        (
            "forwards: [{target: a, ports: 80, foobar: 1}]",
            "+1:35 'foobar' is not a key of a forward; the keys of a forward are target, selector, ports, name, context",
        ),
        ("forwards: [{target: a, ports: 80, ports: 81}]", "!1:35 'ports' is given twice"),
        ("forwards: [{target: a, ports: 80, name: 7}]", "+1:41 '7' cannot be the name of a forward"),
        ("forwards: [{target: a, ports: 80, name: 'a b'}]", "+1:41 'a b' cannot be the name of a forward"),
        (
            "forwards: [{target: a, ports: 80, namespace: a/b}]",
            "+1:46 'a/b' cannot be a namespace in Kubernetes",
        ),
        ("forwards: [{target: a, ports: 80, address: 1.2.3}]", "1:44 '1.2.3' is not a valid IP"),
        ("forwards: [{target: a, ports: 80, hold: 30}]", "+1:41 '30' is not a duration: the unit is missing"),
        ("forwards: [{target: a, ports: 80, hold: -1s}]", "+1:41 '-1s' is not a duration: it is negative"),
        (
            "forwards: [{target: a, ports: 80, podRunningTimeout: 0}]",
            "1:54 '0' is not a duration: it has to be more than zero",
        ),
        ("forwards: [{target: a, ports: 80, autoPort: yes}]", "+1:45 autoPort must be true or false"),
        (
            "forwards: [{target: a, ports: 80, retry: all}]",
            "+1:42 'all' does not say which requests are sent again; use none, or safe-http",
        ),
        (
            "forwards:\n- {target: a, ports: 80}\n- {target: b, ports: [81, 80]}",
            "3:3 local port 80 is used twice, here and in line 2",
        ),
        ("forwards: [{target: a, ports: ['unix:/a:1', 'unix:/a:2']}]", "1:12 the socket /a is used twice"),
        ("forwards: [{target: a, ports: [1], context: [x]}]", "+1:45 context must be text"),
        ("a: [", "!1:4 this is not YAML: "),
    ] {
        let ReadSet { problems, .. } = read(text);
        let found: Vec<_> = problems
            .iter()
            .map(|place| {
                let help = place.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
                format!("{}:{} {}{help}", place.line, place.column, place.what)
            })
            .collect();
        let bare = expected.trim_start_matches(['+', '!']);
        let alike = found.len() == bare.split('|').count()
            && bare.split('|').zip(&found).all(|(expected, found)| found.starts_with(expected));
        if !alike {
            let _ = writeln!(wrong, "{text}\nexpected {bare}\nfound {found:#?}");
        }
        // What is not YAML is no business of the schema.
        if !expected.starts_with('!') && schema.is_valid(&json(text)) == expected.starts_with('+') {
            let _ = writeln!(wrong, "{text}\nthe schema thinks otherwise");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_spoils_a_set_and_what_an_entry() {
    let reading =
        read("forwards:\n- {target: a, ports: 80}\n- {target: b, port: 81}\n- {target: c, ports: 82}\n");
    let targets: Vec<_> = reading.set.entries.iter().map(|entry| entry.target.to_string()).collect();
    assert_eq!(
        (targets, reading.unusable, reading.problems.len()),
        (vec!["pod/a".into(), "pod/c".into()], false, 2)
    );
    let reading = read("contxt: prod\nforwards: [{target: a, ports: 80}]\n");
    assert!(reading.unusable && reading.problems.len() == 1);
}

/// What people write without thinking about it.
#[test]
fn generous_where_nothing_is_lost() {
    for text in [
        "\u{feff}forwards:\r\n- target: svc/api\r\n  ports: 80\r\n  namespace:\r\n",
        "{\"forwards\": [{\"target\": \"svc/api\", \"ports\": [80]}]}",
        "version: '1'\nforwards: [{target: services/api, ports: '80', hold: 0, address: [localhost, 10.0.0.5]}]",
        "forwards: [&x {target: svc/api, ports: 80}]",
        "hold: 1m30s\nforwards: [{<<: {target: svc/api}, ports: 80}]",
    ] {
        let ReadSet { set, problems, .. } = read(text);
        assert!(problems.is_empty(), "{text}: {problems:?}");
        assert_eq!(set.entries.len(), 1);
        assert_eq!(
            (set.entries[0].target.to_string().as_str(), set.entries[0].ports[0].to_string().as_str()),
            ("svc/api", "80")
        );
    }
    assert!(read("auto: true\nforwards:\n").problems.is_empty());
    let none = read("forwards: []");
    assert!(none.problems.is_empty() && none.set.entries.is_empty());
}

/// What is written is read back as it was, and the schema takes it.
#[test]
fn written_and_read() {
    let everything = EntryOptions {
        context: Some("admin@prod: #1".into()),
        namespace: Some("123".into()),
        addresses: Some(vec![
            Address::Localhost,
            Address::Ip("fe80::1".parse().unwrap()),
            Address::Ip("10.0.0.5".parse().unwrap()),
        ]),
        hold: Some(Duration::from_millis(1500)),
        pod_running_timeout: Some(Duration::from_secs(90)),
        auto_port: Some(false),
        allow_unready: Some(true),
        retry: Some(RetryMode::SafeHttp),
    };
    let full = SetEntry {
        label: Some("db".into()),
        scope: everything.clone(),
        ..entry("data/sts/db", &["5432", ":http", "unix:/tmp/a \"b\":80", "[::1]:90:80"])
    };
    let labels = SetEntry {
        target: Target {
            namespace: None,
            subject: crate::model::target::TargetRef::Selector("app in (a, b)".into()),
        },
        scope: EntryOptions {
            context: Some("\u{1b}\u{85}ü\u{2028}".into()),
            hold: Some(Duration::ZERO),
            ..EntryOptions::default()
        },
        ..entry("x", &["8080:80"])
    };
    let off = SetEntry {
        scope: EntryOptions { context: Some("off".into()), ..EntryOptions::default() },
        ..entry("svc/a", &["1"])
    };
    for entries in [
        vec![],
        vec![entry("svc/api", &["8080:80"])],
        vec![full.clone()],
        vec![SetEntry { scope: everything, ..entry("svc/api", &["22:22"]) }, full],
        vec![labels, entry("svc/api", &["81"]), off],
    ] {
        for auto in [false, true] {
            let kubeconfig = auto.then(|| "/home/a b/config".into());
            let set = ForwardSet { auto, kubeconfig, entries: entries.clone() };
            let text = write(&set);
            let ReadSet { set: found, problems, .. } = read(&text);
            assert!(problems.is_empty(), "{problems:?}\n{text}");
            assert_eq!(unplaced(found), set, "{text}");
            let errors: Vec<_> = schema().iter_errors(&json(&text)).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{text}");
            assert!(text.lines().all(|line| line.len() <= 120 && line == line.trim_end()), "{text}");
        }
    }
}

/// What is the same everywhere stands once, and a person can read it.
#[test]
fn what_it_looks_like() {
    let scope = EntryOptions {
        context: Some("prod".into()),
        namespace: Some("shop".into()),
        ..EntryOptions::default()
    };
    let entries = vec![
        SetEntry { scope: scope.clone(), ..entry("svc/api", &["8080:80", "9090:metrics"]) },
        SetEntry {
            scope: EntryOptions { namespace: Some("data".into()), ..scope },
            label: Some("db".into()),
            ..entry("sts/db", &["5432"])
        },
    ];
    let text = write(&ForwardSet { entries, ..ForwardSet::default() });
    let bare: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(
        bare,
        [
            "version: 1",
            "context: prod",
            "forwards:",
            "  - target: svc/api",
            "    ports: [\"8080:80\", \"9090:metrics\"]",
            "    namespace: shop",
            "  - target: sts/db",
            "    ports: 5432",
            "    name: db",
            "    namespace: data",
        ]
    );
    // Every field is explained.
    for key in read::SCOPE_KEYS.iter().chain(&read::ENTRY_KEYS) {
        assert!(text.lines().any(|line| line.starts_with('#') && line.contains(key)), "{key}");
    }
}

/// The schema knows the keys that are read, and no others.
#[test]
fn the_schema_has_every_key() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (at, own) in
        [("/properties", &read::SET_KEYS[..]), ("/$defs/forward/properties", &read::ENTRY_KEYS[..])]
    {
        let mut expected: Vec<_> = own.iter().chain(&read::SCOPE_KEYS).copied().collect();
        let mut found: Vec<_> =
            schema.pointer(at).and_then(Value::as_object).unwrap().keys().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn names() {
    let sets = SetStore::new(Path::new("/c"));
    for name in ["dev", "team-a", "a.b_c", "2024", &"x".repeat(MAX_NAME), "console"] {
        assert_eq!(sets.path(name).unwrap(), Path::new("/c/kubectl-fwd/sets").join(format!("{name}.yaml")));
    }
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        ".hidden",
        "-f",
        "a b",
        "ü",
        "a.",
        "con",
        "NUL.x",
        "com1",
        "fwd.yaml",
        &"x".repeat(MAX_NAME + 1),
        "a\0",
    ] {
        assert_eq!(sets.path(name).unwrap_err().code(), "fwd::usage::bad_set_name", "{name:?}");
    }
    assert!(sets.path("fwd.yaml").unwrap_err().advice().unwrap().contains("-f fwd.yaml"));
}

#[test]
fn saved_and_loaded() {
    let directory =
        std::env::temp_dir().join(format!("kubectl-fwd-sets-{}-{:x}", std::process::id(), fastrand::u32(..)));
    let sets = SetStore::new(&directory);
    let missing = sets.load("dev").unwrap_err();
    assert_eq!(missing.code(), "fwd::set::unknown");
    assert!(missing.advice().unwrap().contains("kubectl fwd save dev"));
    let set = ForwardSet { auto: false, kubeconfig: None, entries: vec![entry("svc/api", &["8080:80"])] };
    let lock = sets.lock(|_| {}).unwrap();
    sets.save(&lock, "dev", &set, Existing::Keep).unwrap();
    assert_eq!(
        sets.save(&lock, "dev", &ForwardSet::default(), Existing::Keep).unwrap_err().code(),
        "fwd::set::exists"
    );
    assert_eq!(unplaced(read(&sets.load("dev").unwrap().text).set), set);
    sets.save(&lock, "dev", &ForwardSet::default(), Existing::Replace).unwrap();
    assert_eq!(read(&sets.load("dev").unwrap().text).set, ForwardSet::default());
    assert_eq!(sets.names(), ["dev"]);
    assert!(sets.load("dve").unwrap_err().advice().unwrap().contains("did you mean 'dev'?"));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn only_what_is_to_be_kept_current_is() {
    let directory =
        std::env::temp_dir().join(format!("kubectl-fwd-auto-{}-{:x}", std::process::id(), fastrand::u32(..)));
    let sets = SetStore::new(&directory);
    let new = entry("svc/new", &["1:1"]);
    assert!(sets.update_auto_sets(|_| {}, |set, _| set.add(&new)).is_empty());
    assert!(!directory.exists(), "nothing is made where there is nothing to keep");
    let lock = sets.lock(|_| {}).unwrap();
    for (name, auto) in [("plain", false), ("current", true), ("broken", true)] {
        sets.save(
            &lock,
            name,
            &ForwardSet { auto, kubeconfig: None, entries: vec![entry("svc/api", &["80"])] },
            Existing::Keep,
        )
        .unwrap();
    }
    drop(lock);
    let broken = sets.path("broken").unwrap();
    fs::write(&broken, "auto: true\nforwards: [{target: svc/api}]").unwrap();
    let failed = sets.update_auto_sets(|_| {}, |set, _| set.add(&new));
    assert_eq!(failed.iter().map(Fatal::code).collect::<Vec<_>>(), ["fwd::set::invalid"]);
    let count = |name| read(&sets.load(name).unwrap().text).set.entries.len();
    assert_eq!((count("plain"), count("current")), (1, 2));
    assert!(fs::read_to_string(&broken).unwrap().ends_with("svc/api}]"));
    fs::remove_dir_all(directory).unwrap();
}

/// However many there are: they are counted, and what is too much is one mistake of the whole.
#[test]
fn not_without_end() {
    let set = |entries: usize, ports: usize| {
        let mut text = "forwards:\n".to_owned();
        for entry in 0..entries {
            let ports: Vec<_> = (0..ports).map(|port| format!("'{}:80'", 1 + entry * ports + port)).collect();
            let _ = writeln!(text, "- {{target: svc/api, ports: [{}]}}", ports.join(", "));
        }
        text
    };
    assert!(read(&set(MAX_FORWARDS, 1)).problems.is_empty());
    for (entries, ports) in [(MAX_FORWARDS + 1, 1), (2, MAX_FORWARDS / 2 + 1), (5000, 1)] {
        let ReadSet { problems, unusable: spoilt, .. } = read(&set(entries, ports));
        assert!(spoilt && problems.len() == 1, "{problems:?}");
        let count = entries * ports;
        assert!(problems[0].what.contains(&format!("{count} forwards")), "{problems:?}");
    }
}

/// Aliases make much of little, within the limits of the parser.
#[test]
fn no_amplifier() {
    let long = "x".repeat(200_000);
    let text = format!("x: &x {long}\nforwards: [{}]\n", vec!["*x"; 200_000].join(","));
    assert!(!read(&text).problems.is_empty());
}
