use super::{scripts::SCRIPTS, *};

/// The words of a line; an empty one at the end is begun by a blank.
fn line(line: &str) -> Completion {
    complete(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
}

/// The values that are offered without anybody being asked.
fn values(typed: &str) -> Vec<String> {
    let answer = line(typed).answer(Vec::new());
    let lines = answer.lines().filter(|line| !line.starts_with(':'));
    lines.map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

fn directive(answer: &str) -> &str {
    answer.lines().last().unwrap_or_default()
}

fn found(names: &[&str]) -> Vec<Candidate> {
    names.iter().map(|name| Candidate::new(*name, "it")).collect()
}

#[test]
fn the_first_word() {
    let all = values("");
    for expected in ["list", "stop", "completion", "help", "svc/", "deploy/", "pod/"] {
        assert!(all.iter().any(|value| value == expected), "{expected}: {all:?}");
    }
    assert_eq!(line("").lookup, Some(Lookup::Objects(Kind::Pod, None)));
    assert_eq!(values("li"), ["list"]);
    assert_eq!(values("sv"), ["svc/"]);
    assert_eq!(values("help ver"), ["version"]);
    assert_eq!(values("-n x li"), ["list"]);
    // Behind a word no subcommand is one any more.
    assert!(!values("web-0 ").iter().any(|value| value == "list"));
}

#[test]
fn flags_are_those_of_the_subcommand() {
    assert_eq!(values("--conte"), ["--context"]);
    assert_eq!(values("list --out"), ["--output"]);
    assert_eq!(values("stop --al"), ["--all"]);
    assert!(values("list --auto-p").is_empty() && values("--follo").is_empty());
    assert_eq!(values("svc/a 80 --addr"), ["--address"]);
    // One that counts once is offered once, and one that is hidden never.
    assert!(values("-n x --namesp").is_empty() && values("--in-back").is_empty());
    assert_eq!(values("--as-group a --as-gr"), ["--as-group"]);
    // What a default is does not help to choose.
    assert!(line("--hol").answer(Vec::new()).starts_with("--hold\thold a connection"));
}

#[test]
fn values_of_flags() {
    for (typed, lookup) in [
        ("-n ", Lookup::Namespaces),
        ("--namespace pr", Lookup::Namespaces),
        ("--namespace=pr", Lookup::Namespaces),
        ("-npr", Lookup::Namespaces),
        ("list --context ", Lookup::Contexts),
        ("--cluster ", Lookup::Clusters),
        ("svc/a 80 --user ", Lookup::Users),
    ] {
        assert_eq!(line(typed).lookup, Some(lookup), "{typed}");
    }
    assert_eq!(values("--color "), ["auto", "always", "never"]);
    assert_eq!(values("--color=al"), ["always"]);
    assert_eq!(values("-o "), ["text", "json"]);
    assert_eq!(values("-oj"), ["-ojson"]);
    assert_eq!(values("list -o w"), ["wide"]);
    assert_eq!(values("--insecure-skip-tls-verify=f"), ["false"]);
    assert_eq!(values("--auto-port=t"), ["true"]);
    assert_eq!(values("--address l"), ["localhost"]);
    assert_eq!(values("completion po"), ["powershell"]);
    for (typed, expected) in [
        ("--kubeconfig ", ":0"),
        ("--kubeconfig=/tm", ":0"),
        ("up -f ", ":0"),
        ("svc/db :5432 -- ps", ":0"),
        ("--cache-dir ", ":16"),
        ("--token ", ":4"),
    ] {
        assert_eq!(directive(&line(typed).answer(Vec::new())), expected, "{typed}");
    }
    // In front of a value of a flag that is attached to it, the flag stays.
    assert_eq!(line("-npr").answer(found(&["prod", "dev"])), "-nprod\tit\n:4\n");
    assert_eq!(line("--namespace=pr").answer(found(&["prod", "dev"])), "prod\tit\n:4\n");
}

#[test]
fn targets() {
    let objects = |kind, namespace: Option<&str>| Some(Lookup::Objects(kind, namespace.map(str::to_owned)));
    for (typed, lookup) in [
        ("we", objects(Kind::Pod, None)),
        ("svc/", objects(Kind::Service, None)),
        ("deployments.v1.apps/w", objects(Kind::Deployment, None)),
        ("prod/svc/a", objects(Kind::Service, Some("prod"))),
        ("svc/a 80 deploy/", objects(Kind::Deployment, None)),
        ("prod/", None),
        ("a/svc/b/c", None),
        ("a/b/c", None),
    ] {
        assert_eq!(line(typed).lookup, lookup, "{typed}");
    }
    assert!(values("prod/").contains(&"prod/svc/".to_owned()));
    assert_eq!(values("prod/sv"), ["prod/svc/"]);
    assert_eq!(line("svc/a").answer(found(&["api", "db"])), "svc/api\tit\n:4\n");
    // Nothing stands behind `svc/` yet.
    assert_eq!(line("sv").answer(found(&["web-0"])), "svc/\tservices\n:6\n");
}

#[test]
fn ports() {
    let of = |target: &str| Some(Lookup::Ports(Target::parse(target).expect("a target")));
    for (typed, lookup) in [
        ("svc/api ", of("svc/api")),
        ("svc/api 80 svc/db ", of("svc/db")),
        ("-n prod svc/api 8080:", of("svc/api")),
        ("web-0 ht", of("web-0")),
        ("svc/api -p ", of("svc/api")),
        ("svc/api --port=80", of("svc/api")),
        ("scv/api ", None),
    ] {
        assert_eq!(line(typed).lookup, lookup, "{typed}");
    }
    assert!(
        matches!(line("-l app=web ").lookup, Some(Lookup::Ports(target)) if target.to_string() == "-l app=web")
    );
    let ports = || found(&["80", "http"]);
    assert_eq!(line("svc/api ht").answer(ports()), "http\tit\n:4\n");
    assert_eq!(line("svc/api 8080:").answer(ports()), "8080:80\tit\n8080:http\tit\n:4\n");
    assert_eq!(line("svc/api :h").answer(ports()), ":http\tit\n:4\n");
    assert_eq!(line("svc/api [::1]:8080:h").answer(ports()), "[::1]:8080:http\tit\n:4\n");
    assert_eq!(line("svc/api unix:/tmp/x:8").answer(ports()), "unix:/tmp/x:80\tit\n:4\n");
}

#[test]
fn arguments_of_subcommands() {
    for (typed, lookup) in [
        ("stop ", Some(Lookup::Forwards)),
        ("stop a b ", Some(Lookup::Forwards)),
        ("logs k", Some(Lookup::Logs)),
        ("logs a ", None),
        ("up ", Some(Lookup::Sets)),
        ("up a ", None),
        ("save ", Some(Lookup::Sets)),
        ("list ", None),
    ] {
        assert_eq!(line(typed).lookup, lookup, "{typed}");
    }
}

/// The flags that say which cluster is meant, whatever else is wrong.
#[test]
fn the_cluster_is_that_of_the_words() {
    let flags =
        line("--bogus -n a --namespace=b --as-group x --as-group y --context c --auto-port svc/").flags;
    assert_eq!((flags.namespace.as_deref(), flags.context.as_deref()), (Some("b"), Some("c")));
    assert_eq!(flags.as_group, ["x", "y"]);
    assert!(!flags.auto_port);
}

/// Names come from whoever may write to the cluster or to a kubeconfig.
#[test]
fn nothing_that_means_something_to_a_shell_or_terminal() {
    let hostile =
        ["$(reboot)", "a b", "`x`", "x;y", "\u{1b}[2J", "-n", "a\nb", "a\tb", "", "\u{202e}", "*", "~root"];
    assert_eq!(line("--context ").answer(found(&hostile)), ":4\n");
    let names = ["arn:aws:eks:eu-west-1:1:cluster/x", "me@prod", "größer"];
    assert_eq!(line("--context ").answer(found(&names)).lines().count(), 4);
    let about = Candidate::new("x", "a\nb\u{1b}$(reboot)`");
    assert_eq!(line("--context ").answer(vec![about]), "x\ta?b??(reboot)?\n:4\n");
    let long = Candidate::new("x", "y".repeat(100));
    assert!(line("--context ").answer(vec![long]).starts_with(&format!("x\t{}…\n", "y".repeat(59))));
}

#[test]
fn an_empty_word_in_quotes() {
    assert_eq!(values("list -o \"\""), values("list -o "));
    assert_eq!(complete(&[]).lookup, Some(Lookup::Objects(Kind::Pod, None)));
}

#[test]
fn scripts_ask_the_program() {
    for (shell, script) in SCRIPTS {
        assert!(script.contains(COMPLETE) && script.contains("kubectl-fwd"), "{shell}");
    }
    for word in ["bash", "zsh", "fish", "powershell", "install", "uninstall"] {
        assert!(scripts::action(word).is_ok(), "{word}");
    }
    assert!(scripts::action("tcsh").is_err_and(|fatal| fatal.code() == "fwd::usage::bad_completion"));
}
