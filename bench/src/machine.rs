//! The machine and the versions of a run. A figure has a meaning only together with them.

use crate::harness::Folder;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// The machine of a run, and the versions of the programs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The model name of the processor.
    pub cpu: String,
    /// The number of cores that this process may use.
    pub cores: usize,
    pub memory_mib: u64,
    /// The name and version of the kernel.
    pub kernel: String,
    /// The file system and device of the databases.
    pub disk: String,
    pub rustc: String,
    /// The version of the server. Empty if no scenario started one.
    pub postgres: String,
    pub sqlite: String,
    /// The load average of one minute, at the start and at the end of the run.
    pub load: (String, String),
}

impl Machine {
    /// Reads everything that is known before the first measurement.
    pub fn inspect(folder: &Folder) -> Self {
        let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let disk = &folder.disk;
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_kib / 1_024,
            kernel: output_of("uname", &["-sr"]),
            disk: format!("{} on {}{}", disk.file_system, disk.device, kind_of(&disk.device)),
            rustc: output_of("rustc", &["--version"]),
            postgres: String::new(),
            sqlite: rusqlite::version().to_owned(),
            load: (load(), String::new()),
        }
    }

    /// True if other programs kept most cores busy when the run began. The load at the end comes
    /// from the run itself.
    #[must_use]
    pub fn was_busy(&self) -> bool {
        self.load.0.parse::<f64>().is_ok_and(|load| load > self.cores as f64 / 2.0)
    }

    /// Adds the facts that are known at the end of a run.
    #[must_use]
    pub fn finish(self, postgres: Option<String>) -> Self {
        Self { postgres: postgres.unwrap_or_default(), load: (self.load.0, load()), ..self }
    }
}

/// A remark on the kind of a block device, if the kernel reports one.
fn kind_of(device: &str) -> &'static str {
    let name = device.rsplit('/').next().unwrap_or_default();
    match read(&format!("/sys/class/block/{name}/queue/rotational")).trim() {
        "0" => " (no rotating disk)",
        "1" => " (a rotating disk, as the kernel reports)",
        _ => "",
    }
}

fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_field_follows_its_colon() {
        let text = "processor\t: 0\nmodel name\t: A B @ 2.8GHz\nMemTotal:  17 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A B @ 2.8GHz"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("17 kB"));
        assert_eq!(field(text, "none"), None);
    }
}
