//! The subcommands as typed, as [`args`](super::args) has the flags of the top level, by the same conventions.
//!
//! A subcommand is a struct of its own and a variant of [`Subcommand`]. Its positional's `arg_name` is what its usage line
//! shows, its examples stand in its help; a flag that it shares with the top level it declares again, and has then for
//! itself.

use argh::{ArgsInfo, FromArgs};

/// Other words for subcommands, and these.
pub const ALIASES: [(&str, &str); 1] = [("ls", "list")];

/// The file that stands for stdin.
pub const STDIN: &str = "-";

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
    /// `ui`.
    Ui(UiArgs),
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

    /// show the forwards of the set on a full screen
    #[argh(switch)]
    pub ui: bool,

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

/// Show all forwards on a full screen, and steer them there.
#[derive(FromArgs, ArgsInfo, Debug, Clone, Default, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "ui",
    help_triggers("-h", "--help"),
    example = "kubectl fwd ui",
    example = "kubectl fwd ui -n prod                         # those in this namespace",
    note = "It shows every forward of this user, live, stops them, reconnects them, moves them to other pods and adds more. They go on when it is left.",
    note = "The keys are at the bottom of the screen, and ? shows all of them. The mouse works as well.",
    note = "-n and --context show the forwards of that namespace and context only; these and the other flags for reaching a cluster are taken for what is added there."
)]
pub struct UiArgs {}

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
