//! The header `traceparent`: which trace a request belongs to (W3C Trace Context, level 1).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Its name.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The bytes of version 00, and the least of a later one.
const LENGTH: usize = 55;

/// One hop of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// Not 0.
    pub(crate) trace: u128,
    /// The hop; not 0.
    pub(crate) span: u64,
    /// The hop before it; 0: there was none, or it is not known.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only spans have a use for it"))]
    pub(crate) parent: u64,
    /// Whoever sent it has recorded it.
    pub(crate) sampled: bool,
}

impl TraceParent {
    /// What a request's headers say; `None`: nothing that can be read.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(Self::only(headers, &TRACEPARENT)?)
    }

    /// A header that comes once.
    pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    /// `00-<trace, 32 hex digits>-<span, 16>-<flags, 2>`. Of a later version what comes after that, behind one more dash, is
    /// not looked at.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let is_dashed = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let version = hex(&known[..2])?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        let (trace, span, flags) = (hex(&known[3..35])?, hex(&known[36..52])?, hex(&known[53..])?);
        let (span, sampled) = (u64::try_from(span).ok()?, flags & 1 == 1);
        (is_dashed && fits && trace != 0 && span != 0).then_some(Self { trace, span, parent: 0, sampled })
    }

    /// The next hop of the same trace: ours.
    pub(crate) fn next(self) -> Self {
        Self { span: rand::random::<u64>().max(1), parent: self.span, ..self }
    }

    /// A trace that begins here, before its first hop.
    #[cfg(feature = "otlp")]
    pub(crate) fn begin(sampled: bool) -> Self {
        Self { trace: rand::random::<u128>().max(1), span: 0, parent: 0, sampled }
    }

    /// The trace, as 32 hex digits.
    pub(crate) fn trace(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The header that says this.
    pub(crate) fn value(self) -> Option<HeaderValue> {
        let Self { trace, span, sampled, .. } = self;
        HeaderValue::try_from(format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled))).ok()
    }
}

/// A number of up to 32 hex digits, none of them a capital.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn parsed(text: &str) -> Option<TraceParent> {
        TraceParent::parse(text.as_bytes())
    }

    #[test]
    fn the_standards_example_is_read() {
        let parent = parsed(&format!("00-{TRACE}-b7ad6b7169203331-01")).unwrap();
        assert_eq!((parent.trace().as_str(), parent.span, parent.sampled), (TRACE, 0xb7ad_6b71_6920_3331, true));
        assert!(!parsed(&format!("00-{TRACE}-b7ad6b7169203331-00")).unwrap().sampled);
        assert!(parsed(&format!("00-{TRACE}-b7ad6b7169203331-ff")).unwrap().sampled, "other flags are not ours");
    }

    #[test]
    fn a_later_version_may_say_more() {
        for rest in ["", "-", "-what the future will be like"] {
            assert!(parsed(&format!("cc-{TRACE}-b7ad6b7169203331-01{rest}")).is_some(), "{rest}");
        }
        assert_eq!(parsed(&format!("cc-{TRACE}-b7ad6b7169203331-01.more")), None);
    }

    #[test]
    fn what_is_not_one_is_nothing() {
        for text in [
            "",
            "00",
            &format!("00-{TRACE}-b7ad6b7169203331-1"),
            &format!("00-{TRACE}-b7ad6b7169203331-01-"),
            &format!("00-{TRACE}-b7ad6b7169203331-01 "),
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            &format!("0g-{TRACE}-b7ad6b7169203331-01"),
            &format!("00_{TRACE}-b7ad6b7169203331-01"),
            &format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}-b7ad6b7169203331-0é"),
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn the_next_hop_is_another_one_of_the_same_trace() {
        let parent = parsed(&format!("cc-{TRACE}-b7ad6b7169203331-03-more")).unwrap();
        let next = parent.next();
        assert_ne!(next.span, parent.span);
        assert_eq!(next.value().unwrap(), format!("00-{TRACE}-{:016x}-01", next.span));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let parent = TraceParent { trace, span, parent: 0, sampled };
            let value = parent.value().unwrap();
            prop_assert_eq!(TraceParent::parse(value.as_bytes()), Some(parent));
        }

        #[test]
        fn whatever_comes_is_read_or_not(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&text);
        }

        /// Near to what is right, where mistakes are.
        #[test]
        fn one_byte_makes_it_another_or_none(at in 0_usize..55, byte: u8) {
            let text = format!("00-{TRACE}-b7ad6b7169203331-01");
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            if let Some(parent) = TraceParent::parse(&changed) {
                prop_assert!(parent.trace != 0 && parent.span != 0);
                prop_assert!(byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-');
            }
        }
    }
}
