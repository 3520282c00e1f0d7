use super::super::client::{Call, segment};
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use crate::manifest::{self, App};
use serde::Deserialize;
use std::path::Path;
use ureq::http::Method;

/// The changes of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    pub(crate) scripts: Vec<Change>,
    pub(crate) triggers: Vec<Change>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) change: String,
}

/// `tidegate deploy DIRECTORY`. The app is the app of the manifest, unless `--app` names another.
pub(in super::super) fn run(
    context: &Context,
    directory: &Path,
    app: Option<String>,
    dead_letter_waiting: bool,
) -> Result<(), CliError> {
    let mut read = manifest::load(directory).map_err(CliError::failed)?;
    if let Some(app) = app {
        read.name = tidegate_core::AppName::new(app).map_err(CliError::usage)?;
    }
    let scripts = text::count(read.deployment.scripts.len() as u64, "script");
    let triggers = text::count(read.deployment.triggers.len() as u64, "trigger");
    output::note(&format!(
        "deploying {scripts} and {triggers} as {} to {}",
        read.name,
        context.target.client.shown_base()
    ));
    let call = call(&read)?.query("dead_letter_waiting", dead_letter_waiting.then_some(true));
    let answer = context.target.client.call(call)?;
    context.show(&answer.body, render)
}

/// The call that replaces an app's scripts and triggers by those of its directory.
pub(crate) fn call(app: &App) -> Result<Call, CliError> {
    let body = serde_json::to_string(&app.deployment).map_err(CliError::failed)?;
    Ok(Call::new(Method::PUT, format!("/v1/apps/{}", segment(app.name.as_str()))).json(body))
}

fn render(report: &Report) -> String {
    let rows = |kind: &'static str, changes: &[Change]| -> Vec<Vec<String>> {
        changes.iter().map(|one| vec![kind.to_owned(), one.name.clone(), one.change.clone()]).collect()
    };
    let mut all = rows("script", &report.scripts);
    all.extend(rows("trigger", &report.triggers));
    if all.is_empty() {
        "the app has no scripts and no triggers\n".to_owned()
    } else {
        text::table(&["KIND", "NAME", "CHANGE"], &all)
    }
}

impl Report {
    /// The scripts and triggers that changed, in one line. `None` if none changed.
    pub(crate) fn summary(&self) -> Option<String> {
        let kinds = [("script", &self.scripts), ("trigger", &self.triggers)];
        let changed: Vec<String> = kinds
            .iter()
            .flat_map(|(kind, list)| list.iter().map(move |one| (kind, one)))
            .filter(|(_, one)| one.change != "unchanged")
            .map(|(kind, one)| format!("{kind} {} {}", one.name, one.change))
            .collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_lists_the_changes() {
        let change = |name: &str, change: &str| Change { name: name.to_owned(), change: change.to_owned() };
        let report = Report {
            scripts: vec![change("a", "created"), change("b", "unchanged")],
            triggers: vec![change("long-name", "deleted")],
        };
        assert_eq!(
            render(&report),
            "KIND     NAME       CHANGE\nscript   a          created\nscript   b          unchanged\ntrigger  long-name  deleted\n"
        );
        assert_eq!(report.summary().unwrap(), "script a created, trigger long-name deleted");
        assert_eq!(Report { scripts: vec![change("b", "unchanged")], triggers: vec![] }.summary(), None);
    }
}
