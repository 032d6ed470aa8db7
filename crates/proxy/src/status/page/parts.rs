//! The parts of the page, each of which is replaced when it changes. Their ids are those of the elements in `page.html`.

use super::html::Html;
use crate::status::{
    amounts::{age, bytes, counted, latency, percent, rate},
    state::{Download, Excerpt, Severity, Status},
};

/// All of them.
pub(super) fn all(status: &Status) -> Vec<(&'static str, String)> {
    vec![
        ("at", Html::default().text(&status.at).finish()),
        ("health", health(status)),
        ("traffic", traffic(status)),
        ("downloads", downloads(status)),
        ("servers", servers(status)),
        ("filers", filers(status)),
        ("kms", kms(status)),
        ("memory", memory(status)),
        ("caches", caches(status)),
        ("limits", limits(status)),
        ("connections", connections(status)),
        ("certificates", certificates(status)),
    ]
}

/// What stands in the window's title: the verdict first, for whoever has many windows.
pub(super) fn title(status: &Status) -> String {
    format!("{} · tidegate", verdict(status).0)
}

/// In a word or two whether all is well, and the class that colours it.
pub(in crate::status) fn verdict(status: &Status) -> (String, &'static str) {
    let count = |severity| status.health.problems.iter().filter(|problem| problem.severity == severity).count();
    match (status.health.ready, count(Severity::Failing), count(Severity::Warning)) {
        (false, ..) => ("Not ready".to_owned(), "fail"),
        (true, 0, 0) => ("All is well".to_owned(), "fine"),
        (true, 0, warnings) => (format!("Serving, {} to look at", counted(warnings, "thing", "things")), "look"),
        (true, ..) => ("Some reads fail".to_owned(), "fail"),
    }
}

/// What runs, and since when.
pub(super) fn build(status: &Status) -> String {
    let build = &status.build;
    let features = if build.features.is_empty() { String::new() } else { format!(" ({})", build.features.join(", ")) };
    Html::default().text(&format!("{}{features}", build.version)).finish()
}

fn health(status: &Status) -> String {
    let (verdict, class) = verdict(status);
    let html = Html::default().raw("<h1 id=\"verdict\" class=\"").text(class).raw("\">").text(&verdict).raw("</h1>");
    if status.health.problems.is_empty() {
        return html
            .raw("<p class=\"quiet\">Nothing failed in the last five minutes. Up for ")
            .text(&age(status.uptime))
            .raw(".</p>")
            .finish();
    }
    let html = html.raw("<ul class=\"problems\">").each(&status.health.problems, |html, problem| {
        let class = match problem.severity {
            Severity::Failing => "fail",
            Severity::Warning => "look",
        };
        html.raw("<li class=\"")
            .text(class)
            .raw("\"><strong>")
            .text(&problem.what)
            .raw("</strong> <span>")
            .text(&problem.advice)
            .raw("</span></li>")
    });
    html.raw("</ul><p class=\"quiet\">Up for ").text(&age(status.uptime)).raw(".</p>").finish()
}

fn traffic(status: &Status) -> String {
    let traffic = &status.traffic;
    let open: u64 = status.connections.open.values().sum();
    let numbers = [
        ("to clients", rate(traffic.bytes_per_second)),
        ("requests a second", format!("{:.0}", traffic.requests_per_second)),
        ("requests running", traffic.requests_in_flight.to_string()),
        ("connections", open.to_string()),
        ("fetches running", traffic.fetches.to_string()),
        ("answers of 5xx, 5 min", traffic.failed_lately.to_string()),
        ("answers cut, 5 min", traffic.cut_lately.to_string()),
    ];
    Html::default()
        .each(numbers, |html, (name, number)| {
            html.raw("<div><dt>").text(name).raw("</dt><dd>").text(&number).raw("</dd></div>")
        })
        .finish()
}

/// A table: its caption for those who do not see the heading, its heads, of which those with a `>` are of numbers.
fn table(caption: &'static str, heads: &[&'static str], rows: impl FnOnce(Html) -> Html) -> Html {
    let html = Html::default().raw("<table><caption class=\"unseen\">").raw(caption).raw("</caption><thead><tr>");
    let html = html.each(heads, |html, head| match head.strip_prefix('>') {
        Some(head) => html.raw("<th scope=\"col\" class=\"number\">").raw(head).raw("</th>"),
        None => html.raw("<th scope=\"col\">").raw(head).raw("</th>"),
    });
    rows(html.raw("</tr></thead><tbody>")).raw("</tbody></table>")
}

/// The cell that names a row.
fn name(html: Html, name: &str) -> Html {
    html.raw("<tr><th scope=\"row\">").text(name).raw("</th>")
}

fn number(html: Html, number: &str) -> Html {
    html.raw("<td class=\"number\">").text(number).raw("</td>")
}

fn word(html: Html, class: &'static str, word: &str) -> Html {
    html.raw("<td class=\"").raw(class).raw("\">").text(word).raw("</td>")
}

fn bar(html: Html, part: u64, whole: u64, label: &str) -> Html {
    html.raw("<progress max=\"")
        .text(&whole.max(1).to_string())
        .raw("\" value=\"")
        .text(&part.min(whole.max(1)).to_string())
        .raw("\" aria-label=\"")
        .text(label)
        .raw("\"></progress>")
}

fn none(text: &'static str) -> String {
    Html::default().raw("<p class=\"none\">").raw(text).raw("</p>").finish()
}

fn more<T>(html: Html, of: &Excerpt<T>) -> String {
    match of.more {
        0 => html.finish(),
        more => html.raw("<p class=\"more\">and ").text(&more.to_string()).raw(" more</p>").finish(),
    }
}

fn downloads(status: &Status) -> String {
    let running = &status.downloads;
    if running.listed.is_empty() {
        return none("None.");
    }
    let heads = ["Request", "Client", "Progress", ">Rate", ">Age"];
    let table = table("Downloads running, those that run longest first", &heads, |html| {
        html.each(&running.listed, |html, download| {
            let what = download.path.as_deref().unwrap_or(&download.id);
            let html = name(html, what);
            let html = html
                .raw("<td>")
                .text(&download.peer)
                .raw("<br><span class=\"quiet\">")
                .text(&kind(download))
                .raw("</span></td><td>");
            let html = progress(html, download).raw("</td>");
            let html = number(html, &rate(download.rate as f64));
            number(html, &age(download.age)).raw("</tr>")
        })
    });
    more(table, running)
}

/// Front, method, encryption, and who answers.
fn kind(download: &Download) -> String {
    let mut words = vec![download.front.as_str(), download.method.as_str()];
    match download.sse.as_deref() {
        Some("c") => words.push("SSE-C"),
        Some("kms") => words.push("SSE-KMS"),
        Some("s3") => words.push("SSE-S3"),
        Some(_) | None => {}
    }
    if download.relayed {
        words.push("relayed");
    }
    words.join(" · ")
}

fn progress(html: Html, download: &Download) -> Html {
    let sent = bytes(download.sent as f64);
    match (download.status, download.total) {
        (None, _) => html.raw("<span class=\"state-look\">waits for its first byte</span>"),
        (Some(_), None) => html.text(&sent),
        (Some(_), Some(total)) => {
            let percent = percent(download.sent, total).unwrap_or(100);
            bar(html, download.sent, total, "Progress").text(&format!("{percent} % of {}", bytes(total as f64)))
        }
    }
}

fn servers(status: &Status) -> String {
    let servers = &status.volume_servers;
    if servers.listed.is_empty() {
        return none("None was asked yet.");
    }
    let heads = ["Server", "State", ">First byte", ">Requests", ">Waiting"];
    let table = table("Volume servers, those that are set aside first", &heads, |html| {
        html.each(&servers.listed, |html, server| {
            let html = name(html, &server.address);
            let far = if server.far { ", far" } else { "" };
            let html = match (server.state.as_str(), server.failing_for) {
                ("good", None) => word(html, "state-fine", &format!("good{far}")),
                ("good", Some(time)) => word(html, "state-look", &format!("failing for {}{far}", age(time))),
                ("probed", _) => word(html, "state-look", &format!("being tried{far}")),
                (_, Some(time)) => word(html, "state-fail", &format!("set aside, failing for {}{far}", age(time))),
                (_, None) => word(html, "state-fail", &format!("set aside{far}")),
            };
            let html = number(html, &latency(server.latency));
            let html = number(html, &format!("{} of {}", server.requests, server.places));
            number(html, &server.waiting.to_string()).raw("</tr>")
        })
    });
    more(table, servers)
}

fn filers(status: &Status) -> String {
    let table = table("Filers", &["Filer", "State", ">Answers in"], |html| {
        html.each(&status.filers, |html, filer| {
            let html = name(html, &filer.address);
            let html = match (filer.up, filer.used) {
                (true, true) => word(html, "state-fine", "in use"),
                (true, false) => word(html, "state-fine", "stands by"),
                (false, true) => word(html, "state-fail", "no answer, and none better"),
                (false, false) => word(html, "state-fail", "no answer"),
            };
            number(html, &filer.latency.map_or_else(|| "–".to_owned(), latency)).raw("</tr>")
        })
    });
    table.finish()
}

fn kms(status: &Status) -> String {
    if status.kms.is_empty() {
        return none("None is configured.");
    }
    let heads = ["Service", "State", ">Keys opened", ">Failed"];
    let table = table("Key management services", &heads, |html| {
        html.each(&status.kms, |html, kms| {
            let html = name(html, &format!("{} ({})", kms.name, kms.kind));
            let last = match (&kms.last_failure, kms.last_failure_age) {
                (Some(failure), Some(time)) => format!("{failure} {} ago", age(time)),
                _ => String::new(),
            };
            let html = match (kms.up, last.is_empty()) {
                (false, _) => word(html, "state-fail", &format!("no answer; {last}")),
                (true, true) => word(html, "state-fine", "no failure yet"),
                (true, false) => word(html, "", &format!("answers; {last}")),
            };
            let html = number(html, &kms.ok.to_string());
            number(html, &kms.failed.to_string()).raw("</tr>")
        })
    });
    table.finish()
}

fn memory(status: &Status) -> String {
    let memory = &status.memory;
    let html = bar(Html::default(), memory.taken, memory.limit, "Memory taken")
        .raw("<p class=\"more\">")
        .text(&format!(
            "{} of {} taken by {}, {} of it filled. {} may run at once, {} for a part. The process has {}.",
            bytes(memory.taken as f64),
            bytes(memory.limit as f64),
            counted(memory.downloads, "download", "downloads"),
            bytes(memory.filled as f64),
            memory.most_downloads,
            if memory.waiting == 1 { "1 waits".to_owned() } else { format!("{} wait", memory.waiting) },
            bytes(memory.resident as f64),
        ))
        .raw("</p>");
    if memory.peers.listed.is_empty() {
        return html.finish();
    }
    let holders = table("Who has most of the memory", &["Client", ">Memory", ">Downloads"], |html| {
        html.each(&memory.peers.listed, |html, holder| {
            let html = name(html, holder.peer.as_deref().unwrap_or("tidegate itself"));
            let html = number(html, &bytes(holder.bytes as f64));
            number(html, &holder.downloads.to_string()).raw("</tr>")
        })
    });
    html.finish() + &more(holders, &memory.peers)
}

fn caches(status: &Status) -> String {
    let heads = ["Cache", ">Entries", ">Memory", ">Lookups", ">Hits"];
    let table = table("Caches", &heads, |html| {
        html.each(&status.caches, |html, cache| {
            let lookups = cache.hits + cache.misses;
            let hits = percent(cache.hits, lookups).map_or_else(|| "–".to_owned(), |hits| format!("{hits} %"));
            let html = name(html, &cache.name.replace('_', " "));
            let html = number(html, &cache.entries.to_string());
            let html = number(html, &cache.bytes.map_or_else(|| "–".to_owned(), |held| bytes(held as f64)));
            let html = number(html, &lookups.to_string());
            number(html, &hits).raw("</tr>")
        })
    });
    table.finish()
}

fn limits(status: &Status) -> String {
    let table = table("Limits", &["Limit", ">In force", ">Reached"], |html| {
        html.each(&status.limits, |html, limit| {
            let html = name(html, &limit.key);
            let html = number(html, &limit.value);
            match limit.hits {
                0 => number(html, "0").raw("</tr>"),
                hits => word(html, "number state-look", &hits.to_string()).raw("</tr>"),
            }
        })
    });
    table.finish()
}

fn connections(status: &Status) -> String {
    let connections = &status.connections;
    let refused: u64 = connections.refused.values().sum();
    let open = connections.open.iter().map(|(front, open)| (format!("open at the {front} front"), *open));
    let rows = open.chain([
        ("at most, of all fronts".to_owned(), connections.most),
        ("accepted since the start".to_owned(), connections.accepted),
        ("refused".to_owned(), refused),
        ("errors of accept".to_owned(), connections.accept_errors),
        ("failed TLS handshakes".to_owned(), connections.tls_errors),
        ("open files".to_owned(), connections.open_files),
        ("files that may be open".to_owned(), connections.most_files),
    ]);
    let table = table("Connections", &["What", ">How many"], |html| {
        html.each(rows, |html, (what, count)| number(name(html, &what), &count.to_string()).raw("</tr>"))
    });
    table.finish()
}

fn certificates(status: &Status) -> String {
    if status.certificates.is_empty() {
        return none("None is in use.");
    }
    let now = humantime::parse_rfc3339(&status.at).ok();
    let now = now.and_then(|now| now.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default().as_secs_f64();
    let table = table("Certificates", &["Certificate", ">Expires in"], |html| {
        html.each(&status.certificates, |html, certificate| {
            let html = name(html, &certificate.name.replace('_', " "));
            match certificate.expires - now {
                left if left < 0.0 => word(html, "number state-fail", "expired").raw("</tr>"),
                left => number(html, &age(left)).raw("</tr>"),
            }
        })
    });
    table.finish()
}
