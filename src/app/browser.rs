//! `--open`: shows in the browser what was forwarded. What goes wrong with that is a line in the log and nothing more. The panel
//! opens one forward by a key.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use tokio::{process::Command, task::spawn_blocking, time::timeout};

use crate::{
    error::io_message,
    forward::registry::Registry,
    model::{event::LocalAddress, forward::PortForward},
    policy::{
        command_values::for_clients,
        web_address::{self, WebPort},
    },
};

/// How long a program is looked at that opens a URL. One that is still there then is the browser itself.
const LAUNCH_TIME: Duration = Duration::from_secs(5);

/// Opens the first of these forwards that looks like HTTP, without waiting for that. `browser` is `$BROWSER`.
pub(super) fn open(registry: &Registry, forwards: &[PortForward], browser: Option<String>) {
    match url(registry, forwards) {
        Ok(url) => {
            tokio::spawn(async move {
                if let Err(why) = launch(&url, browser.as_deref()).await {
                    tracing::warn!("--open: the browser could not be opened ({why}); open {url} yourself");
                }
            });
        }
        Err(why) => tracing::warn!("--open: no browser is opened: {why}"),
    }
}

/// What a browser is to show.
fn url(registry: &Registry, forwards: &[PortForward]) -> Result<String, &'static str> {
    let addresses: Vec<_> =
        forwards.iter().map(|one| for_clients(&registry.local_addresses(one.id))).collect();
    let tcp = |at: usize| match &addresses[at] {
        Some(LocalAddress::Tcp(address)) => Some(*address),
        _ => None,
    };
    let shown: Vec<usize> = (0..forwards.len()).filter(|at| tcp(*at).is_some()).collect();
    let ports = shown.iter().map(|at| {
        let forward = &forwards[*at];
        let service = registry.service_port(forward.id);
        let (name, app_protocol) = service.map_or((None, None), |port| (port.name, port.app_protocol));
        WebPort { remote: forward.remote_port.clone(), pod_port: forward.pod_port, name, app_protocol }
    });
    let (chosen, scheme) =
        web_address::choose(&ports.collect::<Vec<_>>()).ok_or("none of the forwards looks like HTTP")?;
    let address = tcp(shown[chosen]).ok_or("it listens on a Unix socket")?;
    // A browser has privileges for `localhost` that it has not for an address.
    let host = if address.ip().is_loopback() && forwards[shown[chosen]].address == "localhost" {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    Ok(format!("{}://{host}/", scheme.word()))
}

/// What a browser is to show of one forward, whatever it looks like: somebody asks for it. None for a Unix socket.
pub(super) fn url_of(forward: &PortForward) -> Option<String> {
    let port = forward.local_port?;
    let (remote, pod_port) = (forward.remote_port.clone(), forward.pod_port);
    let web = WebPort { remote, pod_port, name: None, app_protocol: None };
    let scheme = web_address::choose(&[web]).map_or("http", |(_, scheme)| scheme.word());
    // Of several addresses one will do.
    let host = forward.address.split(',').next().unwrap_or_default();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Some(format!("{scheme}://{host}:{port}/"))
}

/// Opens a URL, by the commands of `$BROWSER` and then by the system.
pub(super) async fn launch(url: &str, browser: Option<&str>) -> Result<(), String> {
    let own = browser.unwrap_or_default().split(':').filter(|command| !command.trim().is_empty());
    for command in own {
        match run(command, url).await {
            Ok(()) => return Ok(()),
            Err(why) => tracing::info!("BROWSER: {command}: {why}"),
        }
    }
    let for_system = url.to_owned();
    match spawn_blocking(move || ::open::that_detached(for_system)).await {
        Ok(opened) => opened.map_err(|error| io_message(&error)),
        Err(_) => Err("it went wrong half-way".to_owned()),
    }
}

/// Runs a command of `$BROWSER`: words, one of which may be `%s` for the URL.
async fn run(command: &str, url: &str) -> Result<(), String> {
    let mut words: Vec<String> = command.split_whitespace().map(|word| word.replace("%s", url)).collect();
    if !command.contains("%s") {
        words.push(url.to_owned());
    }
    let (program, arguments) = words.split_first().ok_or("it is empty")?;
    let mut command = Command::new(OsStr::new(program));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is for us, not for the browser.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| io_message(&error))?;
    match timeout(LAUNCH_TIME, child.wait()).await {
        Ok(Ok(status)) if !status.success() => Err(status.to_string()),
        Ok(Err(error)) => Err(io_message(&error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    #[test]
    fn urls_of_one_forward() {
        for (address, remote, expected) in [
            ("localhost", 5432, "http://localhost:8080/"),
            ("127.0.0.2,10.0.0.5", 443, "https://127.0.0.2:8080/"),
            ("::1,127.0.0.1", 80, "http://[::1]:8080/"),
        ] {
            let one = PortForward {
                address: address.into(),
                ..PortForward::example("pod", "a", RemotePort::Number(remote))
            };
            assert_eq!(url_of(&one).as_deref(), Some(expected));
        }
        let socket =
            PortForward { local_port: None, ..PortForward::example("pod", "a", RemotePort::Number(80)) };
        assert_eq!(url_of(&socket), None);
    }
}
