//! The places where daemons of this machine keep their data, and the URL of a daemon.

use super::error::CliError;
use crate::config::Settings;
use crate::server::StoreUrl;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The store of `serve` if no setting names one.
const DEFAULT_STORE: &str = "sqlite:.tidegate/tidegate.db";

/// The folder in the app directory where `dev` keeps its data.
pub(super) fn dev_folder(directory: &Path) -> PathBuf {
    directory.join(".tidegate")
}

/// The SQLite file of `dev`, if no setting names a store.
pub(super) fn dev_store_path(directory: &Path) -> PathBuf {
    dev_folder(directory).join("tidegate.db")
}

/// The file with the admin token of `dev`.
pub(super) fn dev_token_path(directory: &Path) -> PathBuf {
    dev_folder(directory).join("token")
}

/// The store that the settings name, or the default store of `serve`.
pub(super) fn store_url(settings: &Settings) -> Result<StoreUrl, CliError> {
    named_store_url(settings).unwrap_or_else(|| DEFAULT_STORE.parse().map_err(CliError::usage))
}

/// The store that the settings name, if they name one.
///
/// The folder of an SQLite file must exist. A folder that is missing is a typing error or a volume
/// that is not mounted, and a new store in its place would be empty.
pub(super) fn named_store_url(settings: &Settings) -> Option<Result<StoreUrl, CliError>> {
    let url: StoreUrl = match settings.store.url.as_deref()?.parse().map_err(CliError::usage) {
        Ok(url) => url,
        Err(error) => return Some(Err(error)),
    };
    let folder = match &url {
        StoreUrl::Sqlite(path) => path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()),
        StoreUrl::Postgres(_) => None,
    };
    Some(match folder {
        None => Ok(url),
        Some(folder) => {
            let folder = folder.display();
            let message = format!("the folder {folder} of the store does not exist; nothing was created");
            Err(CliError::usage(message).hint(format!("if the path is right, create it with `mkdir -p {folder}`")))
        }
    })
}

/// The file with the admin token: the file that the settings name, or `token` beside an SQLite
/// file. A store on Postgres has no default, because its daemons may run on several machines.
pub(super) fn token_path(settings: &Settings, store: &StoreUrl) -> Option<PathBuf> {
    settings.auth.admin_token_file.clone().or_else(|| match store {
        StoreUrl::Sqlite(path) => Some(path.with_file_name("token")),
        StoreUrl::Postgres(_) => None,
    })
}

/// The URL at which programs on this machine reach a daemon that listens on `address`.
pub(super) fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_reached_by_loopback() {
        for (address, url) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("10.0.0.1:1", "http://10.0.0.1:1"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), url);
        }
    }
}
