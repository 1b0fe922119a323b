//! nginx, with files, HTTP/2 without TLS, and a WebSocket echo behind it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use rustix::process::Signal;
use sandbox::support::Failure;

use super::process::free_port;
use super::{Directory, Server};
use crate::programs;

/// The file `/large`: not a multiple of anything on the way.
pub(crate) const LARGE: usize = 24 * 1024 * 1024 + 12_345;

/// The file `/small`.
pub(crate) const SMALL: &str = "a small file\n";

/// A server.
pub(crate) struct Nginx {
    pub(crate) server: Server,
    /// Where it speaks HTTP/2, and nothing else.
    pub(crate) http2: SocketAddr,
}

impl Nginx {
    /// None where it is missing.
    pub(crate) async fn start() -> Result<Option<Self>, Failure> {
        let Some([program]) = programs::find(["nginx"]) else { return Ok(None) };
        let directory = Directory::new("nginx")?;
        directory.write("large", large())?;
        directory.write("small", SMALL)?;
        let (echo, http2) = (echo()?, free_port()?);
        let server = Server::start(directory, Signal::TERM, |directory, port| {
            directory.write("nginx.conf", config(directory, port, http2, echo))?;
            let mut command = directory.command(&program);
            // Its log before it has read what its log is.
            command.arg("-e").arg(directory.path("error.log"));
            command.arg("-p").arg(directory.path("")).arg("-c").arg(directory.path("nginx.conf"));
            Ok(command)
        });
        Ok(Some(Self { server: server.await?, http2: (Ipv4Addr::LOCALHOST, http2).into() }))
    }
}

/// What `/large` holds: bytes that differ all along, so that none can be in another's place.
pub(crate) fn large() -> Vec<u8> {
    let mut bytes = vec![0; LARGE];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

fn config(directory: &Directory, port: u16, http2: u16, echo: SocketAddr) -> String {
    let root = directory.path("");
    let root = root.display();
    format!(
        "daemon off;
        worker_processes 1;
        pid {root}/nginx.pid;
        error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            client_body_temp_path {root}/body;
            proxy_temp_path {root}/proxy;
            fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi;
            scgi_temp_path {root}/scgi;
            keepalive_requests 1000000000;
            root {root};
            server {{
                listen 127.0.0.1:{port};
                location /socket {{
                    proxy_pass http://{echo};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                }}
            }}
            server {{ listen 127.0.0.1:{http2} http2; }}
        }}
        "
    )
}

/// A server that says each message of a WebSocket again.
fn echo() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else { return };
                while let Ok(message) = socket.read() {
                    if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}
