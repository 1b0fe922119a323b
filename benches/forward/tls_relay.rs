//! The TLS relay: what encryption costs whoever forwards, and nothing else. Plain TCP on the client's side, TLS on the
//! server's, by the library and with the cipher of `kubectl-fwd`; no API server, no WebSocket, no SPDY.

use std::{io, net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{local_port::listen, outcome::Outcome, tls_ends::NAME};

/// What is read of either side at once.
const BUFFER: usize = 64 * 1024;

/// Is the relay: a local port for each of the servers' ends. One thread, as `kubectl-fwd` has: with more, bytes go from one to
/// another.
pub(super) fn serve(addresses: &[SocketAddr], certificate: &str) -> Outcome {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(STANDARD.decode(certificate)?))?;
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        for &address in addresses {
            let connector = connector.clone();
            listen(address.port(), move |client| encrypt(connector.clone(), client, address)).await?;
        }
        std::future::pending().await
    })
}

async fn encrypt(connector: TlsConnector, mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut server = connector.connect(name, server).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await?;
    Ok(())
}
