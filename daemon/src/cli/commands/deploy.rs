use super::super::client::{Call, segment};
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use crate::manifest::{self, App};
use serde::Deserialize;
use std::path::Path;
use ureq::http::Method;

/// What a deployment changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    pub(crate) scripts: Vec<Changed>,
    pub(crate) triggers: Vec<Changed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Changed {
    pub(crate) name: String,
    pub(crate) change: String,
}

/// `tidegate deploy DIRECTORY`. The app is the manifest's unless `--app` names another.
pub(in super::super) fn run(context: &Context, directory: &Path, app: Option<String>) -> Result<(), CliError> {
    let mut read = manifest::load(directory).map_err(CliError::failed)?;
    if let Some(app) = app {
        read.name = tidegate_core::AppName::new(app).map_err(CliError::usage)?;
    }
    let scripts = text::count(read.deployment.scripts.len() as u64, "script");
    let triggers = text::count(read.deployment.triggers.len() as u64, "trigger");
    output::note(&format!("deploying {scripts} and {triggers} as {} to {}", read.name, context.target.client.base()));
    let answer = context.target.client.call(call(&read)?)?;
    context.show(&answer.body, render)
}

/// The call that makes an app exactly what its directory says.
pub(crate) fn call(app: &App) -> Result<Call, CliError> {
    let body = serde_json::to_string(&app.deployment).map_err(CliError::failed)?;
    Ok(Call::new(Method::PUT, format!("/v1/apps/{}", segment(app.name.as_str()))).json(body))
}

/// Script by script and trigger by trigger.
fn render(report: &Report) -> String {
    let rows = |kind: &'static str, changed: &[Changed]| -> Vec<Vec<String>> {
        changed.iter().map(|one| vec![kind.to_owned(), one.name.clone(), one.change.clone()]).collect()
    };
    let mut all = rows("script", &report.scripts);
    all.extend(rows("trigger", &report.triggers));
    if all.is_empty() { "the app is empty\n".to_owned() } else { text::table(&["KIND", "NAME", "CHANGE"], &all) }
}

impl Report {
    /// What is not as it was, in one line; `None` if all is.
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
    fn what_changed_is_shown() {
        let changed = |name: &str, change: &str| Changed { name: name.to_owned(), change: change.to_owned() };
        let report = Report {
            scripts: vec![changed("a", "created"), changed("b", "unchanged")],
            triggers: vec![changed("long-name", "deleted")],
        };
        assert_eq!(
            render(&report),
            "KIND     NAME       CHANGE\nscript   a          created\nscript   b          unchanged\ntrigger  long-name  deleted\n"
        );
        assert_eq!(report.summary().unwrap(), "script a created, trigger long-name deleted");
        assert_eq!(Report { scripts: vec![changed("b", "unchanged")], triggers: vec![] }.summary(), None);
    }
}
