use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// Below the range from which the kernel takes the local ports of outgoing connections. A client that keeps dialling a
/// port of that range while nobody listens on it may be given the same number for its own end, and then talks to itself.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// A port of 127.0.0.1 that nobody listens on, and that this process has not handed out before.
///
/// It can be listened on, lost and listened on again, which a port of the kernel's choice cannot.
///
/// # Panics
///
/// If thousands of ports in a row are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    // Processes that start together begin at different places.
    let start = (std::process::id().wrapping_mul(7_919) ^ nanos) % COUNT;
    let _ = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("15,000 and 17,000 fit a port together");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_is_not_handed_out_twice() {
        let first = free_port();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it was free");
        assert_ne!(first, free_port());
    }
}
