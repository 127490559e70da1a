//! Where a run took place: figures mean little without it.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

/// What is told of the machine.
#[derive(Debug)]
pub struct Machine {
    cpus: usize,
    model: String,
    kernel: String,
    /// Median of writing 4 KiB and waiting for the disk, in the folder where journals go.
    fsync_ms: f64,
    /// How busy it was with other things before the run, in runnable threads.
    load_before: String,
}

impl Machine {
    pub fn look() -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        Ok(Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.trim_matches([' ', '\t', ':']).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            fsync_ms: fsync_ms()?,
            load_before: load(),
        })
    }

    pub fn to_json(&self) -> Value {
        let Self { cpus, model, kernel, fsync_ms, load_before } = self;
        json!({
            "cpus": cpus, "model": model, "kernel": kernel, "fsync_ms": fsync_ms, "load_before": load_before, "load_after": load(),
        })
    }

    pub fn to_line(&self) -> String {
        let Self { cpus, model, kernel, fsync_ms, load_before } = self;
        format!(
            "{cpus} CPUs ({model}), Linux {kernel}, fsync of 4 KiB {fsync_ms:.1} ms, load average before {load_before}, after {}",
            load()
        )
    }
}

/// The load average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn fsync_ms() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("probe"))?;
    let mut times = Vec::new();
    for _ in 0..41 {
        file.write_all(&[7; 4096])?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(f64::NAN))
}
