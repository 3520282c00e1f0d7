//! All files of the repository that hold prose.

use super::passage::Passage;
use super::passages::passages;
use crate::workspace::root;
use std::io;
use std::process::Command;

/// A file with its prose.
#[derive(Debug)]
pub(crate) struct ProseFile {
    /// From the workspace's folder, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) passages: Vec<Passage>,
}

/// The benchmark writes this page; its generator is checked in its place.
const GENERATED: &[&str] = &["bench/RESULTS.md"];

/// Reads all files that git knows or does not ignore.
pub(crate) fn read() -> io::Result<Vec<ProseFile>> {
    let mut command = Command::new("git");
    command.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&output.stdout).lines().filter(|path| !GENERATED.contains(path)) {
        let full = root().join(path);
        // A deleted file stays in git's list until it is committed.
        if has_prose(path) && full.exists() {
            let text = std::fs::read_to_string(full)?;
            files.push(ProseFile { path: path.to_owned(), passages: passages(path, &text), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn has_prose(path: &str) -> bool {
    let extensions = [".rs", ".md", ".sql", ".js", ".mjs", ".toml", ".sh", ".py", ".yml", ".yaml"];
    extensions.iter().any(|extension| path.ends_with(extension))
}

impl ProseFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), passages: passages(path, text), text: text.to_owned() }
    }

    /// The crate or folder, by which the figures are grouped.
    pub(crate) fn group(&self) -> &str {
        self.path.split_once('/').map_or("(root)", |(folder, _)| folder)
    }
}
