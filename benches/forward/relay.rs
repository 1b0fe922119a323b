//! The relay: it copies, and does nothing else.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

use super::{local_port::listen, outcome::Outcome};

/// What it reads at once.
const BUFFER: usize = 64 * 1024;

/// Is the relay: a local port for each address, bytes copied both ways.
pub(super) fn serve(addresses: &[SocketAddr]) -> Outcome {
    tokio::runtime::Runtime::new()?.block_on(async {
        for &address in addresses {
            listen(address.port(), move |client| copy(client, address)).await?;
        }
        std::future::pending().await
    })
}

async fn copy(mut client: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut application = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    application.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut application, BUFFER, BUFFER).await?;
    Ok(())
}
