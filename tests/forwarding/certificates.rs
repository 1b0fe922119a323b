//! Servers whose certificates are unlike those that most clusters have, and that kubectl takes.

use sandbox::{Options, Sandbox, ServerCertificate as Shown};

use crate::start::working;
use sandbox::support::{Test, ask};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_shows_what_kubectl_takes() -> Test {
    for shown in [Shown::Itself, Shown::Pinned, Shown::Authority, Shown::AnyUse, Shown::P521] {
        let sandbox = Sandbox::start(Options { server_certificate: shown, ..Options::default() }).await?;
        let (_forward, port) =
            working(&sandbox, "svc/api :80").await.map_err(|error| format!("{shown:?}: {error}"))?;
        ask(port).await?;
    }
    Ok(())
}
