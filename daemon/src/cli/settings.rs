use super::args::StoreArgs;
use super::error::CliError;
use crate::config::{Environment, Layers, Settings};
use std::path::PathBuf;

/// The settings of a command that names a store. The layers in rising order: defaults, file,
/// environment, flags. `add_flags` adds the flags of the command itself.
pub(super) fn settings(
    args: &StoreArgs,
    environment: &Environment,
    add_flags: impl FnOnce(Layers) -> Layers,
) -> Result<Settings, CliError> {
    let mut layers = Layers::default();
    let file = args.config.clone().or_else(|| environment.get("TIDEGATE_CONFIG").map(PathBuf::from));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| CliError::usage(format!("cannot read the configuration {}: {error}", path.display())))?;
        layers = layers.file(&path, &text);
    }
    let layers = layers.environment(environment).flag("--database-url", "store.url", args.database_url.as_deref());
    add_flags(layers.assignments(&args.set)).finish().map_err(CliError::usage)
}
