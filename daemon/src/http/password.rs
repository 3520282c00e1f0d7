//! Passwords are hashed by argon2id with its recommended parameters, a few at a time.
//!
//! A hash occupies a core for tens of milliseconds and 19 MiB of memory. So half of the cores hash
//! at most, and a login that finds the queue full is refused.

use super::problem::Problem;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

const BYTES_MIN: usize = 10;
const BYTES_MAX: usize = 1_024;
/// The logins that wait for a thread, for each thread that hashes. The last one waits for about a
/// second.
const QUEUE_PER_THREAD_MAX: usize = 16;

/// Compared with the password if the user does not exist, so that the answer takes as long.
/// No password has this hash.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$Fnmz2Yd2i3kD7gZRzJbxC3hYB8h2rJ8u1l8s7q2d3aQ";

/// The threads that hash passwords. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Passwords {
    threads: Arc<Semaphore>,
    /// The places of logins that wait for a thread or have one.
    places: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).max(1);
        let places = threads * (1 + QUEUE_PER_THREAD_MAX);
        Self { threads: Arc::new(Semaphore::new(threads)), places: Arc::new(Semaphore::new(places)) }
    }
}

impl Passwords {
    pub(super) async fn hash(&self, password: String) -> Result<String, Problem> {
        if !(BYTES_MIN..=BYTES_MAX).contains(&password.len()) {
            let detail = format!("a password must be {BYTES_MIN} to {BYTES_MAX} bytes long; nothing was changed");
            return Err(Problem::invalid(detail));
        }
        let hash = move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        self.run(hash)
            .await
            .and_then(Result::ok)
            .ok_or_else(|| Problem::internal("the password could not be hashed; nothing was changed"))
    }

    /// A place for the comparison of a login, or the refusal of the login.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.places.try_acquire().map_err(|_| {
            Problem::too_many("too many logins run at once; no session was created; try again in a second", 1)
        })
    }

    /// Whether `password` has this hash. A comparison without a hash takes as long.
    pub(super) async fn is_correct(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let compare = move || {
            let has_hash = hash.is_some();
            let is_equal = PasswordHash::new(hash.as_deref().unwrap_or(DUMMY_HASH))
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            has_hash && is_equal
        };
        self.run(compare)
            .await
            .ok_or_else(|| Problem::internal("the password could not be checked; no session was created"))
    }

    /// Runs `work` on a thread for blocking work. `None` if it panics.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok()?;
        // The work owns the permit, because its caller may be dropped before the work ends.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_only_its_own_hash() {
        let passwords = Passwords::default();
        let hashed = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(passwords.hash("correct horse".to_owned()).await.unwrap(), hashed, "each hash has its own salt");
        for (password, hash, expected) in [
            ("correct horse", Some(hashed.clone()), true),
            ("wrong horse", Some(hashed), false),
            ("correct horse", None, false),
            ("", Some("rubbish".to_owned()), false),
        ] {
            assert_eq!(passwords.is_correct(password.to_owned(), hash).await, Ok(expected), "{password}");
        }
        assert!(PasswordHash::new(DUMMY_HASH).is_ok(), "a hash that does not parse would be compared faster");
    }

    #[tokio::test]
    async fn a_password_of_a_wrong_length_is_refused() {
        for bad in ["short", "", &"x".repeat(1_025)] {
            assert!(Passwords::default().hash(bad.to_owned()).await.is_err(), "{}", bad.len());
        }
    }
}
