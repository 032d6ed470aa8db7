use super::*;
use crate::status::state::{
    Cache, Certificate, Download, Excerpt, Filer, Holder, Kms, Limit, Memory, Problem, Severity, Status, VolumeServer,
};

const EVIL: &str = "\"'><img src=x onerror=alert(1)>&";

fn evil() -> String {
    EVIL.to_owned()
}

/// One with something in every part, each text of which would break out if it could.
fn status() -> Status {
    let mut status = Status { at: "2026-01-02T03:04:05Z".to_owned(), config: evil(), ..Status::default() };
    status.build.version = evil();
    status.build.features = vec![evil()];
    status.health.problems = vec![Problem { severity: Severity::Failing, what: evil(), advice: evil() }];
    status.connections.open.insert(evil(), 1);
    let download = Download {
        id: evil(),
        front: evil(),
        peer: evil(),
        method: evil(),
        path: Some(evil()),
        status: Some(200),
        sse: Some(evil()),
        total: Some(3),
        sent: 1,
        ..Download::default()
    };
    let waiting = Download { status: None, path: None, ..download.clone() };
    status.downloads = Excerpt { listed: vec![download, waiting], more: 7 };
    status.filers = vec![Filer { address: evil(), ..Filer::default() }];
    let server = VolumeServer { address: evil(), state: evil(), failing_for: Some(61.0), ..VolumeServer::default() };
    status.volume_servers = Excerpt { listed: vec![server], more: 0 };
    let last_failure = Some(evil());
    status.kms = vec![Kms { name: evil(), kind: evil(), last_failure, last_failure_age: Some(1.0), ..Kms::default() }];
    status.caches = vec![Cache { name: evil(), hits: 3, misses: 1, ..Cache::default() }];
    let holder = Holder { peer: Some(evil()), bytes: 1 << 20, downloads: 2 };
    status.memory = Memory { limit: 1 << 21, peers: Excerpt { listed: vec![holder], more: 0 }, ..Memory::default() };
    status.limits = vec![Limit { key: evil(), value: evil(), hits: 1 }];
    status.certificates = vec![Certificate { name: evil(), expires: 0.0 }];
    status
}

#[test]
fn whatever_came_from_outside_is_text_in_the_page() {
    let page = document(&status());
    assert!(!page.contains("<img") && !page.contains("'>") && page.contains("&lt;img"));
    assert!(!page.contains("{{") && page.contains("and 7 more") && page.contains("33 % of 3 B"));
    assert!(page.contains("waits for its first byte") && page.contains("75 %") && page.contains("expired"));
    let news = news(&status());
    assert!(!news.contains("<img") && !news.contains('\n'));
}

#[test]
fn all_news_has_its_place_in_the_page() {
    let news: serde_json::Value = serde_json::from_str(&news(&status())).unwrap();
    let parts = news["parts"].as_object().unwrap();
    for id in parts.keys() {
        assert!(TEMPLATE.contains(&format!("id=\"{id}\"")) && TEMPLATE.contains(&format!("{{{{{id}}}}}")), "{id}");
    }
    assert_eq!(news["verdict"], "Not ready");
    assert_eq!(news["title"], "Not ready · tidegate");
}

#[test]
fn the_verdict_is_the_worst_there_is() {
    let mut status = Status::default();
    status.health.ready = true;
    assert_eq!(parts::verdict(&status), ("All is well".to_owned(), "fine"));
    let problem = |severity| Problem { severity, what: String::new(), advice: String::new() };
    status.health.problems = vec![problem(Severity::Warning)];
    assert_eq!(parts::verdict(&status), ("Serving, 1 thing to look at".to_owned(), "look"));
    status.health.problems.push(problem(Severity::Failing));
    assert_eq!(parts::verdict(&status), ("Some reads fail".to_owned(), "fail"));
}
