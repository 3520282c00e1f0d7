use super::args::StoreArgs;
use super::error::CliError;
use super::output::{note, print_json, print_line};
use super::places::store_url;
use super::settings::settings;
use super::stores;
use crate::config::Environment;

/// `tidegate migrate`. A daemon migrates its store at its start. With this command an operator can
/// migrate before the new version starts.
pub(super) fn run(args: &StoreArgs, json: bool, environment: &Environment) -> Result<(), CliError> {
    let store = store_url(&settings(args, environment, |layers| layers)?)?;
    let name = store.without_password();
    note(&format!("migrating the schema of {name}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
    runtime.block_on(stores::migrate(&store)).map_err(CliError::failed)?;
    let printed = if json {
        print_json(&serde_json::json!({ "store": name, "schema": "current" }).to_string())
    } else {
        print_line(&format!("the schema of {name} is up to date"))
    };
    printed.map_err(CliError::failed)
}
