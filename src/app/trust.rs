//! What a set of somebody else may do only with the user's consent.
//!
//! The user's own sets do what they say. One that came with a project, or from anywhere, could run a program by its
//! kubeconfig's credential plugin, send what is the user's to a server of its choice, or let other machines in. So that
//! is told first, and done only where a person says yes, or has said `--trust`. The answer is remembered for this path
//! and this content.

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    path::Path,
    time::Duration,
};

use super::manage::{print_notice, print_waiting};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    cluster::config::foreign::consequences,
    error::{Fatal, io_message},
    model::ports::Address,
    sets::{ForwardSet, SetDocument, SetEntry, SetStore, WITHIN, digest},
    system::wait_limit::WaitLimit,
    ui::report,
};

/// How long a person may think about it. Nobody is there, then, and nothing is started.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// What is told of what it would do: as much as a person reads. The rest is counted.
const MAX_SHOWN: usize = 20;

/// A set that is to be started.
pub(super) struct TrustQuestion<'a> {
    pub set: &'a ForwardSet,
    pub document: &'a SetDocument,
    /// Where its paths start from.
    pub directory: &'a Path,
}

/// Returns where nothing needs the user's consent (false), or where there is that (true).
pub(super) fn check(
    question: &TrustQuestion<'_>,
    up: &subcommands::UpArgs,
    common: &CommonOptions,
    sets: Option<&SetStore>,
) -> Result<bool, Fatal> {
    let path = Path::new(&question.document.name);
    // A name leads to the user's own sets, and so may a file.
    if up.set.is_some() || sets.is_some_and(|sets| sets.owns(path)) {
        return Ok(false);
    }
    let kubeconfig = question.set.kubeconfig.as_ref().filter(|_| common.flags.kubeconfig.is_none());
    let kubeconfig = kubeconfig.map(|path| question.directory.join(path));
    let mut all =
        kubeconfig.as_deref().map_or(Ok(Vec::new()), |path| by_kubeconfig(path, question.set, common))?;
    all.extend(open_to_others(question.set));
    if all.is_empty() {
        return Ok(false);
    }
    // What is read from stdin has no path by which it could be found again.
    let known = fs::canonicalize(path).ok().filter(|_| !up.reads_stdin());
    let content = kubeconfig.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    let words = all.join("\n");
    let digest = digest([question.document.text.as_bytes(), &content, words.as_bytes()]);
    if let (Some(path), Some(sets)) = (&known, sets)
        && sets.trusts(path, &digest)
    {
        return Ok(true);
    }
    let name = &question.document.name;
    let because = |what: String| {
        let fatal = Fatal::new("fwd::set::untrusted", what);
        let told =
            all.iter().take(MAX_SHOWN).fold(fatal, |fatal, one| fatal.because(format!("it would {one}")));
        match all.len().saturating_sub(MAX_SHOWN) {
            0 => told,
            more => told.because(format!("and {more} more")),
        }
    };
    if !up.trust {
        if !common.can_ask {
            let file = up.file.as_ref().map(|file| format!(" -f {file}")).unwrap_or_default();
            return Err(because(format!("the set {name} needs your consent, so nothing is started")).help(format!(
                "read {name}; if that is what you want: kubectl fwd up{file} --trust, which is remembered until it changes"
            )));
        }
        let question =
            because(format!("the set {name} would do more than forward local ports to your clusters"));
        print_notice(report::warning(&question, common.ui.colors.stderr).trim_end());
        if !ask_yes_no()? {
            return Err(Fatal::new(
                "fwd::set::untrusted",
                format!("{name} is not started: you did not say yes"),
            ));
        }
    } else if !common.ui.quiet {
        let told =
            because(format!("the set {name} is started with all that it asks for, because you trust it"));
        print_notice(report::warning(&told, common.ui.colors.stderr).trim_end());
    }
    if let (Some(path), Some(sets)) = (known, sets) {
        let say = |lock: &Path| {
            print_waiting(&format!("another process to release the lock {}", lock.display()), common);
        };
        // The consent holds for now all the same.
        if let Err(fatal) = sets.trust(&path, digest, say) {
            print_notice(report::warning(&fatal, common.ui.colors.stderr).trim_end());
        }
    }
    Ok(true)
}

/// What its kubeconfig would do, in the contexts that the set uses.
fn by_kubeconfig(path: &Path, set: &ForwardSet, common: &CommonOptions) -> Result<Vec<String>, Fatal> {
    let mut contexts: Vec<Option<String>> = Vec::new();
    for SetEntry { scope, .. } in &set.entries {
        // What is typed goes before what is written.
        let context = common.flags.context.clone().or_else(|| scope.context.clone());
        if !contexts.contains(&context) {
            contexts.push(context);
        }
    }
    let name = path.display().to_string();
    let (path, flags, environment) = (path.to_owned(), common.flags.clone(), common.environment.clone());
    let read = move || consequences(&path, &contexts, &flags, &environment);
    let unreadable = |why: String| {
        Err(Fatal::new("fwd::kubeconfig::unreadable", format!("cannot read the kubeconfig {name}"))
            .because(why)
            .help("it must be a regular file"))
    };
    match WaitLimit::new(WITHIN).wait_for(read, || print_waiting(&format!("the end of {name}"), common)) {
        Ok(Some(read)) => read,
        Ok(None) => unreadable(format!("it did not come to an end within {} s", WITHIN.as_secs())),
        Err(error) => unreadable(io_message(&error)),
    }
}

/// Addresses on which it would let other machines connect.
fn open_to_others(set: &ForwardSet) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for SetEntry { target, ports, scope, .. } in &set.entries {
        let own = ports.iter().filter_map(|port| port.address);
        for address in scope.addresses.iter().flatten().copied().chain(own) {
            let Address::Ip(ip) = address else { continue };
            if !ip.to_canonical().is_loopback() {
                let text = format!("listen on {ip}, where other machines can connect, for {target}");
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
    }
    all
}

/// Asks the person at the terminal.
fn ask_yes_no() -> Result<bool, Fatal> {
    let failed = |error: io::Error| {
        Fatal::new("fwd::set::untrusted", "cannot read your answer").because(io_message(&error))
    };
    let mut stderr = io::stderr().lock();
    stderr.write_all(b"Start it, and remember your answer until it changes? [y/N] ").map_err(failed)?;
    stderr.flush().map_err(failed)?;
    drop(stderr);
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    let limit = WaitLimit { notice_after: ANSWER_WITHIN, timeout: ANSWER_WITHIN };
    let line = limit.wait_for(read, || {}).map_err(failed)?;
    let line = line.transpose().map_err(failed)?.unwrap_or_default();
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::read;

    #[test]
    fn who_can_connect() {
        for (entries, expected) in [
            ("{target: a, ports: 80}", ""),
            ("{target: a, ports: 80, address: 'localhost,127.0.0.9,::1'}", ""),
            ("{target: a, ports: ['127.0.0.1:80:80', 'unix:/s:80']}", ""),
            ("{target: a, ports: 80, address: 0.0.0.0}", "listen on 0.0.0.0, where"),
            ("{target: a, ports: '[::]:80:80'}", "listen on ::, where"),
            ("{target: a, ports: 80, address: 10.0.0.5}", "for pod/a"),
        ] {
            let set = read(&format!("forwards: [{entries}]")).set;
            assert_eq!(set.entries.len(), 1, "{entries}");
            let told = open_to_others(&set).join("\n");
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{entries}: {told}");
        }
    }
}
