//! Numbers as people read them.

use std::fmt::Display;

/// Bytes, with three digits at least: `0 B`, `12.3 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes.max(0.0), 0);
    // What would be rounded to 1024 is one of the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0} B"),
        _ if value < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second))
}

/// A time that somebody waits for, seconds: `0.42 ms`, `3.1 s`.
pub(crate) fn latency(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{seconds:.1} s"),
    }
}

/// A time that has gone by, seconds: `41 s`, `3 h 12 min`, `12 d 3 h`.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// A part of a whole in hundredths; `None`: there is no whole.
pub(crate) fn percent(part: u64, whole: u64) -> Option<u64> {
    (whole > 0).then(|| part.min(whole).saturating_mul(100) / whole)
}

/// A count with its words, `1 copy`, `2 copies`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let words = if count == N::from(1) { one } else { many };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_unit() {
        let texts = [0.0, 1023.0, 1024.0, 12_900_000.0, 104_857_600.0, 1_073_741_823.0, 2e18].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "12.3 MiB", "100 MiB", "1.0 GiB", "1776 PiB"]);
        assert_eq!([0.00042, 0.031, 3.2].map(latency), ["0.42 ms", "31 ms", "3.2 s"]);
        let ages = [0.9, 61.0, 11_520.0, 1_047_600.0].map(age);
        assert_eq!(ages, ["0 s", "1 min 1 s", "3 h 12 min", "12 d 3 h"]);
        assert_eq!((percent(1, 3), percent(5, 4), percent(1, 0)), (Some(33), Some(100), None));
    }
}
