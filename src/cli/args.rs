//! The command line as typed: every flag, its spelling, its help. No environment, no IO, no decisions.
//!
//! This struct and those of `subcommands` are the only list of flags. `normalise` reads their table to rewrite what people type into what argh
//! takes, `help` reads it to print. Conventions live in the table because argh has no word for them: an option whose
//! value is named [`SWITCH_WITH_VALUE`] may stand without one; and the flags of the top level are in three groups, those
//! of forwarding alone, those that every subcommand takes too, from [`FIRST_COMMON_FLAG`] on, and of these, those
//! that reach the cluster, from [`FIRST_CLUSTER_FLAG`] on.
//!
//! An `arg_name` also says how a value is completed (`complete`): words between `|` are all the values there are, FILE and
//! DIRECTORY are completed by the shell, ID is a forward that runs, FORWARD one that runs or ended lately, SET is a saved set, TARGET and PORT are looked
//! up in the cluster; `--namespace`, `--context`, `--cluster` and `--user` are known by their names.

use argh::{ArgsInfo, FromArgs};

/// How the tool calls itself: what is typed to start it.
pub const NAME: &str = "kubectl fwd";

/// The file that kubectl looks for.
pub const PROGRAM: &str = "kubectl-fwd";

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
    example = "kubectl fwd                                    # choose what to forward",
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

    /// where the connection to the pod is lost under the first request of a connection, send it again: none, or safe-http for
    /// HTTP/1.x GET, HEAD and OPTIONS without a body, of whose answer nothing came (default: none)
    #[argh(option, arg_name = "none|safe-http")]
    pub retry: Option<String>,

    /// exit with an error once reconnecting has failed, instead of trying for as long as it takes
    #[argh(switch)]
    pub give_up: bool,

    /// forward in the background, and return once that works
    #[argh(switch, short = 'd')]
    pub detach: bool,

    /// show the forwards of this command on a full screen, as 'kubectl fwd ui' shows all of them
    #[argh(switch)]
    pub ui: bool,

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

    /// do not remember the targets in the history by which the list of targets is ordered, and do not order it so
    #[argh(switch)]
    pub no_history: bool,

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
