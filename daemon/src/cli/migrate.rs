use super::args::MigrateArgs;
use super::error::CliError;
use super::output::{note, print, print_json, print_line};
use super::places::store_url;
use super::settings::settings;
use super::stores;
use crate::config::Environment;
use crate::server::StoreUrl;

/// `tidegate migrate`. A daemon migrates its store at its start. With this command an operator can
/// migrate before the new version starts, or as another role than that of the daemons.
pub(super) fn run(args: &MigrateArgs, json: bool, environment: &Environment) -> Result<(), CliError> {
    let settings = settings(&args.store, environment, |layers| layers)?;
    let options = settings.store.postgres();
    let store = match store_url(&settings)? {
        StoreUrl::Sqlite(path) => StoreUrl::Sqlite(std::path::absolute(&path).unwrap_or(path)),
        other @ StoreUrl::Postgres(_) => other,
    };
    let name = store.without_password();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
    if args.print {
        let StoreUrl::Postgres(url) = &store else {
            return Err(CliError::usage("--print needs a store on Postgres: the SQLite file belongs to its daemon"));
        };
        let sql =
            runtime.block_on(stores::migration_sql(url, &options)).map_err(|error| CliError::failed(error.report()))?;
        return print(&sql).map_err(CliError::failed);
    }
    note(&format!("migrating the schema of {name}"));
    if settings.store.url.is_none() {
        note("no setting names a store, so this is the default store here; --database-url names another one");
    }
    runtime.block_on(stores::migrate(&store, &options)).map_err(|error| CliError::failed(error.report()))?;
    let printed = if json {
        print_json(&serde_json::json!({ "store": name, "schema": "current" }).to_string())
    } else {
        print_line(&format!("the schema of {name} is up to date"))
    };
    printed.map_err(CliError::failed)
}
