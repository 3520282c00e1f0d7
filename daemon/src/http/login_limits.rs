//! Limits of failed logins: each failure beyond the free ones makes the next attempt wait longer.
//!
//! Three counts grow with a failure. The count of an account at one address is strict. The counts
//! of the account and of the address alone are generous and wait briefly, so that another client
//! cannot lock out a user, or the other users behind the same proxy. An attempt counts as a failure
//! from its begin, so that concurrent attempts do not pass the limit together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::PrincipalId;

/// A count is forgotten after this time without a failure.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// The most counts. When the table is full, the half with the older failures is dropped.
const COUNTS_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Origin {
    AccountAt(PrincipalId, IpAddr),
    Account(PrincipalId),
    Address(IpAddr),
}

impl Origin {
    /// The failures without a wait, and the longest wait. The first wait is 1 s, and each further
    /// failure doubles it.
    fn limits(&self) -> (u32, Duration) {
        match self {
            Self::AccountAt(..) => (10, Duration::from_secs(5 * 60)),
            Self::Account(_) | Self::Address(_) => (100, Duration::from_secs(10)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last_at: Instant,
}

/// The counts of failed logins.
#[derive(Debug, Default)]
pub(super) struct LoginLimits {
    failures: Mutex<HashMap<Origin, Failures>>,
}

impl LoginLimits {
    /// Begins an attempt, and counts it as a failure until [`Self::succeeded`]. The error is the
    /// time to wait before the next attempt.
    pub(super) fn begin(&self, account: Option<&PrincipalId>, address: IpAddr) -> Result<(), Duration> {
        self.begin_at(Instant::now(), account, address)
    }

    fn begin_at(&self, now: Instant, account: Option<&PrincipalId>, address: IpAddr) -> Result<(), Duration> {
        let mut failures = self.lock();
        let origins = origins(account, address);
        let waits = origins.iter().filter_map(|origin| {
            let (free, wait_max) = origin.limits();
            failures.get(origin)?.wait(now, free, wait_max)
        });
        if let Some(wait) = waits.max() {
            return Err(wait);
        }
        make_room(&mut failures, now, origins.len());
        for origin in origins {
            let entry = failures.entry(origin).or_insert(Failures { count: 0, last_at: now });
            let is_old = now.saturating_duration_since(entry.last_at) >= FORGET_AFTER;
            *entry = Failures { count: if is_old { 1 } else { entry.count.saturating_add(1) }, last_at: now };
        }
        Ok(())
    }

    /// The attempt was a success. The count of its address keeps the earlier failures, which may
    /// belong to other accounts.
    pub(super) fn succeeded(&self, account: &PrincipalId, address: IpAddr) {
        let mut failures = self.lock();
        failures.remove(&Origin::AccountAt(account.clone(), address));
        failures.remove(&Origin::Account(account.clone()));
        if let Some(entry) = failures.get_mut(&Origin::Address(address)) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Failures>> {
        // A panic while holding this lock leaves each count consistent.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// The rest of the wait after the last failure.
    fn wait(self, now: Instant, free: u32, wait_max: Duration) -> Option<Duration> {
        let beyond = self.count.checked_sub(free)?;
        let wait = Duration::from_secs(1_u64.checked_shl(beyond).unwrap_or(u64::MAX)).min(wait_max);
        let rest = (self.last_at + wait).saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }
}

fn origins(account: Option<&PrincipalId>, address: IpAddr) -> Vec<Origin> {
    let of_account =
        account.into_iter().flat_map(|id| [Origin::AccountAt(id.clone(), address), Origin::Account(id.clone())]);
    of_account.chain([Origin::Address(address)]).collect()
}

fn make_room(failures: &mut HashMap<Origin, Failures>, now: Instant, places: usize) {
    if failures.len() + places <= COUNTS_MAX {
        return;
    }
    failures.retain(|_, entry| now.saturating_duration_since(entry.last_at) < FORGET_AFTER);
    if failures.len() + places > COUNTS_MAX {
        let mut times: Vec<_> = failures.values().map(|entry| entry.last_at).collect();
        let (_, median, _) = times.select_nth_unstable(COUNTS_MAX / 2);
        let median = *median;
        failures.retain(|_, entry| entry.last_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn account(number: usize) -> PrincipalId {
        PrincipalId::new(format!("user:u{number}")).unwrap()
    }

    fn elsewhere(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(number).unwrap().to_be_bytes())
    }

    #[test]
    fn the_wait_doubles_after_the_free_failures() {
        let (limits, mut now) = (LoginLimits::default(), Instant::now());
        let mut begin = |after_s: u64| {
            now += Duration::from_secs(after_s);
            limits.begin_at(now, Some(&account(1)), ADDRESS).map_err(|wait| wait.as_secs())
        };
        for _ in 0..10 {
            assert_eq!(begin(0), Ok(()));
        }
        assert_eq!([begin(0), begin(1), begin(0), begin(1)], [Err(1), Ok(()), Err(2), Err(1)]);
        for _ in 0..9 {
            assert_eq!(begin(300), Ok(()));
        }
        assert_eq!(begin(0), Err(300), "the longest wait");
        assert_eq!(begin(15 * 60), Ok(()));
        assert_eq!(begin(0), Ok(()), "the failures are forgotten");
    }

    #[test]
    fn a_success_forgets_the_failures_of_its_account() {
        let limits = LoginLimits::default();
        for _ in 0..10 {
            assert!(limits.begin(Some(&account(1)), ADDRESS).is_ok());
        }
        assert!(limits.begin(Some(&account(1)), ADDRESS).is_err());
        limits.succeeded(&account(1), ADDRESS);
        assert!(limits.begin(Some(&account(1)), ADDRESS).is_ok());
    }

    #[test]
    fn many_addresses_or_accounts_make_each_other_wait_briefly() {
        let (of_account, of_address) = (LoginLimits::default(), LoginLimits::default());
        for number in 0..100 {
            assert!(of_account.begin(Some(&account(1)), elsewhere(number)).is_ok());
            assert!(of_address.begin(Some(&account(number)), ADDRESS).is_ok());
        }
        for limits in [of_account, of_address] {
            let wait = limits.begin(Some(&account(1)), ADDRESS).unwrap_err();
            assert!(wait <= Duration::from_secs(10), "{wait:?}");
        }
    }

    #[test]
    fn the_number_of_counts_is_bounded() {
        let limits = LoginLimits::default();
        for number in 0..COUNTS_MAX {
            assert!(limits.begin(Some(&account(number)), elsewhere(number)).is_ok());
        }
        assert!(limits.lock().len() <= COUNTS_MAX);
    }
}
