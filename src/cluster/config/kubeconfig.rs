//! The kubeconfig files: which are read, and how they become one.
//!
//! As client-go does it: `--kubeconfig` names one file, which must exist; else `KUBECONFIG` is a list whose missing
//! files are skipped; else `~/.kube/config`. The first file that names a context, a cluster or a user wins. Paths in
//! a file are relative to that file. An entry is read only once it is chosen ([`super::entries`]), so one that nobody
//! uses may look like anything.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    flags::{ClusterEnvironment, Flags},
    yaml::{self, YamlError, YamlNode},
};
use crate::error::Fatal;

/// How much of a kubeconfig is read. Thousands of clusters with their certificates fit in; a device that never ends
/// does not.
const FILE_LIMIT: u64 = 64 << 20;

/// What was read, and where it was looked for.
pub(in crate::cluster) struct KubeconfigFiles {
    /// All files as one; empty where there is none.
    pub config: Kubeconfig,
    /// The files that exist, in order.
    pub read: Vec<PathBuf>,
    /// Where was looked, for the message when nothing is there.
    pub looked: Vec<PathBuf>,
}

/// The entries of all files, best first.
#[derive(Default)]
pub(in crate::cluster) struct Kubeconfig {
    /// The context that is used where none is named.
    pub current_context: Option<String>,
    pub contexts: Vec<KubeconfigEntry>,
    pub clusters: Vec<KubeconfigEntry>,
    pub users: Vec<KubeconfigEntry>,
}

/// A named entry, not yet looked into.
pub(in crate::cluster) struct KubeconfigEntry {
    pub name: String,
    /// What stands under `context`, `cluster` or `user`.
    pub body: Arc<YamlNode>,
    /// The file that it stands in.
    pub file: Arc<Path>,
}

impl KubeconfigFiles {
    /// Whether some file was there to read, even an empty one.
    pub(in crate::cluster) fn any(&self) -> bool {
        !self.read.is_empty()
    }

    /// The files as a message names them.
    pub(in crate::cluster) fn names(&self) -> String {
        let files = if self.read.is_empty() { &self.looked } else { &self.read };
        files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl Kubeconfig {
    /// Reads one file's text.
    pub(in crate::cluster) fn parse(bytes: &[u8], file: &Path) -> Result<Self, YamlError> {
        let Some(root) = yaml::read(bytes)?.filter(|root| !root.is_null()) else {
            return Ok(Self::default());
        };
        let file: Arc<Path> = file.into();
        let unfit = |what: &str, unfit: &yaml::YamlTypeError| YamlError {
            place: Some((unfit.line, 1)),
            why: format!("{what} {}", unfit.why),
            tab: false,
        };
        if let Err(error) = root.map() {
            return Err(unfit("what stands there", &error));
        }
        let list = |name: &str, body: &str| match root.get(name).map(|list| list.list()).transpose() {
            Ok(items) => Ok(entries(items.unwrap_or_default(), body, &file)),
            Err(error) => Err(unfit(name, &error)),
        };
        let current = root.get("current-context").map(|node| node.text()).transpose();
        Ok(Self {
            current_context: current.map_err(|error| unfit("current-context", &error))?.flatten(),
            contexts: list("contexts", "context")?,
            clusters: list("clusters", "cluster")?,
            users: list("users", "user")?,
        })
    }

    /// Adds what a later file has and the earlier ones have not.
    fn merge(&mut self, next: Self) {
        if self.current_context.is_none() {
            self.current_context = next.current_context;
        }
        for (own, others) in [
            (&mut self.contexts, next.contexts),
            (&mut self.clusters, next.clusters),
            (&mut self.users, next.users),
        ] {
            let known: std::collections::HashSet<String> =
                own.iter().map(|entry| entry.name.clone()).collect();
            own.extend(others.into_iter().filter(|entry| !known.contains(&entry.name)));
        }
    }
}

/// The entries of a list. One without a name that can be read cannot be meant by anything.
fn entries(items: &[Arc<YamlNode>], body: &str, file: &Arc<Path>) -> Vec<KubeconfigEntry> {
    let entry = |item: &Arc<YamlNode>| {
        let name = item.get("name")?.text().ok()??;
        let body = item.get(body).cloned().unwrap_or_else(YamlNode::empty);
        Some(KubeconfigEntry { name, body, file: Arc::clone(file) })
    };
    items.iter().filter_map(entry).collect()
}

/// Reads and merges the files.
pub(in crate::cluster) fn load(
    flags: &Flags,
    environment: &ClusterEnvironment,
) -> Result<KubeconfigFiles, Fatal> {
    let looked = paths(flags, environment);
    let mut files = KubeconfigFiles { config: Kubeconfig::default(), read: Vec::new(), looked };
    for path in &files.looked {
        let bytes = match super::files::bounded(path, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && flags.kubeconfig.is_none() => continue,
            Err(error) => return Err(unreadable(path, &error)),
        };
        files.config.merge(Kubeconfig::parse(&bytes, path).map_err(|why| broken(path, &why))?);
        files.read.push(path.clone());
    }
    Ok(files)
}

/// Merges texts that are no files. They are numbered in messages.
pub(in crate::cluster) fn merge(texts: &[&[u8]]) -> Result<KubeconfigFiles, Fatal> {
    let mut files = KubeconfigFiles { config: Kubeconfig::default(), read: Vec::new(), looked: Vec::new() };
    for (number, text) in (1..).zip(texts) {
        let path = PathBuf::from(format!("number {number}"));
        files.config.merge(Kubeconfig::parse(text, &path).map_err(|why| broken(&path, &why))?);
        files.read.push(path);
    }
    Ok(files)
}

/// The files to read, best first.
fn paths(flags: &Flags, environment: &ClusterEnvironment) -> Vec<PathBuf> {
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

fn unreadable(path: &Path, error: &io::Error) -> Fatal {
    let what = format!("cannot read the kubeconfig {}", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        return Fatal::new("fwd::kubeconfig::missing", what)
            .because("there is no such file")
            .help("check --kubeconfig; without it, KUBECONFIG or ~/.kube/config is read");
    }
    Fatal::new("fwd::kubeconfig::unreadable", what)
        .because(match error.kind() {
            io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => crate::cluster::error::reason::reason(error),
        })
        .help("--kubeconfig and KUBECONFIG name files that you can read, for example ~/.kube/config")
}

fn broken(path: &Path, broken: &YamlError) -> Fatal {
    let place = broken.place.map(|(line, column)| format!("line {line}, column {column}: "));
    Fatal::new("fwd::kubeconfig::broken", format!("cannot read the kubeconfig {}", path.display()))
        .because(format!("{}{}", place.unwrap_or_default(), broken.why))
        .help(if broken.tab {
            "YAML is indented with blanks, never with tabs"
        } else {
            "run `kubectl config view` to check the file"
        })
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

    fn list(paths: &[&Path]) -> ClusterEnvironment {
        let kubeconfig: OsString = env::join_paths(paths).unwrap();
        ClusterEnvironment { kubeconfig: Some(kubeconfig), ..ClusterEnvironment::default() }
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
        let first = crate::cluster::config::entries::cluster(&files.config.clusters[0]).unwrap();
        assert_eq!(first.server.as_deref(), Some("https://first"));
        assert_eq!(first.certificate_authority.as_deref(), dir.join("ca.crt").to_str());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_named_file_must_exist() {
        let flags = Flags { kubeconfig: Some("/no/such/file".into()), ..Flags::default() };
        let error = load(&flags, &ClusterEnvironment::default()).err().unwrap();
        assert_eq!(error.code(), "fwd::kubeconfig::missing");
        assert!(error.to_string().contains("/no/such/file"));
    }

    #[test]
    fn broken_yaml_names_the_place_and_no_secret() {
        let dir = directory("broken");
        let path = dir.join("config");
        fs::write(&path, "clusters: []\nusers:\n- name: x\n  user: {token: s3cret\ncontexts: ]\n").unwrap();
        let error =
            load(&Flags { kubeconfig: Some(path), ..Flags::default() }, &ClusterEnvironment::default());
        let error = error.err().unwrap();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("line ") && why.contains("column "), "{why}");
        assert!(!why.contains("s3cret"), "{why}");
        fs::remove_dir_all(dir).unwrap();
    }
}
