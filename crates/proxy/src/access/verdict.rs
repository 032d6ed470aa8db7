//! What a filer's answer to a reader says of its demands, and what the answers of all of them say.

use std::time::Duration;

use http::StatusCode;

use crate::{Blame, Error, Result};

/// When a client should ask again after a filer could not be asked.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What came of asking one filer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It let the question through.
    Open,
    /// It wants more than tidegate has.
    Demands(Demand),
    /// Nobody knows: it could not be asked, or its answer says neither. For the log.
    Unclear(String),
}

/// What a filer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A read token, and tidegate has no key.
    Token,
    /// A read token of another key.
    OtherToken,
    /// HTTPS.
    Tls,
    /// Something else; the status.
    Other(StatusCode),
}

impl Verdict {
    /// From the answer to a HEAD of a file that is not there, asked with a token of the read key or without one.
    pub(super) fn of(answer: &Result<StatusCode, String>, with_token: bool, over_tls: bool) -> Self {
        let status = match answer {
            Ok(status) => *status,
            Err(why) => return Self::Unclear(why.clone()),
        };
        match status {
            StatusCode::NOT_FOUND => Self::Open,
            _ if status.is_success() => Self::Open,
            StatusCode::UNAUTHORIZED if with_token => Self::Demands(Demand::OtherToken),
            StatusCode::UNAUTHORIZED => Self::Demands(Demand::Token),
            // Go's server answers so to plain HTTP where it speaks TLS.
            StatusCode::BAD_REQUEST if !over_tls => Self::Demands(Demand::Tls),
            StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Self::Demands(Demand::Other(status)),
            _ => Self::Unclear(format!("it answers {status} to a HEAD of a file that is not there")),
        }
    }
}

impl Demand {
    /// In one sentence, what is missing and how it is mended.
    pub(super) fn what_to_do(self) -> String {
        match self {
            Self::Token => "the filer wants read tokens (401), and tidegate was told no key: name the cluster's \
                            security.toml, which has jwt.filer_signing.read.key, in filer.security_toml; or the filer has a \
                            list of addresses that tidegate's is not on"
                .to_owned(),
            Self::OtherToken => "the filer refuses tokens of the jwt.filer_signing.read.key that tidegate has (401): put the \
                                 filer's key in the security.toml that filer.security_toml names, and send both SIGHUP"
                .to_owned(),
            Self::Tls => "the filer wants HTTPS, or is none (400): set https.client.enabled and the files of https.client in \
                          the security.toml that filer.security_toml names"
                .to_owned(),
            Self::Other(status) => {
                format!("the filer refuses tidegate ({status}): who may read there is decided by what tidegate does not know")
            }
        }
    }
}

/// What the answers of all filers mean together, of those of which there is one.
///
/// Without a read key, whoever demands anything closes reads: the filers are of one cluster, and who forgot one of them did
/// not mean to open it. With a key, readers bring tokens that it signed, and one filer that takes those is enough: the
/// others have not been told of it yet, or no longer.
///
/// # Errors
/// 503.
pub(super) fn judge(has_key: bool, verdicts: &[Verdict]) -> Result<()> {
    let is_open = verdicts.contains(&Verdict::Open);
    let demand = verdicts.iter().find_map(|verdict| match verdict {
        Verdict::Demands(demand) => Some(*demand),
        _ => None,
    });
    match demand {
        Some(_) if has_key && is_open => Ok(()),
        Some(demand) => {
            let message = format!("reads are not served: {}", demand.what_to_do());
            Err(Error::new(Blame::Config, StatusCode::SERVICE_UNAVAILABLE, message).code("ServiceUnavailable"))
        }
        None if is_open => Ok(()),
        None => {
            let message =
                "reads are not served: no filer could be asked over HTTP what it demands of readers; try again";
            Err(Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_AFTER))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_a_reader_is_let_in() {
        let of = |status: u16, with_token, over_tls| {
            Verdict::of(&Ok(StatusCode::from_u16(status).unwrap()), with_token, over_tls)
        };
        for status in [404, 200, 204] {
            assert_eq!(of(status, false, false), Verdict::Open);
        }
        assert_eq!(of(401, false, false), Verdict::Demands(Demand::Token));
        assert_eq!(of(401, true, true), Verdict::Demands(Demand::OtherToken));
        assert_eq!(of(400, true, false), Verdict::Demands(Demand::Tls));
        assert_eq!(of(403, false, true), Verdict::Demands(Demand::Other(StatusCode::FORBIDDEN)));
        for status in [301, 400, 405, 429, 500, 502, 503] {
            assert!(matches!(of(status, false, true), Verdict::Unclear(_)), "{status}");
        }
        assert!(matches!(Verdict::of(&Err("refused".into()), false, false), Verdict::Unclear(_)));
    }

    #[test]
    fn whoever_operates_tidegate_reads_what_to_set() {
        for (demand, named) in [
            (Demand::Token, &["filer.security_toml", "jwt.filer_signing.read.key"][..]),
            (Demand::OtherToken, &["filer.security_toml", "jwt.filer_signing.read.key", "SIGHUP"]),
            (Demand::Tls, &["https.client.enabled", "filer.security_toml"]),
            (Demand::Other(StatusCode::FORBIDDEN), &["403"]),
        ] {
            let error = judge(false, &[Verdict::Demands(demand)]).unwrap_err();
            assert!(named.iter().all(|name| error.message().contains(name)), "{error}");
        }
    }

    #[test]
    fn the_strictest_filer_counts_unless_tokens_are_wanted_here_too() {
        let (open, demands) = (Verdict::Open, Verdict::Demands(Demand::Token));
        let unclear = Verdict::Unclear(String::new());
        let blame = |has_key, verdicts: &[&Verdict]| {
            let verdicts: Vec<_> = verdicts.iter().map(|verdict| (*verdict).clone()).collect();
            judge(has_key, &verdicts).err().map(|error| error.blame())
        };
        for has_key in [false, true] {
            assert_eq!(blame(has_key, &[&open]), None);
            assert_eq!(blame(has_key, &[&unclear, &open]), None);
            assert_eq!(blame(has_key, &[&demands]), Some(Blame::Config));
            assert_eq!(blame(has_key, &[&unclear, &demands]), Some(Blame::Config));
            assert_eq!(blame(has_key, &[&unclear]), Some(Blame::Filer));
            assert_eq!(blame(has_key, &[]), Some(Blame::Filer));
        }
        assert_eq!(blame(false, &[&open, &demands]), Some(Blame::Config));
        assert_eq!(blame(true, &[&open, &demands]), None);
    }
}
