//! One file explained with the parts of a configuration: what is found out of it, and what keeps every reader from it.
//!
//! Knows whom a reader would meet before the file. Must not know how a file is looked at.

use crypto::Scheme;
use http::Request;
use percent_encoding::utf8_percent_encode;

use super::{checked_config::CheckedConfig, parts::Parts, process_state::ProcessState, start_error::StartError};
use crate::{
    Blame, Result,
    access::{Access, Caller, CurrentKey},
    explain::{self, Report},
    s3,
    wire::Peer,
};

/// Explains the file at `path`, or the object `s3://bucket/key`, with the filer, the keys and the limits of this
/// configuration. Nothing is listened on.
///
/// # Errors
/// When there is no such file, or the filer cannot be asked; a [`settings::Error`](crate::settings::Error) when a setting turns
/// out not to work.
pub async fn explain(loaded: CheckedConfig, path: &str) -> Result<Report, StartError> {
    let process = ProcessState::new(&loaded.config)?;
    let mut parts = Parts::new(&process, loaded, None)?;
    parts.take_over(&process, None);
    ask_filer(&parts).await?;
    match path.strip_prefix("s3://") {
        Some(object) => of_object(&parts, object).await,
        None => of_file(&parts, path).await,
    }
}

/// Whether a filer can be asked. Where none answers, what it demands and tidegate was not told is the better reason.
async fn ask_filer(parts: &Parts) -> Result<()> {
    if let Err(error) = parts.filer().check_lookup().await {
        return match parts.demands().check().await {
            Err(demand) if demand.blame() == Blame::Config => Err(demand),
            _ => Err(error),
        };
    }
    parts.filer().learn().await;
    Ok(())
}

async fn of_file(parts: &Parts, path: &str) -> Result<Report, StartError> {
    let mut report = looked_at(parts, path).await?;
    if let Err(error) = parts.demands().check().await {
        report.refuse(error.message());
    }
    if let Err(error) = admits_somebody(&parts.rules(CurrentKey::new(None)), &report) {
        report.refuse(error.message());
    }
    Ok(report)
}

async fn of_object(parts: &Parts, object: &str) -> Result<Report, StartError> {
    let explained = s3::explain::explain(parts.stages(), object).await?;
    let mut report = looked_at(parts, &explained.path).await?;
    report.s3 = Some(match parts.gateways() {
        Some(_) => explained.way,
        None => format!("not at all, since s3.listen is not set; else {}", explained.way),
    });
    if let Some(gateways) = parts.gateways()
        && let Err(error) = gateways.check().await
    {
        report.refuse(error.message());
    }
    Ok(report)
}

async fn looked_at(parts: &Parts, path: &str) -> Result<Report, StartError> {
    // Twice: a replica that hangs is told of, and its neighbour still asked.
    let patience = parts.config.prefetch.first_byte_timeout * 2;
    explain::report(parts.source(), &parts.keys, path, patience).await
}

/// Whether the filer front gives the file to anybody: to who brings all that there is to bring. `rules` ask for no token.
///
/// # Errors
/// The refusal that all get.
fn admits_somebody(rules: &Access, report: &Report) -> Result<()> {
    let uri = utf8_percent_encode(&report.path, &s3::explain::ENCODED).to_string();
    if let Ok(request) = Request::get(uri).body(()) {
        rules.admit(&request.into_parts().0, &Peer::plain(([127, 0, 0, 1], 0).into()), &mut None)?;
    }
    let scheme = match report.sse {
        Some("kms") => Scheme::Kms,
        Some("s3") => Scheme::S3,
        _ => return Ok(()),
    };
    rules.managed_keys.check(scheme, Caller { token: true, certificate: true })
}
