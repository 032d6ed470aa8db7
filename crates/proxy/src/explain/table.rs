//! A report as lines for people.
//!
//! Knows columns. Must not know where the values come from.

use std::fmt::Write as _;

use super::report::{Chunk, Key, Report};

/// The whole page.
pub(super) fn lines(report: &Report) -> String {
    let mut page = String::new();
    let sse = match report.sse {
        Some("none") => "none",
        Some("c") => "SSE-C",
        Some("kms") => "SSE-KMS",
        Some("s3") => "SSE-S3",
        _ => "not understood",
    };
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(page, "{name:<11}{}", printable(value));
    };
    fact("path", &report.path);
    if let Some(way) = &report.s3 {
        fact("by S3", way);
    }
    fact("size", &format!("{} bytes", report.size));
    if report.inline > 0 {
        fact("inline", &format!("{} bytes in the entry itself", report.inline));
    }
    fact("encryption", sse);
    fact("kind", report.kind.unwrap_or("not understood"));
    fact("chunks", &report.chunks.len().to_string());
    fact("readable", if report.readable { "yes, as far as can be seen" } else { "NO" });
    for fault in &report.faults {
        fact("fault", fault);
    }
    for key in &report.keys {
        page.push('\n');
        about(&mut page, key);
    }
    if !report.chunks.is_empty() {
        page.push('\n');
        columns(&mut page, &report.chunks);
    }
    page
}

fn about(page: &mut String, key: &Key) {
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(page, "  {name:<12}{}", printable(&value));
    };
    fact("key", key.index.to_string());
    if let Some(id) = &key.key_id {
        fact("key id", id.clone());
    }
    if let Some(envelope) = &key.envelope {
        fact("provider", envelope.provider.clone());
        let (version, length) = (envelope.version, envelope.ciphertext_length);
        fact("envelope", format!("version {version}, key id {}, {length} characters wrapped", envelope.key_id));
    }
    for (name, value) in &key.context {
        fact("context", format!("{name} = {value}"));
    }
    fact("committed", if key.commitments > 0 { "yes" } else { "no" }.to_owned());
    let opens = match key.opens {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "not tried",
    };
    match &key.why {
        Some(why) => fact("opens", format!("{opens}: {why}")),
        None => fact("opens", opens.to_owned()),
    }
}

fn columns(page: &mut String, chunks: &[Chunk]) {
    let width = chunks.iter().map(|chunk| chunk.fid.len()).max().unwrap_or(0).max(5);
    let _ =
        writeln!(page, "{:>14} {:>10}  {:<width$}  {:<20} {:>4}  replicas", "offset", "size", "chunk", "layers", "key");
    for chunk in chunks {
        let layers = if chunk.layers.is_empty() { "-".to_owned() } else { chunk.layers.join("+") };
        let key = chunk.key.map_or("-".to_owned(), |key| key.to_string());
        let replicas: Vec<String> = chunk
            .replicas
            .iter()
            .map(|replica| match &replica.why {
                None => format!("{} answers", replica.server),
                Some(why) => format!("{} FAILS ({why})", replica.server),
            })
            .collect();
        let replicas = match &chunk.fault {
            Some(fault) => format!("FAILS ({fault})"),
            None => replicas.join(", "),
        };
        let replicas = if chunk.was_asked_for() {
            replicas + &opens(chunk)
        } else {
            format!("not asked ({})", chunk.why.as_deref().unwrap_or("no reason is known"))
        };
        let (offset, size, fid) = (chunk.offset, chunk.size, printable(&chunk.fid));
        let _ =
            writeln!(page, "{offset:>14} {size:>10}  {fid:<width$}  {layers:<20} {key:>4}  {}", printable(&replicas));
    }
}

/// How opening a chunk went, to be added to what is said of its replicas.
fn opens(chunk: &Chunk) -> String {
    if !chunk.visible {
        return "; no byte of the file is in it".to_owned();
    }
    match (chunk.opens, &chunk.why) {
        (Some(true), _) => "; opens".to_owned(),
        (Some(false), why) => format!("; DOES NOT OPEN ({})", why.as_deref().unwrap_or("no reason is known")),
        (None, Some(why)) => format!("; not opened ({why})"),
        (None, None) => String::new(),
    }
}

/// What an entry holds may be anything; a terminal obeys control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Envelope, Replica};

    fn report() -> Report {
        let envelope = Envelope { provider: "aws".into(), key_id: "k".into(), ciphertext_length: 300, version: 1 };
        let key = Key {
            index: 0,
            key_id: Some("k\u{1b}[31m".into()),
            envelope: Some(envelope),
            context: [("aws:s3:arn".to_owned(), "arn:aws:s3:::b/a".to_owned())].into(),
            commitments: 1,
            opens: Some(false),
            why: Some("the KMS refuses".into()),
        };
        let replicas = |all: bool| {
            let why = (!all).then(|| "does not have the needle (404)".to_owned());
            let first = Replica { server: "a:8080".into(), answers: true, why: None };
            vec![first, Replica { server: "b:8080".into(), answers: all, why }]
        };
        let chunk = |opens, why: Option<&str>, replicas| Chunk {
            fid: "3,01637037d6".into(),
            offset: 0,
            size: 5,
            layers: vec!["gcm", "sse-kms"],
            key: Some(0),
            visible: true,
            replicas,
            fault: None,
            opens,
            why: why.map(str::to_owned),
        };
        let chunks = vec![
            chunk(Some(true), None, replicas(false)),
            chunk(Some(false), Some("the seal is broken"), replicas(true)),
            chunk(None, Some("too many"), replicas(true)),
            chunk(None, Some("no time"), Vec::new()),
        ];
        Report {
            path: "/buckets/b/a".into(),
            s3: None,
            size: 5,
            inline: 0,
            sse: Some("kms"),
            kind: Some("self-describing"),
            faults: Vec::new(),
            keys: vec![key],
            chunks,
            readable: false,
        }
    }

    #[test]
    fn says_all_of_it_and_no_control_characters() {
        let page = report().to_table();
        for words in [
            "SSE-KMS",
            "kind       self-describing",
            "readable   NO",
            "NO: the KMS refuses",
            "aws:s3:arn = arn:aws:s3:::b/a",
            "gcm+sse-kms",
            "a:8080 answers, b:8080 FAILS (does not have the needle (404)); opens\n",
            "; DOES NOT OPEN (the seal is broken)\n",
            "; not opened (too many)\n",
            " not asked (no time)\n",
        ] {
            assert!(page.contains(words), "{words} is not in\n{page}");
        }
        assert!(!page.contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_same() {
        let value: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(value["keys"][0]["opens"], false);
        assert_eq!(value["chunks"][0]["replicas"][1]["answers"], false);
        assert_eq!(value["chunks"][1]["opens"], false);
        assert_eq!(value["sse"], "kms");
    }
}
