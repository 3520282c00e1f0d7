//! What the kernel knows of a process. Linux only, like everything under `/proc`.

use anyhow::Context as _;
use std::time::Duration;

/// What it occupies of the machine's memory, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
    Ok(kib.context("the kernel does not say how much memory a process has")? * 1_024.0)
}

/// What it has used of all cores so far, in the program and in the kernel.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let ticks = ticks(&read(pid, "stat")?).context("the kernel does not say how much time a process has used")?;
    Ok(Duration::from_millis(ticks * MILLIS_PER_TICK))
}

/// Linux tells processes of ticks of a hundredth of a second, on every machine.
const MILLIS_PER_TICK: u64 = 10;

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("/proc/{pid}/{file}"))
}

/// The 14th and the 15th field; the second is the program's name in brackets, and may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let me = std::process::id();
        assert!(resident(me).unwrap() > 1e6);
        assert!(cpu_time(me).is_ok());
    }
}
