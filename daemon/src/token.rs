//! Admin token files, and new tokens.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The state in which [`open_or_create`] found a token file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFile {
    /// The file existed, and only its owner could read it.
    Kept,
    /// The file existed and others could read it. Its mode is 0600 now.
    Closed,
    /// There was no file. A new one holds a new token.
    Created,
}

/// Shorter tokens can be guessed.
const TOKEN_BYTES_MIN: usize = 20;
const RANDOM_BYTES: usize = 32;

/// Returns the token in the file at `path`. Creates the file with a new token if there is none.
/// Afterwards only the owner can read the file.
pub(crate) fn open_or_create(path: &Path) -> io::Result<(String, TokenFile)> {
    match std::fs::metadata(path) {
        Ok(metadata) => {
            let open = metadata.permissions().mode() & 0o077 != 0;
            if open {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            }
            Ok((read(path)?, if open { TokenFile::Closed } else { TokenFile::Kept }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(error),
    }
}

/// Reads the token in the file at `path`.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    validate(text.trim()).map_err(|rule| io::Error::new(io::ErrorKind::InvalidData, rule))
}

/// Returns `token` if it is well-formed. The error is a predicate: the caller puts the name of the
/// file or variable before it.
pub(crate) fn validate(token: &str) -> Result<String, String> {
    if token.len() >= TOKEN_BYTES_MIN && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token.to_owned())
    } else {
        Err(format!("holds no token: a token is at least {TOKEN_BYTES_MIN} letters, digits and signs without spaces"))
    }
}

fn create(path: &Path) -> io::Result<(String, TokenFile)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let token = new_token()?;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => writeln!(file, "{token}").map(|()| (token, TokenFile::Created)),
        // Another process created the file first. Its token is the token.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((read(path)?, TokenFile::Kept)),
        Err(error) => Err(error),
    }
}

/// Makes a token: `tg_` and 256 random bits in hex.
pub(crate) fn new_token() -> io::Result<String> {
    let mut random = [0_u8; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("tg_{}", hex::encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_created_kept_and_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/token");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let (token, found) = open_or_create(&path).unwrap();
        assert_eq!((found, mode(), token.len()), (TokenFile::Created, 0o600, 67));
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(open_or_create(&path).unwrap(), (token.clone(), TokenFile::Kept));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(open_or_create(&path).unwrap(), (token.clone(), TokenFile::Closed));
        assert_eq!(mode(), 0o600);
        assert_ne!(new_token().unwrap(), token);
    }

    #[test]
    fn a_text_that_is_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for text in ["", "short", "twenty letters and a space"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(open_or_create(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
    }
}
