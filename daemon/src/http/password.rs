//! Passwords: hashed by argon2id with its recommended parameters, away from the async threads.

use super::problem::Problem;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

const BYTES_MIN: usize = 10;
const BYTES_MAX: usize = 1_024;

/// Of a password that nobody has: what is compared when there is no user, so that an answer takes as long.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$Fnmz2Yd2i3kD7gZRzJbxC3hYB8h2rJ8u1l8s7q2d3aQ";

/// The hash that is kept of a password.
pub(super) async fn hash(password: String) -> Result<String, Problem> {
    if !(BYTES_MIN..=BYTES_MAX).contains(&password.len()) {
        let detail = format!("a password is {BYTES_MIN} to {BYTES_MAX} bytes long; nothing was changed");
        return Err(Problem::invalid(detail));
    }
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hashed
        .await
        .map_err(|_| Problem::internal("the password could not be hashed"))?
        .map_err(|error| Problem::internal(format!("the password could not be hashed: {error}")))
}

/// Whether `password` is the one with this hash.
pub(super) async fn is(password: String, hash: Option<String>) -> Result<bool, Problem> {
    let compared = tokio::task::spawn_blocking(move || {
        let there_is_one = hash.is_some();
        let is_right = PasswordHash::new(hash.as_deref().unwrap_or(NOBODYS))
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        there_is_one && is_right
    });
    compared.await.map_err(|_| Problem::internal("the password could not be compared"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let hashed = hash("correct horse".to_owned()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hash("correct horse".to_owned()).await.unwrap(), hashed, "each has a salt of its own");
        for (password, hash, is_right) in [
            ("correct horse", Some(hashed.clone()), true),
            ("wrong horse", Some(hashed), false),
            ("correct horse", None, false),
            ("", Some("rubbish".to_owned()), false),
        ] {
            assert_eq!(is(password.to_owned(), hash).await, Ok(is_right), "{password}");
        }
        assert!(PasswordHash::new(NOBODYS).is_ok(), "comparing with nobody's takes as long");
    }

    #[tokio::test]
    async fn a_short_password_is_refused() {
        for bad in ["short", "", &"x".repeat(1_025)] {
            assert!(hash(bad.to_owned()).await.is_err(), "{}", bad.len());
        }
    }
}
