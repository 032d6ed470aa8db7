//! What is wrong, for somebody who has just been woken: the worst first, each with where to look.

use super::{
    amounts::{self, counted},
    readings::Readings,
    recent::Counters,
    state::{Health, Problem, Severity, Status},
};

/// A KMS that failed within so many seconds is worth a word.
const KMS_FAILED: f64 = 300.0;
/// A certificate that expires within so many days is, too.
const EXPIRES_DAYS: f64 = 14.0;
const DAY: f64 = 86_400.0;
/// Of a hundred files that may be open.
const MANY_FILES: u64 = 80;

/// What is wrong with all that `status` tells. `gone`: what happened lately; `ready`: what `/readyz` says; `now`: seconds since 1970.
pub(super) fn of(
    status: &Status,
    readings: &Readings,
    gone: &Counters,
    ready: &Result<(), String>,
    keeps_entries: bool,
    now: f64,
) -> Health {
    let mut problems = Problems::default();
    if let Err(reason) = ready {
        problems.failing(format!("Not ready: {reason}."), "Whoever asks /readyz sends clients elsewhere.");
    }
    of_servers(status, &mut problems);
    of_keys(status, &mut problems);
    of_clients(status, &mut problems);
    if gone.refused > 0 {
        problems.warning(
            format!(
                "{} in the last five minutes: a limit was reached.",
                counted(gone.refused, "client was turned away", "clients were turned away")
            ),
            "See Limits; server.max_connections and limits.requests.",
        );
    }
    if gone.unsound > 0 {
        problems.warning(
            format!(
                "{} of chunks could not be given soundly in the last five minutes.",
                counted(gone.unsound, "copy", "copies")
            ),
            "A disk may be failing; the log names servers and chunks.",
        );
    }
    if gone.lost_lines > 0 {
        problems.warning(
            format!("{} of logs were lost in the last five minutes.", counted(gone.lost_lines, "line", "lines")),
            "Whoever takes the log is too slow, or one place logs too much.",
        );
    }
    if keeps_entries && readings.sum("tidegate_filer_subscription_up", &[]) < 1.0 {
        problems.warning(
            "The filer's changes are not followed: every read asks the filer.".to_owned(),
            "See Filers; the log says why the subscription ended.",
        );
    }
    if readings.has("tidegate_config_last_reload_successful")
        && readings.sum("tidegate_config_last_reload_successful", &[]) < 1.0
    {
        problems.warning(
            "The last change of the configuration was refused; the one before is in force.".to_owned(),
            "Run tidegate check, which names key, file and fix.",
        );
    }
    of_certificates(status, now, &mut problems);
    problems.0.sort_by_key(|problem| problem.severity);
    Health { ready: ready.is_ok(), problems: problems.0 }
}

fn of_servers(status: &Status, problems: &mut Problems) {
    for filer in status.filers.iter().filter(|filer| !filer.up) {
        problems.warning(
            format!("Filer {} does not answer.", filer.address),
            "It is asked again each second, and used when it answers.",
        );
    }
    let aside: Vec<_> = status.volume_servers.listed.iter().filter(|server| server.state != "good").collect();
    match &aside[..] {
        [] => {}
        [one] => problems.warning(
            format!("Volume server {} is set aside.", one.address),
            "It failed five times in a row, or nothing comes from it. Chunks that it alone has cannot be read.",
        ),
        several => problems.warning(
            format!("{} volume servers are set aside.", several.len()),
            "See Volume servers. Chunks that no other server has cannot be read.",
        ),
    }
}

fn of_keys(status: &Status, problems: &mut Problems) {
    for kms in &status.kms {
        if !kms.up {
            problems.failing(
                format!("KMS {} gives no answer.", kms.name),
                "SSE-KMS objects whose key is not in memory answer 503. It is tried again every ten seconds at least.",
            );
        } else if let (Some(failure), Some(age)) = (&kms.last_failure, kms.last_failure_age)
            && age < KMS_FAILED
        {
            problems.warning(
                format!("KMS {} failed {} ago: {failure}.", kms.name, amounts::age(age)),
                "The log has its words at level warn.",
            );
        }
    }
}

fn of_clients(status: &Status, problems: &mut Problems) {
    let traffic = &status.traffic;
    if traffic.failed_lately > 0 {
        problems.failing(
            format!("{} of 5xx in the last five minutes.", counted(traffic.failed_lately, "answer", "answers")),
            "The log names each by its request id, and whose fault it was.",
        );
    }
    if traffic.cut_lately > 0 {
        problems.failing(
            format!("{} broke off in the last five minutes.", counted(traffic.cut_lately, "answer", "answers")),
            "No server had the bytes that came next; the log names the chunk.",
        );
    }
    if status.memory.waiting > 0 {
        problems.warning(
            format!("{} for memory.", counted(status.memory.waiting, "download waits", "downloads wait")),
            "See Memory for who has it; prefetch.memory says how much there is.",
        );
    }
    let files = amounts::percent(status.connections.open_files, status.connections.most_files);
    if let Some(percent) = files.filter(|percent| *percent >= MANY_FILES) {
        problems.warning(
            format!("{percent} % of the files that may be open are."),
            "Raise LimitNOFILE= of the unit, or find out who is connected.",
        );
    }
}

fn of_certificates(status: &Status, now: f64, problems: &mut Problems) {
    for certificate in &status.certificates {
        let days = (certificate.expires - now) / DAY;
        if days < 0.0 {
            problems.failing(
                format!("The certificate of {} has expired.", certificate.name),
                "Put a new one in its place, and reload.",
            );
        } else if days < EXPIRES_DAYS {
            problems.warning(
                format!("The certificate of {} expires in {}.", certificate.name, amounts::age(days * DAY)),
                "Put a new one in its place, and reload.",
            );
        }
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn failing(&mut self, what: String, advice: &str) {
        self.0.push(Problem { severity: Severity::Failing, what, advice: advice.to_owned() });
    }

    fn warning(&mut self, what: String, advice: &str) {
        self.0.push(Problem { severity: Severity::Warning, what, advice: advice.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntGauge, Registry};

    use super::*;
    use crate::status::state::{Certificate, Connections, Excerpt, Filer, Kms, Memory, VolumeServer};

    const NOW: f64 = 1.7e9;

    fn found(status: &Status, registry: &Registry) -> Vec<(Severity, String)> {
        let health = of(status, &Readings::of(registry), &Counters::default(), &Ok(()), false, NOW);
        health.problems.into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[tokio::test]
    async fn the_worst_is_said_first() {
        let kms = |name: &str, up, age| Kms {
            name: name.to_owned(),
            up,
            last_failure: Some("throttled".to_owned()),
            last_failure_age: Some(age),
            ..Kms::default()
        };
        let certificate = |days: f64| Certificate { name: "server".to_owned(), expires: NOW + days * DAY };
        let server = |state: &str| VolumeServer { state: state.to_owned(), ..VolumeServer::default() };
        let status = Status {
            filers: vec![Filer { address: "f:1".to_owned(), ..Filer::default() }],
            volume_servers: Excerpt { listed: vec![server("good"), server("aside"), server("probed")], more: 0 },
            kms: vec![kms("down", false, 1.0), kms("late", true, 60.0), kms("fine", true, 301.0)],
            memory: Memory { waiting: 1, ..Memory::default() },
            connections: Connections { open_files: 80, most_files: 100, ..Connections::default() },
            certificates: vec![certificate(13.5), certificate(14.5), certificate(-1.0)],
            ..Status::default()
        };
        let found = found(&status, &Registry::new());
        let texts: Vec<_> = found.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(
            texts,
            [
                "KMS down gives no answer.",
                "The certificate of server has expired.",
                "Filer f:1 does not answer.",
                "2 volume servers are set aside.",
                "KMS late failed 1 min 0 s ago: throttled.",
                "1 download waits for memory.",
                "80 % of the files that may be open are.",
                "The certificate of server expires in 13 d 12 h.",
            ]
        );
        assert!(found.is_sorted_by_key(|(severity, _)| *severity));
    }

    #[tokio::test]
    async fn a_refused_configuration_is_told_where_reloads_are_counted() {
        let registry = Registry::new();
        assert_eq!(found(&Status::default(), &registry), []);
        let reloaded = IntGauge::new("tidegate_config_last_reload_successful", "Whether.").unwrap();
        registry.register(Box::new(reloaded.clone())).unwrap();
        assert_eq!(found(&Status::default(), &registry).len(), 1);
        reloaded.set(1);
        assert_eq!(found(&Status::default(), &registry), []);
    }
}
