//! The kubeconfig files: which are read, and how they become one.
//!
//! As client-go does it: `--kubeconfig` names one file, which must exist; else `KUBECONFIG` is a list whose missing
//! files are skipped; else `~/.kube/config`. The first file that names a context, a cluster or a user wins. Paths in
//! a file are relative to that file.

use std::path::PathBuf;

use kube::config::{Kubeconfig, KubeconfigError};

use super::flags::{Environment, Flags};
use crate::error::Fatal;

/// What was read, and where it was looked for.
pub(super) struct Files {
    /// All files as one; empty where there is none.
    pub config: Kubeconfig,
    /// The files that exist, in order.
    pub read: Vec<PathBuf>,
    /// Where was looked, for the message when nothing is there.
    pub looked: Vec<PathBuf>,
}

impl Files {
    /// Whether some file was there to read, even an empty one.
    pub(super) fn any(&self) -> bool {
        !self.read.is_empty()
    }

    /// The files as a message names them.
    pub(super) fn names(&self) -> String {
        let files = if self.read.is_empty() { &self.looked } else { &self.read };
        files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Reads and merges the files.
pub(super) fn load(flags: &Flags, environment: &Environment) -> Result<Files, Fatal> {
    let looked = paths(flags, environment);
    let mut files = Files { config: Kubeconfig::default(), read: Vec::new(), looked };
    for path in &files.looked {
        let one = match Kubeconfig::read_from(path) {
            Ok(one) => one,
            Err(KubeconfigError::ReadConfig(error, _))
                if error.kind() == std::io::ErrorKind::NotFound && flags.kubeconfig.is_none() =>
            {
                continue;
            }
            Err(error) => return Err(unreadable(path, &error)),
        };
        files.config =
            std::mem::take(&mut files.config).merge(one).map_err(|error| unreadable(path, &error))?;
        files.read.push(path.clone());
    }
    Ok(files)
}

/// The files to read, best first.
fn paths(flags: &Flags, environment: &Environment) -> Vec<PathBuf> {
    if let Some(path) = &flags.kubeconfig {
        return vec![path.clone()];
    }
    let listed: Vec<PathBuf> = environment
        .kubeconfig
        .iter()
        .flat_map(|list| std::env::split_paths(list))
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    environment.home.iter().map(|home| home.join(".kube").join("config")).collect()
}

fn unreadable(path: &std::path::Path, error: &KubeconfigError) -> Fatal {
    let what = format!("cannot read the kubeconfig {}", path.display());
    match error {
        KubeconfigError::ReadConfig(error, _) if error.kind() == std::io::ErrorKind::NotFound => {
            Fatal::new("fwd::kubeconfig::missing", what)
                .because("there is no such file")
                .help("check --kubeconfig; without it, KUBECONFIG or ~/.kube/config is read")
        }
        KubeconfigError::ReadConfig(error, _) => Fatal::new("fwd::kubeconfig::unreadable", what)
            .because(match error.kind() {
                std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
                _ => super::access::reason(error),
            })
            .help("--kubeconfig and KUBECONFIG name files that you can read, for example ~/.kube/config"),
        KubeconfigError::Parse(error) => {
            // The parser shows the lines around the mistake, and one of them may hold a token.
            let text = error.to_string();
            let mut first = text.lines().next().unwrap_or_default();
            let place = error.location().map(|place| {
                let again = format!("error: line {} column {}: ", place.line(), place.column());
                first = first.strip_prefix(&again).unwrap_or(first);
                format!("line {}, column {}: ", place.line(), place.column())
            });
            let place = place.unwrap_or_default();
            Fatal::new("fwd::kubeconfig::broken", what)
                .because(format!("{place}{first}"))
                .help("`kubectl config view` reads the same file; a tab or a lost indent is the usual cause")
        }
        other => Fatal::new("fwd::kubeconfig::broken", what)
            .because(other)
            .help("`kubectl config view` reads the same file"),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, ffi::OsString, fs, path::Path};

    use super::*;

    /// A directory of its own for one test.
    fn directory(test: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("kubectl-fwd-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn list(paths: &[&Path]) -> Environment {
        let kubeconfig: OsString = env::join_paths(paths).unwrap();
        Environment { kubeconfig: Some(kubeconfig), ..Environment::default() }
    }

    #[test]
    fn lists_merge_and_missing_files_are_skipped() {
        let dir = directory("merge");
        let (a, b) = (dir.join("a"), dir.join("b"));
        fs::write(
            &a,
            "clusters: [{name: c, cluster: {server: 'https://first', certificate-authority: ca.crt}}]\n",
        )
        .unwrap();
        fs::write(
            &b,
            "current-context: x\nclusters: [{name: c, cluster: {server: 'https://second'}}, {name: d, cluster: {}}]\n",
        )
        .unwrap();
        let files = load(&Flags::default(), &list(&[&a, &dir.join("missing"), &b])).unwrap();
        assert_eq!(files.read, [a, b]);
        assert_eq!(files.config.current_context.as_deref(), Some("x"));
        let clusters: Vec<_> = files.config.clusters.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(clusters, ["c", "d"]);
        let first = files.config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(first.server.as_deref(), Some("https://first"));
        assert_eq!(first.certificate_authority.as_deref(), dir.join("ca.crt").to_str());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_named_file_must_exist() {
        let flags = Flags { kubeconfig: Some("/no/such/file".into()), ..Flags::default() };
        let error = load(&flags, &Environment::default()).err().unwrap();
        assert_eq!(error.code(), "fwd::kubeconfig::missing");
        assert!(error.to_string().contains("/no/such/file"));
    }

    #[test]
    fn broken_yaml_names_the_place_and_no_secret() {
        let dir = directory("broken");
        let path = dir.join("config");
        fs::write(&path, "clusters: []\nusers:\n- name: x\n  user: {token: s3cret\ncontexts: ]\n").unwrap();
        let error = load(&Flags { kubeconfig: Some(path), ..Flags::default() }, &Environment::default());
        let error = error.err().unwrap();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("line ") && why.contains("column "), "{why}");
        assert!(!why.contains("s3cret"), "{why}");
        fs::remove_dir_all(dir).unwrap();
    }
}
