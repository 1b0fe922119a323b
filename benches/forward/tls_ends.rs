//! The servers' side of the TLS relay: TLS in front of applications, in the process of the sandbox.

use std::{io, net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider, pki_types::PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What is read of either side at once.
const BUFFER: usize = 64 * 1024;

/// The name in the certificate.
pub(super) const NAME: &str = "localhost";

/// Where they are.
pub(super) struct TlsEnds {
    pub(super) addresses: Vec<SocketAddr>,
    /// What they show, in Base64.
    pub(super) certificate: String,
}

impl TlsEnds {
    /// Puts TLS in front of each application.
    pub(super) async fn start(applications: &[SocketAddr]) -> Result<Self, Box<dyn std::error::Error>> {
        let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut addresses = Vec::new();
        for &application in applications {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(decrypt(acceptor.clone(), client, application));
                }
            });
        }
        Ok(Self { addresses, certificate: STANDARD.encode(certificate) })
    }
}

async fn decrypt(acceptor: TlsAcceptor, client: TcpStream, application: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut application = TcpStream::connect(application).await?;
    application.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut application, BUFFER, BUFFER).await?;
    Ok(())
}
