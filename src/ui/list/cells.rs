//! The cells of a table, in a few characters each.

use jiff::Timestamp;

use crate::{model::forward::PortForward, ui::escape};

/// A text, or a dash where there is none.
pub(super) fn or_none(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => escape::line(text).into_owned(),
        _ => "-".to_owned(),
    }
}

/// The target, its port and where it listens, as messages name a forward: `svc/api:80 (localhost:8080)`.
pub fn named(one: &PortForward) -> String {
    format!("{} ({})", target(one), escape::line(&local(one)))
}

/// The target and its port, as a list shows them and `stop` takes them.
pub fn target(one: &PortForward) -> String {
    escape::line(&format!("{}:{}", one.target, one.remote_port)).into_owned()
}

/// The local address in a few characters, as a client would be told it.
pub fn local(one: &PortForward) -> String {
    match (&one.local, one.local_port) {
        (Some(local), _) => local.clone(),
        (None, Some(port)) => match one.address.as_str() {
            address if address.contains(':') && !address.contains(',') => format!("[{address}]:{port}"),
            address => format!("{address}:{port}"),
        },
        (None, None) => String::new(),
    }
}

/// How long ago, in the largest unit that fits: `5s`, `3m`, `2h`, `4d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A count of bytes: `0`, `999`, `1.5Ki`, `12Mi`.
pub fn size(bytes: u64) -> String {
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 {
        (rest, whole) = (whole % 1024, whole / 1024);
        unit += 1;
    }
    match unit {
        0 => bytes.to_string(),
        _ if whole < 10 => format!("{whole}.{}{}", rest * 10 / 1024, UNITS[unit]),
        _ => format!("{whole}{}", UNITS[unit]),
    }
}

/// As far as 64 bits go.
const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    fn forward(target: &str) -> PortForward {
        PortForward {
            target: target.into(),
            ..PortForward::example("service", "api", RemotePort::Name("http".into()))
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn cells_of_all_kinds() {
        for (seconds, expected) in [(-9, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(Timestamp::UNIX_EPOCH, at(seconds)), expected);
        }
        for (bytes, expected) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0Ki"),
            (20 * 1024, "20Ki"),
            (3 << 30, "3.0Gi"),
            (u64::MAX, "15Ei"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (address, expected) in
            [("::1", "[::1]:8080"), ("127.0.0.2", "127.0.0.2:8080"), ("127.0.0.2,::1", "127.0.0.2,::1:8080")]
        {
            assert_eq!(local(&PortForward { address: address.into(), ..forward("svc/a") }), expected);
        }
    }
}
