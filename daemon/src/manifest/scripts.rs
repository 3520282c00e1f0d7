use std::io;
use std::path::Path;
use tidegate_core::ScriptName;

/// The longest script. Equal to the daemon's default of `scripts.source_bytes_max`.
pub(super) const SCRIPT_BYTES_MAX: u64 = 1024 * 1024;

/// The scripts of an app directory in the order of their paths, and their problems.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) found: Vec<ScriptFile>,
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct ScriptFile {
    /// Relative to the app directory, such as `receipt.js` or `scripts/receipt.js`.
    pub(super) path: String,
    /// The name of the file without `.js`.
    pub(super) name: ScriptName,
    pub(super) source: String,
}

impl Scripts {
    pub(super) fn get(&self, path: &str) -> Option<&ScriptFile> {
        self.found.iter().find(|script| script.path == path)
    }

    pub(super) fn paths(&self) -> Vec<&str> {
        self.found.iter().map(|script| script.path.as_str()).collect()
    }
}

/// Reads each `*.js` file of `directory` and of `directory/scripts`.
pub(super) fn read(directory: &Path) -> Scripts {
    let mut scripts = Scripts::default();
    for folder in ["", "scripts/"] {
        match file_names(&directory.join(folder)) {
            Ok(names) => names.iter().for_each(|name| add(&mut scripts, directory, format!("{folder}{name}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => scripts.problems.push(format!("cannot list {}: {error}", directory.join(folder).display())),
        }
    }
    scripts
}

fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Editors write hidden files beside the file that they save.
        if name.ends_with(".js") && !name.starts_with('.') && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn add(scripts: &mut Scripts, directory: &Path, path: String) {
    let file = path.rsplit('/').next().unwrap_or(&path);
    let stem = file.strip_suffix(".js").unwrap_or(file);
    match (ScriptName::new(stem), source(&directory.join(&path))) {
        (Err(error), _) => scripts.problems.push(format!("{path}: {error}")),
        (_, Err(error)) => scripts.problems.push(format!("{path}: {error}")),
        (Ok(name), Ok(source)) => match scripts.found.iter().find(|other| other.name == name) {
            Some(other) => scripts.problems.push(format!("{path}: {} has the same name", other.path)),
            None => scripts.found.push(ScriptFile { path, name, source }),
        },
    }
}

fn source(path: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > SCRIPT_BYTES_MAX {
        return Err(format!("the script has {bytes} bytes; at most {SCRIPT_BYTES_MAX} are allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
