//! What one line says, and how it is written.

use std::{fmt::Write as _, net::IpAddr, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Uri, header, request};
use prefetch::Tally;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::AccessLines;
use crate::{
    journal::{Entry, Priority},
    layers::watched::{End, Watch},
    metrics::SseLabel,
    outlet::{Form, showable},
    wire::{Peer, RelayedAnswer, RequestId, Subject},
};

/// What a client may say of itself and of what it wants, characters; the rest is left out.
const MOST: usize = 256;

/// One line on its way; nothing where none is to be written.
pub(crate) struct Line(pub(super) Option<Box<Request>>);

/// What is known of a request.
pub(super) struct Request {
    lines: Arc<AccessLines>,
    started: Instant,
    id: RequestId,
    peer: IpAddr,
    certificate: Option<Arc<str>>,
    method: Method,
    uri: Uri,
    range: Option<String>,
    user_agent: Option<String>,
    subject: Option<Arc<str>>,
    status: StatusCode,
    sse: SseLabel,
    key_id: Option<String>,
    relayed: bool,
    bytes: u64,
    first_byte: Option<f64>,
    tally: Arc<Tally>,
}

/// The members of a line, in their order. What is not known is left out.
#[derive(Serialize)]
struct Members<'a> {
    timestamp: String,
    request: String,
    peer: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<&'a str>,
    sse: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    status: u16,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte: Option<f64>,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetches: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
    by: &'static str,
    end: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    one_of: Option<u32>,
}

impl Line {
    /// What a request's head says.
    pub(super) fn begin(request: &request::Parts, peer: &Peer, lines: Arc<AccessLines>) -> Box<Request> {
        Box::new(Request {
            lines,
            started: Instant::now(),
            id: RequestId::of(&request.extensions),
            peer: peer.client,
            certificate: peer.tls.as_ref().and_then(|tls| tls.certificate.clone()),
            method: request.method.clone(),
            uri: request.uri.clone(),
            range: said(&request.headers, header::RANGE),
            user_agent: said(&request.headers, header::USER_AGENT),
            subject: None,
            status: StatusCode::OK,
            sse: SseLabel::None,
            key_id: None,
            relayed: false,
            bytes: 0,
            first_byte: None,
            tally: Arc::default(),
        })
    }

    /// What its answer says.
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        let Some(request) = &mut self.0 else { return };
        let extensions = response.extensions();
        request.status = response.status();
        request.subject = extensions.get().map(|Subject(subject)| Arc::clone(subject));
        request.relayed = extensions.get::<RelayedAnswer>().is_some();
        request.sse = match extensions.get().copied().unwrap_or_default() {
            SseLabel::None if request.relayed => encryption(response.headers()),
            sse => sse,
        };
        request.key_id = said(response.headers(), KEY_ID);
    }

    /// Counts what volume servers are asked for the request.
    pub(super) fn tally(&self) -> Option<Arc<Tally>> {
        self.0.as_ref().map(|request| Arc::clone(&request.tally))
    }

    /// There will be no answer; `status` is what it counts as.
    pub(super) fn unanswered(&mut self, status: StatusCode) {
        let Some(request) = &mut self.0 else { return };
        request.status = status;
        self.ended(if status.is_server_error() { End::Failed } else { End::Left });
    }
}

impl Watch for Line {
    fn sent(&mut self, bytes: u64) {
        let Some(request) = &mut self.0 else { return };
        request.bytes += bytes;
        request.first_byte.get_or_insert_with(|| seconds(request.started));
    }

    fn ended(&mut self, end: End) {
        let Some(request) = self.0.take() else { return };
        if request.lines.encrypted_only && request.sse == SseLabel::None {
            return;
        }
        // What an operator will ask for is there each time.
        let went_well = end == End::Complete && !request.status.is_server_error();
        let one_of = if went_well { request.lines.one_of } else { 1 };
        if one_of > 1 && rand::random_range(0..one_of) > 0 {
            return;
        }
        let members = Members { one_of: (one_of > 1).then_some(one_of), ..request.members(end) };
        let line = match request.lines.form {
            Form::Json => members.to_json(),
            Form::Text => members.to_text(),
            Form::Entry => members.to_entry(),
        };
        request.lines.spool.push(line.as_bytes());
    }
}

impl Request {
    fn members(&self, end: End) -> Members<'_> {
        Members {
            timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            request: self.id.to_string(),
            peer: self.peer,
            subject: self.subject.as_deref(),
            certificate: self.certificate.as_deref(),
            method: self.method.as_str(),
            path: self.uri.path(),
            range: self.range.as_deref(),
            sse: self.sse.as_str(),
            key_id: self.key_id.as_deref(),
            status: self.status.as_u16(),
            bytes: self.bytes,
            first_byte: self.first_byte,
            duration: seconds(self.started),
            fetches: (!self.relayed).then(|| self.tally.requests()),
            retries: (!self.relayed).then(|| self.tally.retries()),
            by: if self.relayed { "relayed" } else { "served" },
            end: if end == End::Complete { "whole" } else { "cut" },
            cut_by: match end {
                End::Complete => None,
                End::Failed => Some("failure"),
                End::Left => Some("client"),
            },
            user_agent: self.user_agent.as_deref(),
            one_of: None,
        }
    }
}

impl Members<'_> {
    fn to_json(&self) -> String {
        // No member can be refused: there are only texts and numbers.
        let mut line = showable(&serde_json::to_string(self).unwrap_or_default()).into_owned();
        line.push('\n');
        line
    }

    /// The same text, which the journal notes the time of, and each member by its name.
    fn to_entry(&self) -> String {
        let text = self.to_text();
        let shown = text.trim_end().split_once(' ').map_or("", |(_time, shown)| shown);
        let mut entry = Entry::new(Priority::Info, shown);
        entry.field("log", "access");
        if let Ok(Value::Object(members)) = serde_json::to_value(self) {
            for (name, value) in &members {
                match value {
                    Value::String(text) => entry.field(name, text),
                    number => entry.field(name, number),
                }
            }
        }
        entry.text()
    }

    /// What a client wrote stands in quotes, as Rust writes text: on one line, without control characters.
    fn to_text(&self) -> String {
        let Self { timestamp, request, peer, method, path, sse, status, bytes, duration, by, end, .. } = self;
        let mut line = format!("{timestamp} request={request} peer={peer}");
        let add = |line: &mut String, name: &str, value: Option<&str>| {
            if let Some(value) = value {
                // Writing to a text does not fail.
                let _ = write!(line, " {name}={value:?}");
            }
        };
        add(&mut line, "subject", self.subject);
        add(&mut line, "certificate", self.certificate);
        add(&mut line, "method", Some(method));
        add(&mut line, "path", Some(path));
        add(&mut line, "range", self.range);
        let _ = write!(line, " sse={sse}");
        add(&mut line, "key_id", self.key_id);
        let _ = write!(line, " status={status} bytes={bytes}");
        if let Some(first_byte) = self.first_byte {
            let _ = write!(line, " first_byte={first_byte}");
        }
        let _ = write!(line, " duration={duration}");
        if let (Some(fetches), Some(retries)) = (self.fetches, self.retries) {
            let _ = write!(line, " fetches={fetches} retries={retries}");
        }
        let _ = write!(line, " by={by} end={end}");
        if let Some(cut_by) = self.cut_by {
            let _ = write!(line, " cut_by={cut_by}");
        }
        add(&mut line, "user_agent", self.user_agent);
        if let Some(one_of) = self.one_of {
            let _ = write!(line, " one_of={one_of}");
        }
        line.push('\n');
        line
    }
}

/// Since then, in whole microseconds.
fn seconds(since: Instant) -> f64 {
    since.elapsed().as_micros() as f64 / 1e6
}

/// What a header says, as far as it is told.
fn said(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let mut told: String = value.chars().take(MOST).collect();
    if told.len() < value.len() {
        told.push('…');
    }
    Some(told)
}

const KEY_ID: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
const CUSTOMER: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
const MANAGED: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");

/// How the object is encrypted that a filer or gateway answered about, as it says itself.
fn encryption(headers: &HeaderMap) -> SseLabel {
    match headers.get(MANAGED) {
        _ if headers.contains_key(CUSTOMER) => SseLabel::C,
        Some(managed) if managed.as_bytes() == b"AES256" => SseLabel::S3,
        Some(_) => SseLabel::Kms,
        None => SseLabel::None,
    }
}
