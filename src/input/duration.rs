//! Durations as Go writes them: `1m30s`, `500ms`, `1.5h`, `0`.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    // The longer of two units with the same beginning stands first.
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is not a duration that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a duration at all.
    #[error("a duration is numbers with units: ms, s, m or h")]
    Malformed,
    /// A number without a unit.
    #[error("the unit is missing: ms, s, m or h")]
    NoUnit,
    /// Less than nothing.
    #[error("it is negative")]
    Negative,
    /// More than Go can hold (292 years).
    #[error("it is too long")]
    TooLong,
}

/// Reads a duration as Go's `time.ParseDuration` does, and refuses what is below zero.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total: u64 = 0;
    // Go's one exception to "a number needs a unit".
    if rest != "0" {
        if rest.is_empty() {
            return Err(DurationError::Malformed);
        }
        while !rest.is_empty() {
            let nanos;
            (nanos, rest) = component(rest)?;
            total = total.checked_add(nanos).ok_or(DurationError::TooLong)?;
        }
    }
    if total > i64::MAX as u64 {
        return Err(DurationError::TooLong);
    }
    if negative && total > 0 { Err(DurationError::Negative) } else { Ok(Duration::from_nanos(total)) }
}

/// Reads kubectl's `--request-timeout`: a duration or whole seconds. Zero means no limit.
pub fn parse_timeout(text: &str) -> Result<Option<Duration>, DurationError> {
    let duration = match text.parse::<i64>() {
        Ok(seconds) => Duration::from_secs(u64::try_from(seconds).map_err(|_| DurationError::Negative)?),
        Err(_) => parse(text)?,
    };
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// One number with its unit, in nanoseconds, and what follows.
fn component(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Malformed);
    }
    if rest.is_empty() {
        return Err(DurationError::NoUnit);
    }
    let (unit, rest) = UNITS
        .iter()
        .filter_map(|(name, nanos)| rest.strip_prefix(name).map(|rest| (*nanos, rest)))
        // `m` is a beginning of `ms`: the longer unit leaves less.
        .min_by_key(|(_, rest)| rest.len())
        .ok_or(DurationError::Malformed)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLong)? };
    let whole = whole.checked_mul(unit).ok_or(DurationError::TooLong)?;
    Ok((whole.checked_add(fraction_of(fraction, unit)).ok_or(DurationError::TooLong)?, rest))
}

/// `0.fraction` of `unit`, rounded down. Digits beyond the nanosecond count for nothing.
fn fraction_of(fraction: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0, unit);
    for digit in fraction.bytes() {
        // Nine digits at most are worth something in a unit of an hour; the sum cannot exceed the unit.
        value += u64::from(digit - b'0') * scale / 10;
        scale /= 10;
    }
    value
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("1m", 60_000),
            ("30s", 30_000),
            ("+30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("1h2m3s4ms", 3_723_004),
            ("2500us", 2),
            ("2500µs", 2),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refusals() {
        use DurationError::{Malformed, Negative, NoUnit, TooLong};
        for (text, error) in [
            ("", Malformed),
            ("-", Malformed),
            ("s", Malformed),
            (".s", Malformed),
            ("1d", Malformed),
            ("abc", Malformed),
            ("1 s", Malformed),
            ("30", NoUnit),
            ("1m30", NoUnit),
            ("-1s", Negative),
            ("9999999h", TooLong),
            ("99999999999999999999s", TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn request_timeouts() {
        assert_eq!(parse_timeout("0"), Ok(None));
        assert_eq!(parse_timeout("0s"), Ok(None));
        assert_eq!(parse_timeout("5"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(parse_timeout("1m"), Ok(Some(Duration::from_secs(60))));
        assert_eq!(parse_timeout("-1"), Err(DurationError::Negative));
        assert_eq!(parse_timeout("x"), Err(DurationError::Malformed));
    }
}
