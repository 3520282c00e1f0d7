use crate::secrets::shown_url;
use std::path::PathBuf;
use std::str::FromStr;

/// The URL of a store: `sqlite:PATH` or `postgres://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The path of the SQLite file.
    Sqlite(PathBuf),
    /// The whole URL, which may contain a password.
    Postgres(String),
}

/// A text that is not the URL of a store. The text may contain a password, so it is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's URL is not valid: write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE")]
pub struct InvalidStoreUrl;

impl StoreUrl {
    /// The URL without user, password and other secrets, for messages.
    #[must_use]
    pub fn without_password(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => shown_url(url),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.is_empty() {
                return Ok(Self::Sqlite(PathBuf::from(path)));
            }
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err(InvalidStoreUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_errors_hide_passwords() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        assert_eq!("sqlite:a/b.db".parse(), sqlite("a/b.db"));
        assert_eq!("sqlite:///a/b.db".parse(), sqlite("/a/b.db"));
        let url = "postgres://u:secret@h/d";
        assert_eq!(url.parse(), Ok(StoreUrl::Postgres(url.to_owned())));
        for bad in ["", "sqlite:", "mysql://u:secret@h", "/a/b.db", "postgres:password=secret", "password=secret"] {
            let error = bad.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://u:p@ss@h/d", "postgres://…@h/d"),
            ("postgres://h/d", "postgres://h/d"),
        ] {
            assert_eq!(url.parse::<StoreUrl>().unwrap().without_password(), shown);
        }
    }
}
