//! What makes the end of a cut connection look like one on a Unix socket, where no process can send a reset.
//!
//! On Linux a socket that is closed with bytes unread in its queue gives its peer an error in place of an end. So the
//! last byte that a client sent is looked at and passed on, but stays in the queue until more comes or the connection
//! ends in order. Of a client that has sent nothing there is nothing to leave unread, and elsewhere than on Linux it
//! would be of no use.

pub(super) use system::UnreadByte;

#[cfg(target_os = "linux")]
mod system {
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

    use bytes::BufMut;
    use futures_util::FutureExt as _;
    use rustix::{
        io::ioctl_fionread,
        net::{RecvFlags, recv},
    };
    use tokio::{
        io::{Interest, Ready},
        net::UnixStream,
    };

    /// The byte at the head of a connection's queue.
    #[derive(Default)]
    pub(in crate::forward) struct UnreadByte {
        /// A cut is to look like one.
        wanted: AtomicBool,
        /// The byte was passed on already.
        passed_on: AtomicBool,
    }

    impl UnreadByte {
        /// From now on the end of the connection is a cut one.
        pub(in crate::forward) fn keep(&self) {
            self.wanted.store(true, Relaxed);
        }

        /// From now on it is in order.
        pub(in crate::forward) fn release(&self, stream: &UnixStream) {
            self.wanted.store(false, Relaxed);
            // What cannot be taken is gone with its client.
            let _ = self.take(stream);
        }

        /// As `try_read_buf` does it.
        pub(in crate::forward) fn read(
            &self,
            stream: &UnixStream,
            buffer: &mut impl BufMut,
        ) -> io::Result<usize> {
            if !self.wanted.load(Relaxed) {
                return stream.try_read_buf(buffer);
            }
            let new = stream.try_io(Interest::READABLE, || self.unseen(stream))?;
            if new == 0 {
                return Ok(0);
            }
            self.take(stream)?;
            let room = buffer.remaining_mut();
            if new > room {
                return stream.try_read_buf(buffer);
            }
            let mut read = 0;
            if new > 1 {
                read = stream.try_read_buf(&mut (&mut *buffer).limit(new - 1))?;
            }
            let mut last = [0];
            if read == new - 1 && recv(stream, &mut last, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1 == 1 {
                buffer.put_slice(&last);
                self.passed_on.store(true, Relaxed);
                read += 1;
            }
            Ok(read)
        }

        /// How many bytes there are that were not passed on; none at the end.
        fn unseen(&self, stream: &UnixStream) -> io::Result<usize> {
            let there = usize::try_from(ioctl_fionread(stream)?).unwrap_or(usize::MAX);
            let new = there - usize::from(self.passed_on.load(Relaxed)).min(there);
            if new > 0 {
                return Ok(new);
            }
            if let Some(error) = socket2::SockRef::from(stream).take_error()? {
                return Err(error);
            }
            // With a byte in the queue reading does not tell that no other follows.
            let ready = stream.ready(Interest::READABLE).now_or_never().transpose()?;
            if ready.is_some_and(Ready::is_read_closed) {
                return Ok(0);
            }
            Err(io::ErrorKind::WouldBlock.into())
        }

        /// Takes the byte that was passed on.
        fn take(&self, stream: &UnixStream) -> io::Result<()> {
            if self.passed_on.swap(false, Relaxed) {
                recv(stream, &mut [0], RecvFlags::DONTWAIT)?;
            }
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        use super::*;

        async fn next(local: &UnixStream, unread: &UnreadByte, room: usize) -> Vec<u8> {
            loop {
                local.readable().await.unwrap();
                let mut buffer = Vec::new();
                match unread.read(local, &mut (&mut buffer).limit(room)) {
                    Ok(read) => {
                        assert_eq!(read, buffer.len());
                        return buffer;
                    }
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        }

        fn wanted() -> UnreadByte {
            let unread = UnreadByte::default();
            unread.keep();
            unread
        }

        #[tokio::test]
        async fn a_cut_connection_ends_with_an_error() {
            for in_order in [false, true] {
                let (local, mut client) = UnixStream::pair().unwrap();
                let unread = wanted();
                client.write_all(b"what is it?").await.unwrap();
                assert_eq!(next(&local, &unread, 64).await, b"what is it?");
                local.try_write(b"half of").unwrap();
                if in_order {
                    unread.release(&local);
                }
                drop(local);
                let mut answer = Vec::new();
                let end = client.read_to_end(&mut answer).await;
                assert_eq!(answer, b"half of");
                assert_eq!(
                    end.err().map(|error| error.kind()),
                    (!in_order).then_some(io::ErrorKind::ConnectionReset)
                );
            }
        }

        /// Every byte once and at once, in whichever portions it comes and is taken.
        #[tokio::test]
        async fn nothing_is_lost_or_read_twice() {
            for (portion, room) in [(1, 1), (1, 64), (2, 1), (7, 3), (64, 64), (65, 64), (5000, 64)] {
                let (local, mut client) = UnixStream::pair().unwrap();
                let unread = wanted();
                let mut expected = Vec::new();
                let mut seen = Vec::new();
                for round in 0..20_u8 {
                    let bytes: Vec<u8> = (0..portion).map(|at: usize| round.wrapping_add(at as u8)).collect();
                    client.write_all(&bytes).await.unwrap();
                    expected.extend(bytes);
                    while seen.len() < expected.len() {
                        seen.extend(next(&local, &unread, room).await);
                    }
                }
                client.shutdown().await.unwrap();
                assert_eq!(next(&local, &unread, room).await, b"", "the end");
                assert_eq!(seen, expected, "{portion} {room}");
            }
        }

        #[tokio::test]
        async fn the_end_of_a_client_that_said_nothing() {
            let (local, client) = UnixStream::pair().unwrap();
            let unread = wanted();
            drop(client);
            assert_eq!(next(&local, &unread, 64).await, b"");
        }
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
mod system {
    use std::io;

    use bytes::BufMut;
    use tokio::net::UnixStream;

    #[derive(Default)]
    pub(in crate::forward) struct UnreadByte;

    #[expect(clippy::unused_self, reason = "the other system's has a state")]
    impl UnreadByte {
        pub(in crate::forward) fn keep(&self) {}

        pub(in crate::forward) fn release(&self, _: &UnixStream) {}

        pub(in crate::forward) fn read(
            &self,
            stream: &UnixStream,
            buffer: &mut impl BufMut,
        ) -> io::Result<usize> {
            stream.try_read_buf(buffer)
        }
    }
}
