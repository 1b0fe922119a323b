//! Whether the machine slept, or its network has changed, as far as clocks and routes tell.
//!
//! Neither is announced to a process. But while a machine sleeps its wall clock goes on, and on most systems the monotonic
//! one stands still; a process that was stopped, or a system whose monotonic clock goes on, is seen by a tick that comes too
//! late. A network that went and came back, or that is another one now, is seen by the local address from which the
//! server would be reached. After either, connections may be dead that look alive: NAT entries and load balancers have
//! forgotten them, and nobody sends a reset. So whoever holds a connection has to ask, at once, instead of waiting for
//! the next deadline.

use std::{net::IpAddr, time::Duration};

/// How often the clocks are looked at: what is found is acted upon this much later at most, and a look costs some
/// microseconds.
pub const TICK: Duration = Duration::from_secs(1);

/// A difference of clocks, or a tick's delay, beyond this was a sleep. A busy machine delays a tick by less, clocks are
/// corrected by less, and a shorter sleep breaks no connection.
pub const ASLEEP: Duration = Duration::from_secs(5);

/// From where the server would be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkRoute {
    /// It could not be found out.
    Unknown,
    /// There is no way to it.
    Missing,
    /// From this local address.
    From(IpAddr),
}

/// What is looked at at each tick.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The monotonic clock, since any fixed moment.
    pub monotonic: Duration,
    /// The wall clock, since any fixed moment.
    pub wall: Duration,
    /// The way to the server.
    pub route: NetworkRoute,
}

/// What happened between two ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The machine slept, or the process did not run, for so long.
    Slept(Duration),
    /// The server is reached from another address than before, or is reachable again.
    Moved,
}

/// Compares each tick with the one before.
#[derive(Debug, Default)]
pub struct DisturbanceDetector {
    clocks: Option<(Duration, Duration)>,
    /// The last that was known.
    route: Option<NetworkRoute>,
}

impl DisturbanceDetector {
    /// Takes one more look.
    pub fn tick(&mut self, now: Sample) -> Option<Disturbance> {
        let moved = self.is_moved(now.route);
        let (monotonic, wall) = self.clocks.replace((now.monotonic, now.wall))?;
        let passed = now.monotonic.saturating_sub(monotonic);
        // A wall clock that is set back says nothing.
        let jumped = now.wall.saturating_sub(wall).saturating_sub(passed);
        let late = passed.saturating_sub(TICK);
        let slept = jumped.saturating_add(late);
        if slept > ASLEEP {
            return Some(Disturbance::Slept(slept));
        }
        moved.then_some(Disturbance::Moved)
    }

    fn is_moved(&mut self, route: NetworkRoute) -> bool {
        if route == NetworkRoute::Unknown {
            return false;
        }
        let before = self.route.replace(route);
        matches!(route, NetworkRoute::From(_)) && before.is_some_and(|before| before != route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: NetworkRoute = NetworkRoute::From(IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 7)));
    const OFFICE: NetworkRoute = NetworkRoute::From(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)));

    /// What is told at each of these samples: monotonic and wall clock in milliseconds, and the route.
    fn told(samples: &[(u64, u64, NetworkRoute)]) -> Vec<Option<Disturbance>> {
        let mut detector = DisturbanceDetector::default();
        let sample = |&(monotonic, wall, route): &(u64, u64, NetworkRoute)| Sample {
            monotonic: Duration::from_millis(monotonic),
            wall: Duration::from_millis(wall),
            route,
        };
        samples.iter().map(|one| detector.tick(sample(one))).collect()
    }

    fn slept(milliseconds: u64) -> Disturbance {
        Disturbance::Slept(Duration::from_millis(milliseconds))
    }

    #[test]
    fn clocks_that_go_together_tell_nothing() {
        let even: Vec<_> = (0..100).map(|tick| (tick * 1003, 7_000_000 + tick * 1003, HOME)).collect();
        assert!(told(&even).iter().all(Option::is_none));
        // A busy machine, and a clock that is corrected by a little or set back.
        let uneven = [(0, 100_000, HOME), (4000, 104_000, HOME), (5000, 109_000, HOME), (6000, 50_000, HOME)];
        assert!(told(&uneven).iter().all(Option::is_none));
    }

    /// As on Linux and macOS, where the monotonic clock stands still in a sleep.
    #[test]
    fn a_wall_clock_that_jumped_ahead_is_a_sleep() {
        let night = 8 * 3600 * 1000;
        let samples =
            [(0, 0, HOME), (1000, 1000, HOME), (2000, 2000 + night, HOME), (3000, 3000 + night, HOME)];
        assert_eq!(told(&samples), [None, None, Some(slept(night)), None]);
        assert_eq!(told(&[(0, 0, HOME), (1000, 6000, HOME)]), [None, None], "5 s are the limit");
        assert_eq!(told(&[(0, 0, HOME), (1000, 6001, HOME)]), [None, Some(slept(5001))]);
    }

    /// As on Windows, where it goes on, and of a process that was stopped.
    #[test]
    fn a_tick_that_is_late_is_a_sleep() {
        assert_eq!(told(&[(0, 0, HOME), (61_000, 61_000, HOME)]), [None, Some(slept(60_000))]);
        // Both at once: stopped, and then the machine slept.
        assert_eq!(told(&[(0, 0, HOME), (11_000, 41_000, HOME)]), [None, Some(slept(40_000))]);
    }

    #[test]
    fn another_network_is_told_once_there_is_a_way() {
        let moved = Some(Disturbance::Moved);
        let routes = |routes: &[NetworkRoute]| {
            let samples: Vec<_> =
                (0u64..).zip(routes).map(|(at, route)| (at * 1000, at * 1000, *route)).collect();
            told(&samples)
        };
        assert_eq!(routes(&[HOME, HOME, OFFICE, OFFICE]), [None, None, moved, None]);
        assert_eq!(
            routes(&[HOME, NetworkRoute::Missing, NetworkRoute::Missing, HOME]),
            [None, None, None, moved]
        );
        assert_eq!(routes(&[HOME, NetworkRoute::Unknown, HOME]), [None, None, None]);
        assert_eq!(
            routes(&[NetworkRoute::Unknown, NetworkRoute::Unknown, HOME]),
            [None, None, None],
            "the first that is known"
        );
    }
}
