//! The process's file descriptors, for when there are none left.
//!
//! Each connection takes one, and clients open as many as they like. So a few are kept in reserve, held by files that
//! are open for nothing else: with them other processes are answered (`list`, `stop`) and a lost session is dialled
//! again while no client can be accepted. Clients are accepted with the others only. And connections that merely linger,
//! whose client has closed and may or may not wait for an answer, give way when there are none.

use std::{error::Error, fs::File, io, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Descriptors in reserve: a dial takes one, a name lookup on its way a few more for a moment, another process that asks
/// one.
const RESERVE: usize = 8;

/// Of how many that the system gives one is kept in reserve, where there are too few for all of that.
const RESERVE_DIVISOR: u64 = 16;

/// A shortage that comes again within this time is the same one, of which everything is said.
const SAME: Duration = Duration::from_secs(60);

/// What holds a descriptor in reserve.
#[cfg(unix)]
const NULL_DEVICE: &str = "/dev/null";
#[cfg(not(unix))]
const NULL_DEVICE: &str = "NUL";

/// Those of this process.
static DESCRIPTORS: Descriptors = Descriptors::new();

/// Those of this process.
pub fn descriptors() -> &'static Descriptors {
    &DESCRIPTORS
}

/// A process's descriptors. Until it is told to, it keeps none in reserve.
#[derive(Debug)]
pub struct Descriptors {
    reserve: Mutex<Reserve>,
    /// There were none for a client.
    short: Notify,
    /// A connection is gone, and its descriptor free.
    freed: Notify,
}

#[derive(Debug)]
struct Reserve {
    held: Vec<File>,
    /// How many there are to be, and how many of them are on loan.
    size: usize,
    lent: usize,
    /// The system's limit, and when it was last in the way.
    limit: u64,
    short_at: Option<Instant>,
}

/// Descriptors that somebody may use who needs them more than a client does. While this is held no client is accepted.
#[derive(Debug)]
pub struct Loan<'a> {
    of: &'a Descriptors,
    count: usize,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.of.reserve.lock().lent -= self.count;
        self.of.freed.notify_one();
    }
}

impl Descriptors {
    pub(crate) const fn new() -> Self {
        let reserve = Reserve { held: Vec::new(), size: 0, lent: 0, limit: 0, short_at: None };
        Self { reserve: Mutex::new(reserve), short: Notify::const_new(), freed: Notify::const_new() }
    }

    /// Keeps some in reserve from now on, of as many as the system gives. Windows has no such limit.
    pub fn set_reserve(&self, limit: u64) {
        if cfg!(unix) {
            let mut reserve = self.reserve.lock();
            reserve.limit = limit;
            reserve.size = usize::try_from(limit / RESERVE_DIVISOR).unwrap_or(RESERVE).min(RESERVE);
        }
        self.refill();
    }

    /// Takes back what was used of the reserve. Says whether all of it is there.
    pub fn refill(&self) -> bool {
        let mut reserve = self.reserve.lock();
        while reserve.held.len() + reserve.lent < reserve.size {
            match File::open(NULL_DEVICE) {
                Ok(file) => reserve.held.push(file),
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether a client may be accepted: the reserve comes first.
    pub fn has_for_clients(&self) -> bool {
        self.refill() && self.reserve.lock().lent == 0
    }

    /// Gives one of the reserve up, for use at once. False where there is none.
    pub fn spend(&self) -> bool {
        self.reserve.lock().held.pop().is_some()
    }

    /// Gives half of the reserve up for a while; the other half is for others.
    pub fn lend(&self) -> Loan<'_> {
        let mut reserve = self.reserve.lock();
        let count = reserve.held.len().div_ceil(2);
        let left = reserve.held.len() - count;
        reserve.held.truncate(left);
        reserve.lent += count;
        Loan { of: self, count }
    }

    /// There was none for a client: those that linger are asked to give way. Returns the system's limit where this is news.
    pub fn ran_out(&self) -> Option<u64> {
        self.short.notify_waiters();
        let mut reserve = self.reserve.lock();
        let before = reserve.short_at.replace(Instant::now());
        before.is_none_or(|before| before.elapsed() > SAME).then_some(reserve.limit)
    }

    /// Waits until there is none for a client.
    pub async fn short(&self) {
        self.short.notified().await;
    }

    /// A connection is gone.
    pub fn free_one(&self) {
        self.freed.notify_one();
    }

    /// Waits until a connection is gone, at most this long.
    pub async fn freed(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.freed.notified()).await;
    }
}

/// Whether an error, or one behind it, is that there are no descriptors left, to this process or to the system.
pub fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref().is_some_and(is_shortage_itself) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(unix)]
fn is_shortage_itself(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let raw = error.raw_os_error();
    // An error that one of the system's is wrapped in gives it no other way.
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| raw == Some(errno.raw_os_error()))
        || error.get_ref().is_some_and(|inner| is_shortage(inner))
}

/// `WSAEMFILE`.
#[cfg(not(unix))]
fn is_shortage_itself(error: &io::Error) -> bool {
    error.raw_os_error() == Some(10024)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn held(descriptors: &Descriptors) -> usize {
        descriptors.reserve.lock().held.len()
    }

    #[test]
    fn the_reserve_comes_first() {
        let descriptors = Descriptors::new();
        assert!(descriptors.has_for_clients() && !descriptors.spend(), "nobody asked for one");
        for (limit, size) in [(6, 0), (20, 1), (64, 4), (1024, 8), (u64::MAX, 8)] {
            let descriptors = Descriptors::new();
            descriptors.set_reserve(limit);
            assert_eq!(held(&descriptors), size, "{limit}");
        }
        descriptors.set_reserve(1024);
        assert!(descriptors.spend());
        assert_eq!(held(&descriptors), 7);
        assert!(descriptors.has_for_clients());
        assert_eq!(held(&descriptors), 8);
    }

    #[test]
    fn what_is_on_loan_is_not_for_clients() {
        let descriptors = Descriptors::new();
        descriptors.set_reserve(1024);
        let loan = descriptors.lend();
        assert_eq!(held(&descriptors), 4);
        assert!(!descriptors.has_for_clients());
        assert!(descriptors.spend(), "another process is answered meanwhile");
        let second = descriptors.lend();
        drop((loan, second));
        assert!(descriptors.has_for_clients());
        assert_eq!(held(&descriptors), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_is_told_once() {
        let descriptors = Descriptors::new();
        descriptors.set_reserve(1024);
        let mut waits = Box::pin(descriptors.short());
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(descriptors.ran_out(), Some(1024));
        assert!(waits.now_or_never().is_some(), "what lingers gives way");
        for _ in 0..10 {
            tokio::time::sleep(SAME / 2).await;
            assert_eq!(descriptors.ran_out(), None);
        }
        tokio::time::sleep(SAME * 2).await;
        assert_eq!(descriptors.ran_out(), Some(1024));
    }

    #[cfg(unix)]
    #[test]
    fn shortages() {
        use rustix::io::Errno;
        let wrapped = io::Error::other(io::Error::other(io::Error::from(Errno::MFILE)));
        for (error, expected) in
            [(Errno::NFILE.into(), true), (wrapped, true), (Errno::CONNREFUSED.into(), false)]
        {
            assert_eq!(is_shortage(&error), expected, "{error}");
        }
    }
}
