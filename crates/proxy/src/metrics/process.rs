//! The process itself, by the names that every Prometheus client library gives it.
//!
//! Read from `/proc` when scraped. Where there is no `/proc`, the values stay 0, but for the start.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{
    Counter, Gauge, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

pub(super) fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(Process::new()?))
}

struct Process {
    resident: Gauge,
    open_files: Gauge,
    max_files: Gauge,
    cpu: Counter,
    start: Gauge,
}

/// `USER_HZ`: fixed on every Linux that tidegate runs on, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| Gauge::with_opts(Opts::new(name, help));
        let process = Self {
            resident: gauge("process_resident_memory_bytes", "Resident memory, bytes.")?,
            open_files: gauge("process_open_fds", "Open file descriptors.")?,
            max_files: gauge("process_max_fds", "Most file descriptors that may be open.")?,
            cpu: Counter::with_opts(Opts::new("process_cpu_seconds_total", "CPU time of user and system, seconds."))?,
            start: gauge("process_start_time_seconds", "When the process started, seconds since 1970.")?,
        };
        process.start.set(started(fs::read_to_string("/proc/stat").ok().as_deref()));
        Ok(process)
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.resident, &self.open_files, &self.max_files, &self.cpu, &self.start]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident() {
            self.resident.set(bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.open_files.set(files.count() as f64);
        }
        if let Some(most) = max_files() {
            self.max_files.set(most);
        }
        if let Some(seconds) = cpu() {
            // Two scrapes at once may both see the same rest; a counter never goes back.
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: f64 = field_after(&status, "VmRSS:")?;
    Some(kilobytes * 1024.0)
}

fn max_files() -> Option<f64> {
    field_after(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")
}

/// The first word after `name`, at the start of some line.
fn field_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn cpu() -> Option<f64> {
    // utime and stime, fields 14 and 15 of proc_pid_stat(5).
    Some((stat_field(14)? + stat_field(15)?) / TICKS_PER_SECOND)
}

/// When the process started, seconds since 1970, by the system's `/proc/stat`. A unit with `ProcSubset=pid` does not show
/// that file: then it is now, which is soon after.
fn started(system: Option<&str>) -> f64 {
    // starttime, field 22, in ticks since the system was booted.
    let since_boot = || Some(field_after(system?, "btime")? + stat_field(22)? / TICKS_PER_SECOND);
    since_boot().unwrap_or_else(now)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn stat_field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Field 2, the command, is in parentheses and may hold spaces: count from behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_seen() {
        assert!(resident().unwrap() > 100_000.0);
        assert!(max_files().unwrap() >= 1.0);
        assert!(cpu().unwrap() >= 0.0);
    }

    #[test]
    fn the_start_is_known_without_the_systems_own_file_too() {
        // Booted a second after the epoch: what the process's own ticks add is shown to be added.
        assert_eq!(started(Some("cpu 1\nbtime 1\n")), 1.0 + stat_field(22).unwrap() / TICKS_PER_SECOND);
        for hidden in [None, Some(""), Some("cpu 1\n")] {
            let before = now();
            let started = started(hidden);
            assert!((before..=now()).contains(&started) && started > 1.0e9, "{started}");
        }
        let registered = Process::new().unwrap().start.get();
        assert!(registered > 1.0e9 && registered <= now() + 1.0, "{registered}");
    }
}
