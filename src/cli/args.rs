//! The command line as typed: every flag, its spelling, its help. No environment, no IO, no decisions.
//!
//! These structs are the only list of flags. `normalise` reads their table to rewrite what people type into what argh
//! takes, `help` reads it to print. Conventions live in the table because argh has no word for them: an option whose
//! value is named [`SWITCH_WITH_VALUE`] may stand without one; and the flags of the top level are in three groups, those
//! of forwarding alone, those that every subcommand takes too, from [`FIRST_COMMON_FLAG`] on, and of these, those
//! that reach the cluster, from [`FIRST_CLUSTER_FLAG`] on.
//!
//! A subcommand is a struct of its own and a variant of [`Subcommand`]. Its positional's `arg_name` is what its usage line
//! shows, its examples stand in its help; a flag that it shares with the top level it declares again, and has then for
//! itself.
//!
//! An `arg_name` also says how a value is completed (`complete`): words between `|` are all the values there are, FILE and
//! DIRECTORY are completed by the shell, ID is a forward that runs, FORWARD one that runs or ended lately, SET is a saved set, TARGET and PORT are looked
//! up in the cluster; `--namespace`, `--context`, `--cluster` and `--user` are known by their names.

use argh::{ArgsInfo, FromArgs};

/// How the tool calls itself: what is typed to start it.
pub const NAME: &str = "kubectl fwd";

/// Other words for subcommands, and these.
pub const ALIASES: [(&str, &str); 1] = [("ls", "list")];

/// The file that kubectl looks for.
pub const PROGRAM: &str = "kubectl-fwd";

/// The file that stands for stdin.
pub const STDIN: &str = "-";

/// The value name of a switch that tells "off" from "not given": `--flag`, `--flag=true` and `--flag=false`.
pub const SWITCH_WITH_VALUE: &str = "true|false";

/// Flags from here on are every subcommand's as well.
pub const FIRST_COMMON_FLAG: &str = "--quiet";

/// Flags from here on reach the cluster, and mean what they mean to kubectl.
pub const FIRST_CLUSTER_FLAG: &str = "--namespace";

/// Forward local ports to the ready pods behind a service, a workload or a pod, and keep them forwarded while pods
/// restart, roll, move and vanish.
// Not `Debug`: it holds a token and a password.
#[derive(FromArgs, ArgsInfo, Default, PartialEq, Eq)]
#[argh(
    help_triggers("-h", "--help"),
    example = "kubectl fwd svc/api 8080:80                    # one port of a service",
    example = "kubectl fwd svc/api 8080:80 9090:metrics       # two, one of them by name",
    example = "kubectl fwd svc/api 8080:80 svc/db 5432        # two targets at once",
    example = "kubectl fwd deploy/web :3000                   # any free local port",
    example = "kubectl fwd web-0 3000                         # one pod",
    example = "kubectl fwd -l app=web 8080                    # whichever pods match",
    example = "kubectl fwd -n prod svc/api unix:/tmp/api.sock:80",
    example = "kubectl fwd svc/db :5432 -- sh -c 'psql -h $FWD_HOST -p $FWD_PORT'",
    error_code(0, "interrupted or told to stop, after the forwards worked"),
    error_code(1, "something failed; the message says what"),
    error_code(126, "the command behind -- cannot be executed"),
    error_code(127, "the command behind -- was not found; if it ran, its own status counts"),
    error_code(130, "interrupted before the forwards worked")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// targets and their ports
    #[argh(positional)]
    pub words: Vec<String>,

    /// forward this port of the target before it; may be repeated
    #[argh(option, short = 'p', arg_name = "PORT")]
    pub port: Vec<String>,

    /// forward to the pods with these labels: app=web,tier!=cache
    #[argh(option, short = 'l', arg_name = "SELECTOR")]
    pub selector: Option<String>,

    /// listen on these addresses, separated by commas; localhost is 127.0.0.1 and ::1 (default: localhost)
    #[argh(option, arg_name = "ADDRESSES")]
    pub address: Vec<String>,

    /// wait this long for a first pod to run (default: 1m)
    #[argh(option, arg_name = "DURATION")]
    pub pod_running_timeout: Option<String>,

    /// hold a connection this long while no pod is ready (default: 30s)
    #[argh(option, arg_name = "DURATION")]
    pub hold: Option<String>,

    /// use the next free local port where the wanted one is taken
    #[argh(switch)]
    pub auto_port: bool,

    /// where another forward of yours has the local port, stop that one and take its place
    #[argh(switch)]
    pub replace: bool,

    /// while no pod is ready, forward to one that runs; a pod that is named is forwarded to in any case
    #[argh(switch)]
    pub allow_unready: bool,

    /// exit with an error once reconnecting has failed, instead of trying for as long as it takes
    #[argh(switch)]
    pub give_up: bool,

    /// forward in the background, and return once that works
    #[argh(switch, short = 'd')]
    pub detach: bool,

    /// call the forwards this, for list, stop and logs
    #[argh(option, arg_name = "NAME")]
    pub name: Option<String>,

    /// write this file once everything works, and remove it at the end: JSON, for scripts
    #[argh(option, arg_name = "FILE")]
    pub ready_file: Option<String>,

    /// append messages to this file, instead of writing them to stderr
    #[argh(option, arg_name = "FILE")]
    pub log: Option<String>,

    /// once it works, open the first forward that looks like HTTP in the browser
    #[argh(switch)]
    pub open: bool,

    /// how --detach starts itself again
    #[argh(switch, hidden_help)]
    pub in_background: bool,

    /// print text, or json: one object an event (default: text)
    #[argh(option, short = 'o', arg_name = "text|json")]
    pub output: Option<String>,

    /// print errors only
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// begin each line of stderr with the time, in UTC
    #[argh(switch)]
    pub timestamps: bool,

    /// colour the output (default: auto)
    #[argh(option, arg_name = "auto|always|never")]
    pub color: Option<String>,

    /// log more, up to 9: 1 each connection, 4 what happens inside, 6 each request to the API server, 8 the headers of the answers (default: 0)
    #[argh(option, short = 'v', long = "v", arg_name = "NUMBER")]
    pub verbosity: Option<String>,

    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,

    /// look for the targets in this namespace
    #[argh(option, short = 'n', arg_name = "NAME")]
    pub namespace: Option<String>,

    /// use this kubeconfig file
    #[argh(option, arg_name = "FILE")]
    pub kubeconfig: Option<String>,

    /// use this context of the kubeconfig
    #[argh(option, arg_name = "NAME")]
    pub context: Option<String>,

    /// use this cluster of the kubeconfig
    #[argh(option, arg_name = "NAME")]
    pub cluster: Option<String>,

    /// use this user of the kubeconfig
    #[argh(option, arg_name = "NAME")]
    pub user: Option<String>,

    /// the address of the API server
    #[argh(option, short = 's', arg_name = "URL")]
    pub server: Option<String>,

    /// bearer token for the API server
    #[argh(option, arg_name = "TOKEN")]
    pub token: Option<String>,

    /// act as this user
    #[argh(option, long = "as", arg_name = "USER")]
    pub as_user: Option<String>,

    /// act as a member of this group; may be repeated
    #[argh(option, arg_name = "GROUP")]
    pub as_group: Vec<String>,

    /// act as the user with this UID
    #[argh(option, arg_name = "UID")]
    pub as_uid: Option<String>,

    /// act with this extra property of a user; may be repeated
    #[argh(option, arg_name = "KEY=VALUE")]
    pub as_user_extra: Vec<String>,

    /// trust the certificates in this file
    #[argh(option, arg_name = "FILE")]
    pub certificate_authority: Option<String>,

    /// present this certificate to the API server
    #[argh(option, arg_name = "FILE")]
    pub client_certificate: Option<String>,

    /// the key of that certificate
    #[argh(option, arg_name = "FILE")]
    pub client_key: Option<String>,

    /// do not check the certificate of the API server; this makes the connection insecure
    #[argh(option, arg_name = "true|false")]
    pub insecure_skip_tls_verify: Option<String>,

    /// expect this name in the certificate of the API server
    #[argh(option, arg_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// user name for basic authentication
    #[argh(option, arg_name = "NAME")]
    pub username: Option<String>,

    /// password for basic authentication
    #[argh(option, arg_name = "PASSWORD")]
    pub password: Option<String>,

    /// give up on one request to the API server after this long; 0 is never (default: 0)
    #[argh(option, arg_name = "DURATION")]
    pub request_timeout: Option<String>,

    /// ask the API server for uncompressed answers
    #[argh(switch)]
    pub disable_compression: bool,

    /// accepted as kubectl accepts it; nothing is cached
    #[argh(option, arg_name = "DIRECTORY", hidden_help)]
    pub cache_dir: Option<String>,

    /// accepted as kubectl accepts it; every version is served
    #[argh(switch, hidden_help)]
    pub match_server_version: bool,

    /// accepted as kubectl accepts it; warnings are never errors
    #[argh(switch, hidden_help)]
    pub warnings_as_errors: bool,

    /// accepted as kubectl accepts it; the log is never held back
    #[argh(option, arg_name = "DURATION", hidden_help)]
    pub log_flush_frequency: Option<String>,

    /// accepted as kubectl accepts it; -v is for all modules
    #[argh(option, arg_name = "PATTERN=NUMBER", hidden_help)]
    pub vmodule: Option<String>,

    /// none, as kubectl accepts it; no profile is written
    #[argh(option, arg_name = "NAME", hidden_help)]
    pub profile: Option<String>,

    /// accepted as kubectl accepts it; no profile is written
    #[argh(option, arg_name = "FILE", hidden_help)]
    pub profile_output: Option<String>,
}

/// The subcommands: words that count as such only in the first place.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(subcommand)]
pub enum Subcommand {
    /// `list`.
    List(ListArgs),
    /// `stop`.
    Stop(StopArgs),
    /// `serve`.
    Serve(ServeArgs),
    /// `up`.
    Up(UpArgs),
    /// `down`.
    Down(DownArgs),
    /// `sets`.
    Sets(SetsArgs),
    /// `save`.
    Save(SaveArgs),
    /// `logs`.
    Logs(LogsArgs),
    /// `completion`.
    Completion(CompletionArgs),
    /// `doctor`.
    Doctor(DoctorArgs),
    /// `version`.
    Version(VersionArgs),
}

/// List the forwards of this user, in whichever process they run.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "list",
    help_triggers("-h", "--help"),
    example = "kubectl fwd list",
    example = "kubectl fwd list -o wide",
    example = "kubectl fwd list -n prod                       # those in this namespace",
    example = "kubectl fwd list --watch                       # and every change from now on",
    example = "kubectl fwd list -o json                       # everything, for programs",
    example = "kubectl fwd list -o custom-columns=ID:.id,OPEN:.connections.open",
    note = "'kubectl fwd ls' is the same. -n and --context show the forwards of that namespace and context only; the other flags for reaching a cluster mean nothing here.",
    note = "CONNECTIONS are open/total, BYTES are from/to the pod; SINCE is the age of STATE. A terminal that is too narrow shows fewer columns.",
    note = "A table also shows the forwards of processes in the background that ended within the last hour, as stopped or failed; 'kubectl fwd logs' finds their logs."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ListArgs {
    /// show a table, wide, json, yaml, name, which is the ids alone, or custom-columns=HEADER:.field,... (default: table)
    #[argh(option, short = 'o', arg_name = "table|wide|json|yaml|name|custom-columns=")]
    pub output: Option<String>,

    /// show the forwards of every namespace, whatever -n says; without -n that is so anyway
    #[argh(switch, short = 'A')]
    pub all_namespaces: bool,

    /// show forwards that ended within the last hour in every format, not in a table alone
    #[argh(switch)]
    pub ended: bool,

    /// leave out the names of the columns
    #[argh(switch)]
    pub no_headers: bool,

    /// after the list, show each forward again whenever it changes
    #[argh(switch, short = 'w')]
    pub watch: bool,
}

/// Stop forwards, and leave the others of their processes working.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "stop",
    help_triggers("-h", "--help"),
    example = "kubectl fwd stop k3x9ab                        # by id",
    example = "kubectl fwd stop 8080                          # by local port",
    example = "kubectl fwd stop svc/api                       # every port of it",
    example = "kubectl fwd stop svc/api:http                  # one port of it",
    example = "kubectl fwd stop --all",
    example = "kubectl fwd stop --all -n prod                 # those in this namespace",
    note = "-n and --context leave the forwards of that namespace and context; the others are not touched.",
    note = "A word is an id, a local port, a --name, or a target as 'kubectl fwd list' shows it. A name or a target means all of its forwards; where a word could mean different things nothing is stopped."
)]
pub struct StopArgs {
    /// stop every forward
    #[argh(switch)]
    pub all: bool,

    /// what to stop
    #[argh(positional, arg_name = "ID")]
    pub words: Vec<String>,
}

/// Run without forwards until another program starts some, over JSON-RPC.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "serve",
    help_triggers("-h", "--help"),
    example = "kubectl fwd serve",
    example = "kubectl fwd serve --stdio                      # for a parent program",
    note = "docs/CONTROL.md in the repository describes the protocol."
)]
pub struct ServeArgs {
    /// speak on stdin and stdout as well, and end when stdin is closed
    #[argh(switch)]
    pub stdio: bool,
}

/// Start the forwards of a set, all or none: one that was saved, that of a file, or fwd.yaml in this directory.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "up",
    help_triggers("-h", "--help"),
    example = "kubectl fwd up                # the set fwd.yaml in this directory",
    example = "kubectl fwd up dev            # the saved set dev",
    example = "kubectl fwd up -f shop.yaml -d",
    example = "kubectl fwd up shop -- make test",
    note = "What of the set runs already, in whichever process, stays as it is, and the rest is started. 'kubectl fwd down' ends a set, 'kubectl fwd sets' lists them."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct UpArgs {
    /// the saved set
    #[argh(positional, arg_name = "SET")]
    pub set: Option<String>,

    /// start the set in this file; - is stdin
    #[argh(option, short = 'f', arg_name = "FILE")]
    pub file: Option<String>,

    /// start what of it can be started, and tell what cannot
    #[argh(switch)]
    pub keep_going: bool,

    /// start a set of somebody else that runs programs, talks to other servers or lets other machines connect, and remember that until it changes
    #[argh(switch)]
    pub trust: bool,

    /// where other forwards of yours have a local port of the set, stop those and take their place
    #[argh(switch)]
    pub replace: bool,

    /// list the sets instead of starting one, as 'kubectl fwd sets' does
    #[argh(switch)]
    pub list: bool,

    /// print the JSON schema of sets
    #[argh(switch)]
    pub schema: bool,

    /// forward in the background, and return once that works
    #[argh(switch, short = 'd')]
    pub detach: bool,

    /// write this file once everything works, and remove it at the end: JSON, for scripts
    #[argh(option, arg_name = "FILE")]
    pub ready_file: Option<String>,

    /// append messages to this file, instead of writing them to stderr
    #[argh(option, arg_name = "FILE")]
    pub log: Option<String>,

    /// once it works, open the first forward that looks like HTTP in the browser
    #[argh(switch)]
    pub open: bool,

    /// exit with an error once reconnecting has failed, instead of trying for as long as it takes
    #[argh(switch)]
    pub give_up: bool,

    /// print text, or json: one object an event (default: text)
    #[argh(option, short = 'o', arg_name = "text|json")]
    pub output: Option<String>,

    /// how --detach starts itself again
    #[argh(switch, hidden_help)]
    pub in_background: bool,
}

impl UpArgs {
    /// Whether the set is read from stdin.
    pub fn reads_stdin(&self) -> bool {
        self.file.as_deref() == Some(STDIN)
    }
}

/// Stop the forwards of a set, in whichever process they run; others of these processes go on.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "down",
    help_triggers("-h", "--help"),
    example = "kubectl fwd down              # the set fwd.yaml in this directory",
    example = "kubectl fwd down dev          # the saved set dev",
    example = "kubectl fwd down -f shop.yaml",
    note = "A forward is one of the set where context, namespace, target, port and local address are the same. Give --context and -n as they were given to 'up'."
)]
pub struct DownArgs {
    /// the saved set
    #[argh(positional, arg_name = "SET")]
    pub set: Option<String>,

    /// stop the set in this file; - is stdin
    #[argh(option, short = 'f', arg_name = "FILE")]
    pub file: Option<String>,
}

/// List the sets: those that were saved, and fwd.yaml in this directory.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "sets",
    help_triggers("-h", "--help"),
    example = "kubectl fwd sets",
    example = "kubectl fwd sets -o json",
    note = "RUNNING is how many of its forwards run now, in whichever process."
)]
pub struct SetsArgs {
    /// show a table, json, yaml, or name, which is the names alone (default: table)
    #[argh(option, short = 'o', arg_name = "table|json|yaml|name")]
    pub output: Option<String>,
}

/// Save the forwards that run, in whichever process, as a set that 'up' starts again.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "save",
    help_triggers("-h", "--help"),
    example = "kubectl fwd save dev          # then: kubectl fwd up dev",
    example = "kubectl fwd save --auto work  # and keep it current from now on",
    example = "kubectl fwd save -f fwd.yaml  # with a project"
)]
pub struct SaveArgs {
    /// the name of the set
    #[argh(positional, arg_name = "SET")]
    pub set: Option<String>,

    /// write to this file instead; - is stdout
    #[argh(option, short = 'f', arg_name = "FILE")]
    pub file: Option<String>,

    /// keep the set current: forwards that start are added, those that you end are removed
    #[argh(switch)]
    pub auto: bool,

    /// replace a set that is there
    #[argh(switch)]
    pub force: bool,
}

/// Print the log of a forward in the background.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "logs",
    help_triggers("-h", "--help"),
    example = "kubectl fwd logs kq3x7m",
    example = "kubectl fwd logs -f db        # by its name, and whatever comes"
)]
pub struct LogsArgs {
    /// its id, name, local port or target
    #[argh(positional, arg_name = "FORWARD")]
    pub forward: String,

    /// go on printing what comes
    #[argh(switch, short = 'f')]
    pub follow: bool,
}

/// Check what is needed to forward, from the kubeconfig to the application in the pod, and say what to do about what is
/// missing.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "doctor",
    help_triggers("-h", "--help"),
    example = "kubectl fwd doctor                             # the way to the cluster",
    example = "kubectl fwd doctor svc/api                     # and to the pods of a service",
    example = "kubectl fwd doctor svc/api 8080:http           # only this port, and the local one",
    example = "kubectl fwd doctor -n prod -l app=web -o json",
    note = "The target and its ports are written as for forwarding; ports may be left out. Nothing is sent to the application: a connection is opened and closed.",
    note = "The exit status is 1 where something is missing that is needed. Warnings are no reason.",
    note = "docs/DOCTOR.md in the repository describes each check, and the JSON."
)]
pub struct DoctorArgs {
    /// look at the pods with these labels: app=web,tier!=cache
    #[argh(option, short = 'l', arg_name = "SELECTOR")]
    pub selector: Option<String>,

    /// print text, or json: one object with every check (default: text)
    #[argh(option, short = 'o', arg_name = "FORMAT")]
    pub output: Option<String>,

    /// what to look at, and its ports
    #[argh(positional, arg_name = "TARGET")]
    pub words: Vec<String>,
}

/// Complete commands, flags and names from the cluster with the TAB key.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "completion",
    help_triggers("-h", "--help"),
    example = "kubectl fwd completion install        # for 'kubectl fwd', in every shell that completes kubectl",
    example = "kubectl fwd completion uninstall      # removes it again",
    example = "source <(kubectl fwd completion bash) # for 'kubectl-fwd' called directly, in ~/.bashrc",
    example = "kubectl fwd completion zsh > ~/.zsh/completions/_kubectl-fwd",
    example = "kubectl fwd completion fish > ~/.config/fish/completions/kubectl-fwd.fish",
    example = "kubectl fwd completion powershell | Out-String | Invoke-Expression",
    note = "'install' makes the link kubectl_complete-fwd beside kubectl-fwd on the PATH: kubectl 1.26 and later asks it what can follow. The shell has to complete kubectl already: see 'kubectl completion --help'.",
    note = "Names are looked up in the cluster that -n, --context and --kubeconfig mean, for 250 ms at most. KUBECTL_FWD_COMPLETION_TIMEOUT=1s allows a slow cluster or credential plugin more time."
)]
pub struct CompletionArgs {
    /// a shell, to print its script; or install or uninstall
    #[argh(positional, arg_name = "bash|zsh|fish|powershell|install|uninstall")]
    pub action: String,
}

/// Print the version, and that of the server where it can be reached.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "version",
    help_triggers("-h", "--help"),
    example = "kubectl fwd version",
    example = "kubectl fwd version --client          # asks no server",
    example = "kubectl fwd version -o json"
)]
pub struct VersionArgs {
    /// print the version of this program only
    #[argh(switch)]
    pub client: bool,

    /// print both versions as json or yaml
    #[argh(option, short = 'o', arg_name = "json|yaml")]
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conventions_hold() {
        let flags = Args::get_args_info().flags;
        let at = |name: &str| flags.iter().position(|flag| flag.long == name);
        assert!(
            at(FIRST_COMMON_FLAG)
                .is_some_and(|common| at(FIRST_CLUSTER_FLAG).is_some_and(|cluster| common < cluster))
        );
        let valued = flags.iter().filter(
            |flag| matches!(flag.kind, argh::FlagInfoKind::Option { arg_name } if arg_name == SWITCH_WITH_VALUE),
        );
        assert_eq!(valued.map(|flag| flag.long).collect::<Vec<_>>(), ["--insecure-skip-tls-verify"]);
    }
}
