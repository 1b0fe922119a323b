use std::{
    ffi::OsString,
    net::{Ipv4Addr, Ipv6Addr},
};

use miette::Diagnostic;
use secrecy::ExposeSecret;

use super::*;
use crate::{
    cli::{Invocation, parse},
    model::forward::RetryMode,
    ui::color::{Colors, Styling},
};

fn forwarded(resolved: Result<Resolved, Fatal>) -> Result<Config, Fatal> {
    match resolved? {
        Resolved::Forward(config) => Ok(config),
        Resolved::Pick(_) => panic!("there is nobody to pick"),
    }
}

fn config(line: &str) -> Result<Config, Fatal> {
    let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    match parse(&argv)? {
        Invocation::Forward(typed) => forwarded(resolve(*typed, Environment::default())),
        _ => panic!("{line}"),
    }
}

fn refusal(line: &str) -> Fatal {
    config(line).err().unwrap_or_else(|| panic!("{line} is accepted"))
}

#[test]
fn defaults() {
    let config = config("svc/api 8080:80").unwrap_or_else(|fatal| panic!("{fatal}"));
    assert_eq!(config.requests.len(), 1);
    assert_eq!(
        config.options,
        ForwardOptions {
            hold: Duration::from_secs(30),
            pod_running_timeout: Duration::from_secs(60),
            auto_port: false,
            give_up: false,
            allow_unready: false,
            addresses: vec![Address::Localhost],
            replace: false,
            retry: RetryMode::None,
        }
    );
    assert!(
        config.common.flags.request_timeout.is_none()
            && config.common.flags.insecure_skip_tls_verify.is_none()
    );
    assert!(
        !config.common.ui.quiet
            && config.common.ui.verbosity == 0
            && config.common.ui.colors == Colors::default()
    );
}

#[test]
fn credit_is_switched_off_by_the_environment() {
    let config = |value: &str| {
        let argv = ["svc/api", "80"].map(OsString::from);
        let Ok(Invocation::Forward(typed)) = parse(&argv) else { panic!("not understood") };
        forwarded(resolve(*typed, Environment { credit: Some(value.to_owned()), ..Environment::default() }))
    };
    for (value, credit) in [("off", CreditMode::Off), ("on", CreditMode::On), ("", CreditMode::On)] {
        assert_eq!(config(value).ok().map(|config| config.common.credit), Some(credit), "{value}");
    }
    let fatal = config("maybe").err().unwrap_or_else(|| panic!("it is accepted"));
    assert_eq!(fatal.to_string(), "invalid value 'maybe' of KUBECTL_FWD_CREDIT");
}

#[test]
fn everything() {
    let config = config(
        "-n prod svc/api --port 80 --kubeconfig=/k --context c --cluster cl --user u -s https://s --token t --as a \
         --as-group g1 --as-group g2 --as-uid 7 --as-user-extra k=v --certificate-authority ca --client-certificate cc \
         --client-key ck --insecure-skip-tls-verify=false --tls-server-name n --username un --password pw \
         --request-timeout 5 --disable-compression --cache-dir /c --match-server-version --warnings-as-errors \
         --log-flush-frequency=5s --vmodule=a=1,b=2 --profile none --profile-output p \
         --address 127.0.0.2,::1 --address=10.0.0.1 --pod-running-timeout=1m30s --hold 0 --auto-port --allow-unready --retry=safe-http --give-up -q \
         --color always -v6",
    )
    .unwrap_or_else(|fatal| panic!("{fatal}"));
    let flags = &config.common.flags;
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    for (value, expected) in [
        (&flags.context, "c"),
        (&flags.cluster, "cl"),
        (&flags.user, "u"),
        (&flags.namespace, "prod"),
        (&flags.server, "https://s"),
        (&flags.as_user, "a"),
        (&flags.as_uid, "7"),
        (&flags.tls_server_name, "n"),
        (&flags.username, "un"),
    ] {
        assert_eq!(text(value), expected);
    }
    let secret = |option: &Option<SecretString>| option.as_ref().map(|s| s.expose_secret().to_owned());
    assert_eq!((secret(&flags.token), secret(&flags.password)), (Some("t".into()), Some("pw".into())));
    assert_eq!(flags.as_groups, ["g1", "g2"]);
    assert_eq!(flags.as_user_extra, ["k=v"]);
    assert_eq!(flags.insecure_skip_tls_verify, Some(false));
    assert_eq!(flags.request_timeout, Some(Duration::from_secs(5)));
    assert!(flags.disable_compression);
    assert_eq!(config.options.addresses.len(), 3);
    assert_eq!(config.options.pod_running_timeout, Duration::from_secs(90));
    assert_eq!(config.options.hold, Duration::ZERO);
    assert!(config.options.auto_port && config.options.give_up && config.common.ui.quiet);
    assert!(config.options.allow_unready);
    assert_eq!(config.options.retry, RetryMode::SafeHttp);
    assert_eq!(config.common.ui.colors, Colors { stdout: Styling::Ansi, stderr: Styling::Ansi });
    assert_eq!(config.common.ui.verbosity, 6);
}

#[test]
fn empty_is_not_given() {
    let config = config("svc/api 80 --namespace= --context= --token= --kubeconfig= --request-timeout=");
    let flags = config.unwrap_or_else(|fatal| panic!("{fatal}")).common.flags;
    assert!(flags.namespace.is_none() && flags.context.is_none() && flags.token.is_none());
    assert!(flags.kubeconfig.is_none() && flags.request_timeout.is_none());
}

#[test]
fn refusals() {
    for (line, code) in [
        ("", "missing_arguments"),
        ("svc/api 80 --address example.com", "bad_address"),
        ("svc/api 80 --address localhost,", "bad_address"),
        ("svc/api 80 --hold 30", "bad_duration"),
        ("svc/api 80 --hold=-1s", "bad_duration"),
        ("svc/api 80 --hold soon", "bad_duration"),
        ("svc/api 80 --pod-running-timeout 0", "bad_duration"),
        ("svc/api 80 --pod-running-timeout=-1m", "bad_duration"),
        ("svc/api 80 --request-timeout=-1", "bad_duration"),
        ("svc/api 80 --log-flush-frequency=5", "bad_duration"),
        ("svc/api 80 --profile=cpu", "bad_profile"),
        ("svc/api 80 --color sometimes", "bad_color"),
        ("svc/api 80 -v loud", "bad_verbosity"),
        ("svc/api 80 -v=-1", "bad_verbosity"),
        ("svc/api 80 -n ../x", "bad_name"),
        ("-- svc/api 80", "missing_arguments"),
        ("svc/api 80 -d -- curl x", "command"),
        ("svc/api 80 -o json -- curl x", "command"),
        ("svc/api 80 -d --log x", "log"),
    ] {
        assert_eq!(refusal(line).code(), format!("fwd::usage::{code}"), "{line}");
    }
    let loud = refusal("-v svc/api 80");
    assert_eq!(loud.to_string(), "-v takes a number, not 'svc/api'");
    assert_eq!(refusal("-n svc/api 80").code(), "fwd::usage::bad_name");
    assert!(loud.advice().is_some_and(|help| help.contains("-v 4 svc/api\n")), "{loud:?}");
    assert_eq!(config("svc/api 80 -v 100000").ok().map(|config| config.common.ui.verbosity), Some(255));
    let help = Diagnostic::help(&refusal("svc/api 80 --hold 30")).map(|help| help.to_string());
    assert_eq!(help.as_deref(), Some("write --hold 30s for seconds"));
}

#[test]
fn the_same_local_port() {
    for (line, twice) in [
        ("svc/a 80 81", false),
        ("svc/a 80 svc/b 80", true),
        ("svc/a 8080:80 svc/b 8080:80", true),
        ("svc/a 80 svc/b 80:8080", true),
        ("svc/a :80 svc/b :80", false),
        ("svc/a http svc/b http", false),
        ("svc/a 127.0.0.1:80:80 svc/b 127.0.0.2:80:80", false),
        ("svc/a 80 svc/b 127.0.0.1:80:80", true),
        ("svc/a 80 svc/b [::1]:80:80", true),
        ("svc/a 80 svc/b 127.0.0.2:80:80", false),
        ("svc/a 80 svc/b 0.0.0.0:80:80", true),
        ("svc/a 0.0.0.0:80:80 svc/b [::1]:80:80", false),
        ("svc/a 80 svc/b 10.0.0.1:80:80 --address 10.0.0.1", true),
        ("svc/a unix:/tmp/x:80 svc/b unix:/tmp/x:81", true),
        ("svc/a unix:/tmp/x:80 svc/b unix:/tmp/y:80", false),
        ("svc/a unix:/tmp/x:80 svc/b 80", false),
    ] {
        let refused = config(line).err().map(|fatal| fatal.code().to_owned());
        assert_eq!(refused.as_deref(), twice.then_some("fwd::usage::port_twice"), "{line}");
    }
}

#[test]
fn addresses_each_once() {
    let (v4, v6) = (Address::Ip(Ipv4Addr::LOCALHOST.into()), Address::Ip(Ipv6Addr::LOCALHOST.into()));
    let any = Address::Ip(Ipv4Addr::UNSPECIFIED.into());
    for (typed, expected) in [
        (&[][..], vec![Address::Localhost]),
        (&["localhost"], vec![Address::Localhost]),
        (&["127.0.0.1,::1"], vec![v4, v6]),
        (&["127.0.0.1", "[::1]"], vec![v4, v6]),
        (&["127.0.0.1", ""], vec![v4]),
        (&["127.0.0.1, 127.0.0.1"], vec![v4]),
        (&["localhost,127.0.0.1"], vec![Address::Localhost]),
        (&["127.0.0.1,0.0.0.0"], vec![any]),
        (&["0.0.0.0,::1"], vec![any, v6]),
    ] {
        let typed: Vec<String> = typed.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(addresses(&typed), Ok(expected), "{typed:?}");
    }
}
