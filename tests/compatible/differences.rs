//! The differences that are meant, and why.

/// Why `kubectl fwd` comes to something else than `kubectl port-forward`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    Ready,
    UnreadySaid,
    Slices,
    AllOrNone,
    Twice,
    Covered,
    Colons,
    EmptyRemote,
    UdpAndTcp,
    AddressSpelling,
    Brackets,
    Capitals,
    Dashes,
    Signals,
    FlagsFirst,
    Prompt,
    Negative,
    Master,
    MatchVersion,
    Profile,
    SeveralTargets,
    PortsFirst,
    OwnFlags,
    AddressInPort,
    UnixSockets,
    Subcommands,
}

use Difference::*;

impl Difference {
    /// In the order of the document.
    pub(crate) const ALL: [Self; 26] = [
        Ready,
        UnreadySaid,
        Slices,
        AllOrNone,
        Twice,
        Covered,
        Colons,
        EmptyRemote,
        UdpAndTcp,
        AddressSpelling,
        Brackets,
        Capitals,
        Dashes,
        Signals,
        FlagsFirst,
        Prompt,
        Negative,
        Master,
        MatchVersion,
        Profile,
        SeveralTargets,
        PortsFirst,
        OwnFlags,
        AddressInPort,
        UnixSockets,
        Subcommands,
    ];

    /// Its title and its reason, as the document has them.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Ready => (
                "A ready pod is waited for",
                "kubectl forwards to a pod that runs but is not ready, and its first connection fails. `kubectl fwd` waits until a pod \
                 of the service or workload is ready, for `--pod-running-timeout`; `--allow-unready` does as kubectl does. A pod that \
                 is named is forwarded to in any case.",
            ),
            UnreadySaid => (
                "A pod that is named and not ready",
                "Both forward to it. `kubectl fwd` says on stderr that it is not ready.",
            ),
            Slices => (
                "Services without a selector",
                "kubectl looks only at the selector of a service. `kubectl fwd` also takes the pods that EndpointSlices name.",
            ),
            AllOrNone => (
                "All local ports or none",
                "kubectl goes on without a port that it cannot listen on, and says so on stderr, where a script does not see it. \
                 `kubectl fwd` ends with an error that names the process that has the port; `--auto-port` takes another port.",
            ),
            Twice => (
                "One local port twice",
                "kubectl listens for the first of the two and leaves the second out. `kubectl fwd` refuses, since one of them was a mistake.",
            ),
            Covered => (
                "Addresses that include each other",
                "`0.0.0.0` includes `127.0.0.1`. kubectl tries to listen on both and is in its own way. `kubectl fwd` listens on the wider one.",
            ),
            Colons => (
                "Too many colons",
                "kubectl takes the first part of `1:2:3` for both ports and ignores the others. `kubectl fwd` reads the first of three \
                 parts as an address, and refuses what is none.",
            ),
            EmptyRemote => (
                "An empty remote port",
                "kubectl takes `8001:` for the port without a name of a service. `kubectl fwd` refuses it, as kubectl does for a pod.",
            ),
            UdpAndTcp => (
                "Ports with UDP and TCP",
                "Where a port of a service or a pod is there for UDP and for TCP, kubectl takes the one that is declared first, and only \
                 TCP can be forwarded. `kubectl fwd` takes the one for TCP.",
            ),
            AddressSpelling => (
                "How an address is written",
                "kubectl prints an address as it was typed, `kubectl fwd` in its usual form. Both listen on the same one.",
            ),
            Brackets => ("Brackets", "`[::1]` is the same address as `::1`, and copied from many places."),
            Capitals => (
                "Capital letters",
                "kubectl takes `Service/shop` and refuses `SVC/shop`. `kubectl fwd` takes a short name in capital letters as well.",
            ),
            Dashes => (
                "Words behind `--`",
                "To kubectl they are targets and ports. To `kubectl fwd` they are a command.",
            ),
            Signals => (
                "SIGTERM and SIGHUP",
                "kubectl is ended by them. `kubectl fwd` ends by itself with status 0, as after Ctrl-C.",
            ),
            FlagsFirst => (
                "Flags in front of a plugin's name",
                "kubectl itself refuses flags in front of the name of any plugin. They may stand anywhere behind it.",
            ),
            Prompt => (
                "No credential",
                "kubectl asks for a user name and a password, on stdout, which only very old servers take. `kubectl fwd` says what is \
                 missing.",
            ),
            Negative => (
                "Negative numbers",
                "kubectl takes `-v=-1` for 0 and a negative `--request-timeout` for none. `kubectl fwd` refuses both.",
            ),
            Master => (
                "`KUBERNETES_MASTER`",
                "kubectl still reads this variable of early versions where there is no kubeconfig. `kubectl fwd` does not: `--server` says the \
                 same.",
            ),
            MatchVersion => (
                "`--match-server-version`",
                "kubectl refuses a server of another version. `kubectl fwd` takes the flag and serves every version.",
            ),
            Profile => {
                ("`--profile`", "It makes kubectl write a profile of itself, which `kubectl fwd` cannot.")
            }
            SeveralTargets => (
                "Several targets, and namespaces in them",
                "`kubectl fwd` takes more than one target, each with its ports behind it, and `NAMESPACE/TYPE/NAME`.",
            ),
            PortsFirst => (
                "Ports in front of the target",
                "kubectl takes the first word for the target. `kubectl fwd` knows a port by its looks.",
            ),
            OwnFlags => ("Flags of its own", "`kubectl fwd --help` lists them; kubectl refuses them."),
            AddressInPort => (
                "An address in front of a port",
                "`ADDRESS:LOCAL:REMOTE` listens on that address for this port alone.",
            ),
            UnixSockets => ("Unix sockets", "`unix:PATH:REMOTE` listens on a Unix socket."),
            Subcommands => (
                "Commands",
                "The first word may be a command, such as `list`. A pod of that name is `pod/list`.",
            ),
        }
    }
}
