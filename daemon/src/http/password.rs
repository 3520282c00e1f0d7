//! Passwords are hashed by argon2id with its recommended parameters, on a thread for blocking work.

use super::problem::Problem;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

const BYTES_MIN: usize = 10;
const BYTES_MAX: usize = 1_024;

/// Compared with the password if the user does not exist, so that the answer takes as long.
/// No password has this hash.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$Fnmz2Yd2i3kD7gZRzJbxC3hYB8h2rJ8u1l8s7q2d3aQ";

pub(super) async fn hash(password: String) -> Result<String, Problem> {
    if !(BYTES_MIN..=BYTES_MAX).contains(&password.len()) {
        let detail = format!("a password must be {BYTES_MIN} to {BYTES_MAX} bytes long; nothing was changed");
        return Err(Problem::invalid(detail));
    }
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hashed
        .await
        .map_err(|_| Problem::internal("the password could not be hashed; nothing was changed"))?
        .map_err(|error| Problem::internal(format!("the password could not be hashed: {error}; nothing was changed")))
}

/// Whether `password` has this hash.
pub(super) async fn is_correct(password: String, hash: Option<String>) -> Result<bool, Problem> {
    let compared = tokio::task::spawn_blocking(move || {
        let has_hash = hash.is_some();
        let is_equal = PasswordHash::new(hash.as_deref().unwrap_or(DUMMY_HASH))
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        has_hash && is_equal
    });
    compared.await.map_err(|_| Problem::internal("the password could not be checked; no session was created"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_only_its_own_hash() {
        let hashed = hash("correct horse".to_owned()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hash("correct horse".to_owned()).await.unwrap(), hashed, "each hash has its own salt");
        for (password, hash, expected) in [
            ("correct horse", Some(hashed.clone()), true),
            ("wrong horse", Some(hashed), false),
            ("correct horse", None, false),
            ("", Some("rubbish".to_owned()), false),
        ] {
            assert_eq!(is_correct(password.to_owned(), hash).await, Ok(expected), "{password}");
        }
        assert!(PasswordHash::new(DUMMY_HASH).is_ok(), "a hash that does not parse would be compared faster");
    }

    #[tokio::test]
    async fn a_password_of_a_wrong_length_is_refused() {
        for bad in ["short", "", &"x".repeat(1_025)] {
            assert!(hash(bad.to_owned()).await.is_err(), "{}", bad.len());
        }
    }
}
