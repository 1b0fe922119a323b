//! An application that is a process elsewhere: what it is to a pod's clients, byte for byte, with its halves and resets.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

use super::socket::Socket;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Serves one connection by the process that listens at `process`. Where nobody does, it is reset.
pub(super) async fn serve(mut socket: Socket, process: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(process).await else {
        socket.reset();
        return;
    };
    let _ = stream.set_nodelay(true);
    if copy_bidirectional_with_sizes(&mut socket, &mut stream, CHUNK, CHUNK).await.is_err() {
        // One of the two was reset, so the other is.
        let _ = stream.set_zero_linger();
        socket.reset();
    }
}
