//! The process as the kernel sees it, under the names that every Prometheus client uses. Linux; elsewhere mostly absent.

use std::fs;

use super::page::Page;
use crate::domain::clock::Timestamp;

/// Clock ticks of a second in /proc, which the kernel's interface fixes on all common machines.
const TICKS: f64 = 100.0;

pub(super) fn add(page: &mut Page, started_at: Timestamp) {
    page.gauge("process_start_time_seconds", "When the service started, in seconds since 1970.")
        .set(&[], started_at.micros() as f64 / 1e6);
    page.counter("process_cpu_seconds_total", "CPU time taken, by the service and by the kernel for it.")
        .known(&[], fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    page.gauge("process_resident_memory_bytes", "Memory that is resident.").known(&[], kib(&status, "VmRSS:"));
    page.gauge("process_virtual_memory_bytes", "Address space that is taken.").known(&[], kib(&status, "VmSize:"));
    page.gauge("process_threads", "Threads.").known(&[], field(&status, "Threads:"));
    page.gauge("process_open_fds", "Files and sockets that are open.").known(&[], open_files());
    let limit = rlimit::Resource::NOFILE.get_soft().ok();
    page.gauge("process_max_fds", "Files and sockets that may be open.").known(&[], limit.map(|limit| limit as f64));
}

/// User and system time in the text of /proc/self/stat.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // the name in front of it may hold anything
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut times = behind_name.split_ascii_whitespace().skip(11).map(|ticks| ticks.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kib(status: &str, name: &str) -> Option<f64> {
    field(status, name).map(|kib| kib * 1024.0)
}

fn open_files() -> Option<f64> {
    const FOLDER: &str = "/proc/self/fd";
    // newer kernels give the number as the folder's size; with thousands of sockets counting takes a while
    let count = fs::metadata(FOLDER).ok()?.len();
    if count > 0 {
        return Some(count as f64);
    }
    // one is the folder itself
    Some(fs::read_dir(FOLDER).ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read_right() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S"), None);
        assert_eq!(kib("Name:\tVmRSS:\nVmRSS:\t    12 kB\n", "VmRSS:"), Some(12_288.0));
        assert_eq!(kib("", "VmRSS:"), None);
    }
}
