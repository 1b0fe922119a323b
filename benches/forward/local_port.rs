//! A local port whose connections are carried by somebody: what the relay and kube's way have in common.

use std::{io, net::Ipv4Addr};

use tokio::net::{TcpListener, TcpStream};

use super::contender::WORKS;

/// Listens on a port of the system's choice, says so as kubectl does, and has each connection carried to `to`.
pub(super) async fn listen<F>(to: u16, carry: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{WORKS}{} -> {to}", listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client));
        }
    });
    Ok(())
}
