//! From what was typed to what is meant.
//!
//! [`Environment::read`] looks once at the environment and the terminals; [`resolve`] is pure and decides everything
//! the floors below are told.

use std::{env, ffi::OsString, io, io::IsTerminal as _, path::PathBuf, time::Duration};

use secrecy::SecretString;
use terminal_size::{Width, terminal_size_of};

use super::{
    ParsedArgs,
    args::Args,
    beside::{BesideOptions, HistoryUse, TypedBeside},
    complete::LOOKUP_LIMIT,
    directories,
    full_screen::TerminalKind,
    grammar::{self, ArgToken},
    normalise::ArgKind,
    subcommands::ListArgs,
};
use crate::{
    cluster::config::flags::{ClusterEnvironment, Flags},
    control::sockets,
    error::Fatal,
    forward::{ForwardOptions, ForwardRequest},
    input::{
        address,
        duration::{self, DurationError},
        label::label,
        local::{PortClaims, local_end},
        retry::retry_mode,
        target::object_name,
    },
    model::ports::Address,
    spdy::session::CreditMode,
    ui::{
        LineTimes, OutputFormat, OutputSettings,
        color::{ColorChoice, ColorEnvironment},
        list::{CustomColumn, ListFormat, ListStyle, TableWidth},
    },
};

/// How credit for the peer's queues is switched off, should a cluster's runtime not be as it supposes.
const CREDIT: &str = "KUBECTL_FWD_CREDIT";
/// How completion is given another time than [`LOOKUP_LIMIT`], for a cluster or a credential plugin that is slow.
const COMPLETION_TIMEOUT: &str = "KUBECTL_FWD_COMPLETION_TIMEOUT";
/// Commands that open a URL, separated by colons.
const BROWSER: &str = "BROWSER";
/// The long spellings whose place among the words matters.
const PORT: &str = "--port";
const SELECTOR: &str = "--selector";

/// Everything that forwarding needs.
pub struct Config {
    /// What to forward. Never empty.
    pub requests: Vec<ForwardRequest>,
    /// How.
    pub options: ForwardOptions,
    /// What the user calls it.
    pub label: Option<String>,
    /// What is done beside forwarding.
    pub beside: BesideOptions,
    /// And what every command does.
    pub common: CommonOptions,
}

/// What a command line without a subcommand comes to.
pub enum Resolved {
    /// It says what to forward.
    Forward(Config),
    /// It names no target, and there is a person to pick some.
    Pick(PickOptions),
}

/// What picking needs.
pub struct PickOptions {
    /// Where is listened.
    pub addresses: Vec<Address>,
    /// Whether what was used is to come first.
    pub history: HistoryUse,
    /// And what every command does.
    pub common: CommonOptions,
}

/// What the flags that every command takes come to.
// Not `Debug`: it holds a token and a password.
#[derive(Clone)]
pub struct CommonOptions {
    /// How to reach the cluster, as typed.
    pub flags: Flags,
    /// How to reach the cluster, as the environment has it.
    pub environment: ClusterEnvironment,
    /// Peers are sent no more than their queues hold (PROTOCOL §2.8).
    pub credit: CreditMode,
    /// What the user sees.
    pub ui: OutputSettings,
    /// A person sees what is asked on stderr, and can answer on stdin.
    pub can_ask: bool,
    /// Columns of the terminal that stdout is.
    pub columns: Option<usize>,
    /// What a full screen could be shown on.
    pub terminal: TerminalKind,
    /// The terminal that stdout is shows more than ASCII.
    pub has_unicode: bool,
}

/// The environment and the terminals, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// What the cluster's side depends on.
    pub cluster: ClusterEnvironment,
    /// What colour depends on.
    pub signals: ColorEnvironment,
    /// What decides where control sockets are.
    pub sockets: sockets::SocketEnvironment,
    /// Where the user's configuration is.
    pub configuration: Option<PathBuf>,
    /// Where what programs remember is.
    pub state: Option<PathBuf>,
    /// This program.
    pub program: Option<PathBuf>,
    /// Text for a terminal may hold more than ASCII.
    pub is_utf8: bool,
    /// `BROWSER`: what opens a URL, before what the system has for that.
    pub browser: Option<String>,
    /// `KUBECTL_FWD_CREDIT`.
    pub credit: Option<String>,
    /// Columns of the terminal that stdout is.
    pub columns: Option<usize>,
    /// The terminal that stdout is shows more than ASCII.
    pub has_unicode: bool,
    /// `KUBECTL_FWD_COMPLETION_TIMEOUT`.
    pub completion: Option<String>,
    /// Where programs are.
    pub path: Option<OsString>,
}

impl Environment {
    /// Reads them.
    pub fn read() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        // `FORCE_COLOR=0` is how some tools are told not to force.
        let forced = |name: &str| set(name) && env::var_os(name).is_some_and(|value| value != "0");
        Self {
            cluster: ClusterEnvironment::read(),
            signals: ColorEnvironment {
                no_color: set("NO_COLOR"),
                force_color: forced("CLICOLOR_FORCE") || forced("FORCE_COLOR"),
                dumb: env::var_os("TERM").is_some_and(|term| term == "dumb"),
                stdout_is_terminal: io::stdout().is_terminal(),
                stderr_is_terminal: io::stderr().is_terminal(),
                // Windows Terminal, and what comes from Unix, say who they are.
                moves_cursor: !cfg!(windows) || set("WT_SESSION") || set("TERM"),
            },
            sockets: sockets::SocketEnvironment {
                runtime: env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
                temporary: env::temp_dir(),
                user: env::var("USERNAME").unwrap_or_default(),
            },
            configuration: directories::configuration(
                |name| env::var_os(name).map(PathBuf::from),
                env::home_dir(),
            ),
            state: directories::state(|name| env::var_os(name).map(PathBuf::from), env::home_dir()),
            program: env::current_exe().ok(),
            is_utf8: is_utf8(|name| env::var(name).ok()),
            browser: env::var(BROWSER).ok().filter(|commands| !commands.is_empty()),
            credit: env::var_os(CREDIT).map(|value| value.to_string_lossy().into_owned()),
            columns: terminal_size_of(io::stdout()).map(|(Width(columns), _)| usize::from(columns)),
            has_unicode: supports_unicode::on(supports_unicode::Stream::Stdout),
            completion: env::var(COMPLETION_TIMEOUT).ok(),
            path: env::var_os("PATH"),
        }
    }
}

/// Whether the locale's encoding is UTF-8, by the first of its variables that is set, as POSIX has it. Windows' terminals are
/// written to as Unicode.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8")
}

/// Makes sense of what was typed.
pub fn resolve(typed: ParsedArgs, environment: Environment) -> Result<Resolved, Fatal> {
    let ParsedArgs { args, order, rest } = typed;
    let requests = grammar::requests(&tokens(&args, &order)).map_err(|fatal| match rest.first() {
        // To kubectl `--` ends the flags, and what follows are targets and ports.
        Some(first) if fatal.code() == grammar::MISSING => fatal.help(format!(
            "'{}' stands behind '--', where a command begins; write the target and its ports in front of it",
            first.to_string_lossy()
        )),
        _ => fatal,
    });
    let beside = BesideOptions::new(&TypedBeside::from(&args), rest);
    let addresses = addresses(&args.address)?;
    let defaults = ForwardOptions::default();
    let pod_running_timeout = match &args.pod_running_timeout {
        None => defaults.pod_running_timeout,
        Some(text) => match go_duration("--pod-running-timeout", text)? {
            Duration::ZERO => {
                return Err(bad_duration("--pod-running-timeout", text, "it has to be more than zero"));
            }
            duration => duration,
        },
    };
    let hold = args.hold.as_deref().map_or(Ok(defaults.hold), |text| go_duration("--hold", text))?;
    let (auto_port, give_up, allow_unready) = (args.auto_port, args.give_up, args.allow_unready);
    let replace = args.replace;
    let retry = args.retry.as_deref().map_or(Ok(defaults.retry), retry_mode)?;
    let label = args.name.as_deref().map(label).transpose()?;
    let in_background = args.in_background;
    let common = common(args, environment)?;
    // Last: a flag that took the target for its value is what is wrong, not the target that is missing for it.
    let requests = match requests {
        Err(fatal) if fatal.code() == grammar::MISSING && !in_background && can_pick(&common) => {
            let history = beside?.history;
            return Ok(Resolved::Pick(PickOptions { addresses, history, common }));
        }
        requests => requests?,
    };
    let beside = beside?;
    no_port_twice(&requests, &addresses)?;
    Ok(Resolved::Forward(Config {
        requests,
        label,
        beside,
        options: ForwardOptions {
            hold,
            pod_running_timeout,
            auto_port,
            give_up,
            allow_unready,
            addresses,
            replace,
            retry,
        },
        common,
    }))
}

/// Whether there is somebody to pick what to forward, and a screen to do it on.
fn can_pick(common: &CommonOptions) -> bool {
    common.terminal == TerminalKind::Full && common.ui.output == OutputFormat::Text
}

/// Makes sense of the flags that every command takes.
pub fn common(args: Args, environment: Environment) -> Result<CommonOptions, Fatal> {
    let ui = OutputSettings {
        output: output(args.output.as_deref())?,
        quiet: args.quiet,
        times: if args.timestamps { LineTimes::Shown } else { LineTimes::Hidden },
        colors: environment.signals.decide(when(args.color.as_deref())?),
        verbosity: args.verbosity.as_deref().map_or(Ok(0), verbosity)?,
        ..OutputSettings::default()
    };
    let ui = ui.on(&environment.signals);
    ignored(&args)?;
    let credit = credit(environment.credit.as_deref())?;
    let can_ask = environment.cluster.stdin_is_terminal && environment.signals.stderr_is_terminal;
    let terminal = TerminalKind::of(environment.cluster.stdin_is_terminal, &environment.signals);
    let (flags, columns, has_unicode) = (flags(args)?, environment.columns, environment.has_unicode);
    let environment = environment.cluster;
    Ok(CommonOptions { flags, environment, credit, ui, can_ask, columns, terminal, has_unicode })
}

/// What kubectl's flags may say that mean nothing here. What cannot be ignored is refused.
fn ignored(args: &Args) -> Result<(), Fatal> {
    if let Some(text) = &args.log_flush_frequency {
        go_duration("--log-flush-frequency", text)?;
    }
    match args.profile.as_deref() {
        None | Some("none") => Ok(()),
        Some(other) => Err(Fatal::new("fwd::usage::bad_profile", format!("--profile cannot be '{other}'"))
            .help("only kubectl writes profiles of itself; leave the flag out")),
    }
}

/// The words, ports and selector in the order in which they were typed.
fn tokens<'a>(args: &'a Args, order: &[ArgKind]) -> Vec<ArgToken<'a>> {
    let (mut words, mut ports) = (args.words.iter(), args.port.iter());
    order
        .iter()
        .filter_map(|slot| match *slot {
            ArgKind::Word => words.next().map(|word| ArgToken::Word(word)),
            ArgKind::Flag(PORT) => ports.next().map(|port| ArgToken::Port(port)),
            ArgKind::Flag(SELECTOR) => args.selector.as_deref().map(ArgToken::Selector),
            ArgKind::Flag(_) => None,
        })
        .collect()
}

/// How long completion may look things up. A value that is none is ignored, for completion tells no errors.
pub fn completion_limit(environment: &Environment) -> Duration {
    let wanted = environment.completion.as_deref().and_then(|text| duration::parse(text).ok());
    wanted.filter(|limit| !limit.is_zero()).unwrap_or(LOOKUP_LIMIT)
}

/// Makes sense of the flags that reach a cluster.
pub fn flags(args: Args) -> Result<Flags, Fatal> {
    // To kubectl an empty value is no value: `-n "$NAMESPACE"` with nothing in it is the default namespace.
    let given = |value: Option<String>| value.filter(|text| !text.is_empty());
    let namespace = given(args.namespace);
    if let Some(namespace) = &namespace {
        object_name("namespace", namespace)?;
    }
    let request_timeout = match &given(args.request_timeout) {
        None => None,
        Some(text) => duration::parse_timeout(text)
            .map_err(|error| bad_duration("--request-timeout", text, &error.to_string()))?,
    };
    Ok(Flags {
        kubeconfig: given(args.kubeconfig).map(PathBuf::from),
        context: given(args.context),
        cluster: given(args.cluster),
        user: given(args.user),
        namespace,
        server: given(args.server),
        token: given(args.token).map(SecretString::from),
        as_user: given(args.as_user),
        as_groups: args.as_group,
        as_uid: given(args.as_uid),
        as_user_extra: args.as_user_extra,
        certificate_authority: given(args.certificate_authority).map(PathBuf::from),
        client_certificate: given(args.client_certificate).map(PathBuf::from),
        client_key: given(args.client_key).map(PathBuf::from),
        insecure_skip_tls_verify: args.insecure_skip_tls_verify.map(|text| text == "true"),
        tls_server_name: given(args.tls_server_name),
        username: given(args.username),
        password: given(args.password).map(SecretString::from),
        request_timeout,
        disable_compression: args.disable_compression,
    })
}

fn go_duration(flag: &str, text: &str) -> Result<Duration, Fatal> {
    duration::parse(text).map_err(|error| {
        let fatal = bad_duration(flag, text, &error.to_string());
        if error == DurationError::NoUnit {
            fatal.help(format!("write {flag} {text}s for seconds"))
        } else {
            fatal
        }
    })
}

fn bad_duration(flag: &str, text: &str, why: &str) -> Fatal {
    Fatal::new("fwd::usage::bad_duration", format!("invalid value '{text}' for {flag}"))
        .because(why)
        .help(format!("for example {flag} 30s, or {flag} 1m30s"))
}

/// What `-o` says, of what forwarding can do.
pub fn output(text: Option<&str>) -> Result<OutputFormat, Fatal> {
    match text {
        None | Some("text") => Ok(OutputFormat::Text),
        Some("json") => Ok(OutputFormat::Json),
        Some(other) => {
            Err(Fatal::new("fwd::usage::bad_output", format!("invalid value '{other}' for --output"))
                .help("use text or json"))
        }
    }
}

fn when(text: Option<&str>) -> Result<ColorChoice, Fatal> {
    match text {
        None | Some("auto") => Ok(ColorChoice::Auto),
        Some("always") => Ok(ColorChoice::Always),
        Some("never") => Ok(ColorChoice::Never),
        Some(other) => {
            Err(Fatal::new("fwd::usage::bad_color", format!("invalid value '{other}' for --color"))
                .help("use auto, always or never"))
        }
    }
}

fn credit(text: Option<&str>) -> Result<CreditMode, Fatal> {
    match text {
        None | Some("" | "on") => Ok(CreditMode::On),
        Some("off") => Ok(CreditMode::Off),
        Some(other) => {
            Err(Fatal::new("fwd::usage::bad_credit", format!("invalid value '{other}' of {CREDIT}"))
                .help("use on or off; on is the default"))
        }
    }
}

/// How a list is to look.
pub fn list_style(list: &ListArgs, common: &CommonOptions) -> Result<ListStyle, Fatal> {
    Ok(ListStyle {
        format: list_format(list.output.as_deref())?,
        headers: !list.no_headers,
        width: common.columns.map_or(TableWidth::Any, TableWidth::Within),
        styling: common.ui.colors.stdout,
    })
}

/// How a list of sets is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetListFormat {
    /// Columns for people.
    Table,
    /// Everything, for programs.
    Json,
    /// The same as YAML.
    Yaml,
    /// The names alone, for `up`.
    Name,
}

/// Reads `sets -o`.
pub fn set_list_format(text: Option<&str>) -> Result<SetListFormat, Fatal> {
    match text {
        None | Some("table" | "text") => Ok(SetListFormat::Table),
        Some("json") => Ok(SetListFormat::Json),
        Some("yaml") => Ok(SetListFormat::Yaml),
        Some("name") => Ok(SetListFormat::Name),
        Some(other) => {
            Err(Fatal::new("fwd::usage::bad_output", format!("the sets cannot be shown as '{other}'"))
                .help("-o takes table, json, yaml or name"))
        }
    }
}

/// Reads `list -o`.
fn list_format(text: Option<&str>) -> Result<ListFormat, Fatal> {
    match text {
        None | Some("table") => Ok(ListFormat::Table),
        Some("wide") => Ok(ListFormat::Wide),
        Some("json") => Ok(ListFormat::Json),
        Some("yaml") => Ok(ListFormat::Yaml),
        Some("name") => Ok(ListFormat::Name),
        Some(other) => match other.strip_prefix("custom-columns=") {
            Some(columns) => CustomColumn::parse_all(columns).map(ListFormat::Custom),
            None => Err(Fatal::new("fwd::usage::bad_output", format!("a list cannot be shown as '{other}'"))
                .help("-o takes table, wide, json, yaml, name, or custom-columns=HEADER:.field")),
        },
    }
}

fn verbosity(text: &str) -> Result<u8, Fatal> {
    // A number that is too large asks for everything there is.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.parse().unwrap_or(u8::MAX));
    }
    // A `-v` without a number has taken the target for one.
    let target = if text.contains('/') { format!(" {text}") } else { String::new() };
    Err(Fatal::new("fwd::usage::bad_verbosity", format!("-v takes a number, not '{text}'")).help(format!(
        "write the number after it, as for kubectl: -v 4{target}\n0 logs warnings only, 4 what this tool decides, 9 everything"
    )))
}

/// The addresses of `--address`: lists and repetitions together, each once.
fn addresses(typed: &[String]) -> Result<Vec<Address>, Fatal> {
    // To kubectl, too, an empty list adds nothing to others.
    let others: Vec<String> = typed.iter().filter(|list| !list.is_empty()).cloned().collect();
    address::addresses(if others.is_empty() { typed } else { &others }).map_err(|fatal| {
        fatal.help("--address takes IPs and localhost, separated by commas: --address localhost,10.0.0.5")
    })
}

/// Refuses two ports that want the same local address. Found here, because the bind would blame another process.
fn no_port_twice(requests: &[ForwardRequest], addresses: &[Address]) -> Result<(), Fatal> {
    let mut taken = PortClaims::default();
    for ForwardRequest { target, ports } in requests {
        let target = target.to_string();
        for port in ports {
            let Some(other) = taken.claim(port, addresses, &target) else { continue };
            let local = local_end(port);
            return Err(Fatal::new("fwd::usage::port_twice", format!("{local} is wanted twice"))
                .because(if other == target {
                    format!("{target} asks for it twice")
                } else {
                    format!("both {other} and {target} ask for it")
                })
                .help("give one of them another local port, as in 8081:80, or any free one, as in :80"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
