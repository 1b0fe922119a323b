//! What is needed on this machine: local ports, open files, the directory of control sockets, and kubectl.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use argh::ArgsInfo as _;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::{
    judge, names,
    plan::{DoctorPlan, off_thread},
    record::CheckRecord,
};
use crate::{
    cli::{args::PROGRAM, subcommands::Subcommand},
    control::sockets::SocketDirectories,
    forward::{self, ForwardOptions},
    model::check::Check,
};

/// How long kubectl may take to say its version. It only has to start, which takes longer where a virus scanner reads it.
const KUBECTL_TIMEOUT: Duration = Duration::from_secs(5);

/// Each connection takes a file: with fewer a browser and its many connections would use them up.
const OPEN_FILES_WANTED: u64 = 1024;

const KUBECTL_PROGRAM: &str = "kubectl";

/// Looks at this machine.
pub(super) async fn check(plan: &DoctorPlan, record: &mut CheckRecord) {
    for port in plan.request.iter().flat_map(|(_, ports)| ports) {
        if let Some((number, bound)) = forward::try_bind(port, &ForwardOptions::default().addresses).await {
            let name = format!("{} {number}", names::LOCAL_PORT);
            record
                .add(bound.map_or_else(|fatal| judge::failed(&name, &fatal), |()| Check::ok(&name, "free")));
        }
    }
    record.add(open_files(plan.open_files));
    let sockets = plan.sockets.clone();
    let directory = off_thread("look at the directory of control sockets", move || {
        SocketDirectories::new(&sockets).and_then(|directories| directories.usable())
    });
    record.add(match directory.await.flatten() {
        Ok(path) => Check::ok(names::CONTROL_DIRECTORY, path.display().to_string()),
        // A forward works without, but nobody can list or stop it.
        Err(fatal) => judge::warned(names::CONTROL_DIRECTORY, &fatal),
    });
    record.add(kubectl(plan).await);
}

fn open_files(limit: Option<u64>) -> Check {
    match limit {
        Some(limit) if limit < OPEN_FILES_WANTED => Check::warning(
            names::OPEN_FILES,
            format!("this process may open {limit} files, so about as many connections"),
        )
        .advice("raise the limit before the start, as with: ulimit -n 4096"),
        Some(limit) => Check::ok(names::OPEN_FILES, format!("up to {limit}")),
        None => Check::ok(names::OPEN_FILES, "not limited"),
    }
}

/// Which kubectl is there, and whether it finds this program.
async fn kubectl(plan: &DoctorPlan) -> Check {
    let (path, program) = (plan.path.clone().unwrap_or_default(), plan.program.clone());
    let looking = off_thread("look for kubectl on the PATH", move || {
        find(&path, KUBECTL_PROGRAM).map(|found| (found, shadow(&path, program.as_deref())))
    });
    let (found, shadow) = match looking.await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Check::warning(
                names::KUBECTL,
                "it is not on the PATH: start this program as kubectl-fwd",
            );
        }
        Err(fatal) => return judge::warned(names::KUBECTL, &fatal),
    };
    let version = version(&found).await;
    let detail =
        format!("{}{}", found.display(), version.map(|text| format!(", {text}")).unwrap_or_default());
    match shadow {
        None => Check::ok(names::KUBECTL, detail),
        Some((what, advice)) => Check::warning(names::KUBECTL, format!("{detail}; {what}")).advice(advice),
    }
}

/// What kubectl would run in place of this program, and what to do about it.
fn shadow(path: &OsStr, program: Option<&Path>) -> Option<(String, String)> {
    // kubectl runs the plugin with the longest name that the words make.
    let longer = Subcommand::get_subcommands().into_iter().find_map(|command| {
        let other = find(path, &format!("{PROGRAM}-{}", command.name))?;
        Some((command.name, other))
    });
    if let Some((command, other)) = longer {
        return Some((
            format!("`kubectl fwd {command}` runs {} instead of this program", other.display()),
            format!("remove or rename {}", other.display()),
        ));
    }
    let program = program?;
    let here = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    match find(path, PROGRAM) {
        None => Some((
            "it does not find this program, because kubectl-fwd is not on the PATH".to_owned(),
            format!("put {} on the PATH", program.parent().unwrap_or(program).display()),
        )),
        Some(first) if first.canonicalize().is_ok_and(|first| first != here) => Some((
            format!("`kubectl fwd` runs {} and not this program, {}", first.display(), program.display()),
            "remove one of them, or change their order on the PATH".to_owned(),
        )),
        Some(_) => None,
    }
}

/// The first program of this name on the PATH.
fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(|folder| folder.join(&file))
        .find(|program| program.is_file())
}

/// What kubectl says its version is.
async fn version(kubectl: &Path) -> Option<String> {
    let mut command = Command::new(kubectl);
    command.args(["version", "--client", "-o", "json"]).kill_on_drop(true);
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    let output = timeout(KUBECTL_TIMEOUT, command.output()).await.ok()?.ok()?;
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    answer["clientVersion"]["gitVersion"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::check::CheckStatus;

    #[test]
    fn few_files_are_told() {
        assert_eq!(open_files(Some(256)).status, CheckStatus::Warning);
        assert_eq!(open_files(Some(65_536)).status, CheckStatus::Ok);
        assert_eq!(open_files(None).status, CheckStatus::Ok);
    }

    #[test]
    fn which_program_kubectl_runs() {
        let directory = env::temp_dir().join(format!("kubectl-fwd-path-{}", std::process::id()));
        let folder = |name: &str| {
            let folder = directory.join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let program = |folder: &Path, name: &str| {
            let path = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
            fs::write(&path, "").unwrap();
            path
        };
        let (one, two) = (folder("one"), folder("two"));
        let path = env::join_paths([&one, &two]).unwrap();
        let told = |program: &Path| shadow(&path, Some(program)).map(|(what, _)| what);
        let own = two.join(format!("{PROGRAM}{}", env::consts::EXE_SUFFIX));
        assert!(told(&own).is_some_and(|what| what.contains("not on the PATH")));
        program(&two, PROGRAM);
        assert_eq!(told(&own), None);
        program(&one, PROGRAM);
        assert!(told(&own).is_some_and(|what| what.contains("and not this program")));
        program(&two, "kubectl-fwd-doctor");
        assert!(told(&own).is_some_and(|what| what.starts_with("`kubectl fwd doctor` runs ")));
        fs::remove_dir_all(directory).unwrap();
    }
}
