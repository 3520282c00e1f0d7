//! An app directory: its `tidegate.toml` and its scripts, read into a [`Deployment`].
//!
//! All problems of a directory are collected and shown together, each with its line. The server
//! makes the checks that need the script engine or the store: that a script compiles, that a native
//! handler exists.

mod fields;
mod problems;
mod scripts;
mod trigger;

use crate::config::{Positions, parse_toml};
use crate::trigger_rules;
use fields::Fields;
use problems::Problems;
use std::io;
use std::path::{Path, PathBuf};
use tidegate_core::{AppName, TriggerName, TriggerSpec};
use tidegate_ports::{Deployment, DeploymentScript, TriggerRename};
use toml::de::{DeTable, DeValue};

/// The name of the file that makes a directory an app directory.
pub(crate) const FILE_NAME: &str = "tidegate.toml";

/// The longest `tidegate.toml`.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The content of an app directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App {
    pub(crate) name: AppName,
    pub(crate) deployment: Deployment,
}

/// The reason why a directory cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    #[error("there is no {}; an app directory has one, for example:\n\n{SAMPLE}", .0.display())]
    Missing(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Each problem is a place and a message.
    #[error("{} is not valid:\n{}", path.display(), problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Invalid { path: PathBuf, problems: Vec<String> },
}

/// The example in the message about a missing `tidegate.toml`.
const SAMPLE: &str = r#"    [app]
    name = "orders"

    [[trigger]]
    name = "receipt"
    source = "kv"              # or "app" for your own events
    ops = ["set"]
    collection = "orders"
    script = "receipt.js"      # export default async function (event, ctx) { … }

    [trigger.retry]
    max_attempts = 3"#;

pub(crate) fn load(directory: &Path) -> Result<App, ManifestError> {
    if !directory.is_dir() {
        return Err(ManifestError::NotADirectory(directory.to_owned()));
    }
    let path = directory.join(FILE_NAME);
    let text = read(&path)?;
    let scripts = scripts::read(directory);
    match parse(&text, scripts) {
        Ok(app) => Ok(app),
        Err(problems) => Err(ManifestError::Invalid { path, problems }),
    }
}

/// The name of the app in `directory`. `None` if the name cannot be read, for any reason.
pub(crate) fn app_name(directory: &Path) -> Option<AppName> {
    let text = read(&directory.join(FILE_NAME)).ok()?;
    let document = parse_toml(&text).ok()?;
    let name = document.get("app")?.get_ref().get("name")?.get_ref().as_str()?.to_owned();
    AppName::new(name).ok()
}

fn read(path: &Path) -> Result<String, ManifestError> {
    let unreadable = |source| ManifestError::Unreadable { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ManifestError::Missing(path.to_owned())),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.len() > MANIFEST_BYTES_MAX => {
            return Err(unreadable(io::Error::other(format!("it is longer than {MANIFEST_BYTES_MAX} bytes"))));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn parse(text: &str, scripts: scripts::Scripts) -> Result<App, Vec<String>> {
    let problems = Problems::new(Positions::of(text));
    for problem in &scripts.problems {
        problems.add(problem.clone());
    }
    let document = parse_toml(text).map_err(|(line, message)| vec![format!("line {line}: {message}")])?;
    let root = Fields::root(&document, &problems);
    root.refuse_unknown(&["app", "trigger"]);
    let name = app(&root, &problems);
    let (triggers, renames) = triggers(&document, &problems, &scripts);
    let found = problems.into_sorted();
    match name {
        Some(name) if found.is_empty() => {
            let sources = scripts.found.into_iter();
            let scripts = sources.map(|script| DeploymentScript { name: script.name, source: script.source }).collect();
            Ok(App { name, deployment: Deployment { scripts, triggers, renames } })
        }
        _ => Err(found),
    }
}

/// The problems of a manifest without scripts.
pub(crate) fn check(text: &str) -> Result<(), Vec<String>> {
    parse(text, scripts::Scripts::default()).map(drop)
}

fn app(root: &Fields<'_>, problems: &Problems<'_>) -> Option<AppName> {
    let Some(app) = root.table("app", "[app]") else {
        if !root.has("app") {
            problems.at_line(1, "there is no section [app]; write [app] and name = \"NAME\"");
        }
        return None;
    };
    app.refuse_unknown(&["name"]);
    app.parse_required("name", AppName::new)
}

fn triggers(
    document: &DeTable<'_>,
    problems: &Problems<'_>,
    scripts: &scripts::Scripts,
) -> (Vec<TriggerSpec>, Vec<TriggerRename>) {
    let Some(value) = document.get("trigger") else { return Default::default() };
    let DeValue::Array(entries) = value.get_ref() else {
        problems.at(&value.span(), "triggers are written as [[trigger]], with two brackets");
        return Default::default();
    };
    let mut specs: Vec<(Fields<'_>, TriggerSpec)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let DeValue::Table(table) = entry.get_ref() else {
            problems.at(&entry.span(), "triggers are written as [[trigger]], with two brackets");
            continue;
        };
        let fields = trigger::fields(table, entry.span(), index, problems);
        let Some(spec) = trigger::read(&fields, scripts) else { continue };
        if specs.iter().any(|(_, other)| other.name == spec.name) {
            fields.report("name", "another trigger has this name");
        }
        specs.push((fields, spec));
    }
    // A trigger that could not be read may be the one that another trigger names.
    if specs.len() == entries.len() {
        let all: Vec<&TriggerSpec> = specs.iter().map(|(_, spec)| spec).collect();
        for (index, broken) in trigger_rules::check_together(&all) {
            specs[index].0.report(broken.field, &broken.message);
        }
    }
    let renames = renames(&specs);
    (specs.into_iter().map(|(_, spec)| spec).collect(), renames)
}

/// The `renamed_from` of the triggers. A manifest may keep the key after the rename.
fn renames(specs: &[(Fields<'_>, TriggerSpec)]) -> Vec<TriggerRename> {
    let mut renames: Vec<TriggerRename> = Vec::new();
    for (fields, spec) in specs {
        let Some(from) = fields.parse("renamed_from", TriggerName::new) else { continue };
        if specs.iter().any(|(_, other)| other.name == from) {
            fields.report("renamed_from", &format!("a trigger {:?} is in the manifest", from.as_str()));
        } else if renames.iter().any(|other| other.from == from) {
            fields.report("renamed_from", "another trigger has the same renamed_from");
        }
        renames.push(TriggerRename { from, to: spec.name.clone() });
    }
    renames
}

#[cfg(test)]
mod tests;
