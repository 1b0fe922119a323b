//! What a kubeconfig that came with somebody else's file brings along: programs that it runs on this machine, and servers
//! that the user's own kubeconfigs do not have. Both get what is the user's: the one its rights, the other whatever the
//! file tells to send there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::Uri;

use super::{
    choice::{ClusterChoice, choose},
    entries,
    flags::{ClusterEnvironment, Flags},
    kubeconfig::{self, KubeconfigFiles},
};
use crate::error::Fatal;

/// Characters that are quoted of a file.
const QUOTED: usize = 200;

/// What using the kubeconfig `path` in these contexts would do, in words that follow "it would". Nothing for one of the
/// user's own. Only files are read.
pub fn consequences(
    path: &Path,
    contexts: &[Option<String>],
    flags: &Flags,
    environment: &ClusterEnvironment,
) -> Result<Vec<String>, Fatal> {
    // A kubeconfig of one's own that cannot be read knows no server.
    let own = kubeconfig::load(&Flags::default(), environment).ok();
    if own.iter().flat_map(|own| &own.read).any(|own| real(own) == real(path)) {
        return Ok(Vec::new());
    }
    let flags = Flags { kubeconfig: Some(path.to_owned()), ..flags.clone() };
    let files = kubeconfig::load(&flags, environment)?;
    let mut all = Vec::new();
    for context in contexts {
        let flags = Flags { context: context.clone().or_else(|| flags.context.clone()), ..flags.clone() };
        // What cannot be used does nothing; the start says why.
        let Ok(choice) = choose(&files, &flags, None) else { continue };
        for one in of_choice(&choice, own.as_ref()) {
            let one = format!("{one} ({})", path.display());
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    Ok(all)
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn of_choice(choice: &ClusterChoice, own: Option<&KubeconfigFiles>) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(exec) = &choice.user.exec {
        let command: String = exec.command.iter().flat_map(|text| text.chars()).take(QUOTED).collect();
        let arguments = match exec.args.as_ref().map_or(0, Vec::len) {
            1 => "1 argument".to_owned(),
            count => format!("{count} arguments"),
        };
        all.push(format!("run the program '{command}' with {arguments}, as a credential plugin"));
    }
    if let Some(provider) = &choice.user.auth_provider {
        let name: String = provider.name.chars().take(QUOTED).collect();
        all.push(format!("log in by the auth-provider '{name}'"));
    }
    let known = own.is_some_and(|own| {
        let clusters = own.config.clusters.iter().filter_map(|entry| entries::cluster(entry).ok());
        clusters.into_iter().any(|known| {
            let of = |cluster: &kube::config::Cluster| {
                (
                    cluster.server.clone(),
                    cluster.proxy_url.clone(),
                    cluster.insecure_skip_tls_verify,
                    cluster.tls_server_name.clone(),
                    cluster.certificate_authority.clone(),
                    cluster.certificate_authority_data.clone(),
                )
            };
            of(&known) == of(&choice.cluster)
        })
    });
    if !known {
        let server = bare(&choice.server.uri);
        let through = match choice.cluster.proxy_url.as_deref().map(str::parse::<Uri>) {
            Some(Ok(proxy)) => format!(" through the proxy {}", bare(&proxy)),
            Some(Err(_)) => " through a proxy".to_owned(),
            None => String::new(),
        };
        all.push(format!("talk to {server}{through}, as none of your kubeconfigs does"));
    }
    all
}

/// A URL's scheme, host and port: what else it has may be secret.
fn bare(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}", url.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://known:6443'}}]
users: [{name: u, user: {token: t}}]
";

    #[test]
    fn what_it_would_do() {
        let directory = std::env::temp_dir().join(format!(
            "kubectl-fwd-foreign-{}-{:x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        fs::create_dir(&directory).unwrap();
        let (own, other) = (directory.join("own"), directory.join("other"));
        fs::write(&own, OWN).unwrap();
        let environment =
            ClusterEnvironment { kubeconfig: Some(own.clone().into()), ..ClusterEnvironment::default() };
        let asked = |path: &Path, context: Option<&str>| {
            consequences(path, &[context.map(str::to_owned)], &Flags::default(), &environment).unwrap()
        };
        let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, s3cret]}}";
        let two = format!(
            "{}- {{name: v, user: {exec}}}\n",
            OWN.replace("[{name: u, user: {token: t}}]", "\n- {name: u, user: {token: t}}")
        );
        let two = two.replace(
            "contexts: [",
            "contexts: [{name: y, context: {cluster: c, user: v}}, {name: z, context: {cluster: d}}, ",
        );
        let two = two.replace(
            "clusters: [",
            "clusters: [{name: d, cluster: {server: 'https://u:s3cret@far', proxy-url: 'http://p:s3cret@px:1'}}, ",
        );
        for (text, context, expected) in [
            (OWN.to_owned(), None, ""),
            (
                OWN.replace("known", "unknown"),
                None,
                "talk to https://unknown:6443, as none of your kubeconfigs does",
            ),
            (OWN.replace("6443'", "6443', proxy-url: 'http://px:8'"), None, "through the proxy http://px:8"),
            (
                OWN.replace("6443'", "6443', insecure-skip-tls-verify: true"),
                None,
                "talk to https://known:6443",
            ),
            (two.clone(), None, ""),
            (two.clone(), Some("y"), "run the program 'sh' with 2 arguments"),
            (two, Some("z"), "talk to https://far through the proxy http://px:1"),
            (OWN.to_owned(), Some("nowhere"), ""),
        ] {
            fs::write(&other, &text).unwrap();
            let told = asked(&other, context).join("\n");
            assert_eq!(told.is_empty(), expected.is_empty(), "{text}: {told}");
            assert!(told.contains(expected) && !told.contains("s3cret"), "{text}: {told}");
        }
        // One of the user's own is, whatever it does.
        fs::write(&own, OWN.replace("{token: t}", exec)).unwrap();
        assert_eq!(asked(&directory.join(".").join("own"), None), [""; 0]);
        fs::remove_dir_all(directory).unwrap();
    }
}
