//! CPU time and memory of processes, from /proc.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// What USER_HZ is on every Linux that Locum runs on.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a process with all its threads has used so far. The kernel counts it in steps of 10 ms.
pub fn used(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    // The name may hold blanks; behind it, user and system time are the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<u64>().ok()).context("no CPU time in stat");
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / TICKS_PER_SECOND))
}

/// The most memory that was resident in a process so far, in megabytes.
pub fn resident_peak_mb(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    peak_kb(&status).map(|kb| kb as f64 / 1_024.0).with_context(|| format!("process {pid}: no VmHWM in its status"))
}

fn peak_kb(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// The process of a part of dev/stack.
pub fn part(stack_dir: &str, part: &str) -> anyhow::Result<u32> {
    let file = Path::new(stack_dir).join(part).join("pid");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    text.split_whitespace().next().and_then(|pid| pid.parse().ok()).context("no pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_its_own_line() {
        assert_eq!(peak_kb("VmPeak:\t  900 kB\nVmHWM:\t  123456 kB\nVmRSS:\t 7 kB\n"), Some(123_456));
        assert_eq!(peak_kb("VmPeak:\t  900 kB\n"), None);
    }

    #[test]
    fn work_shows() {
        let before = used(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while used(std::process::id()).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
    }
}
