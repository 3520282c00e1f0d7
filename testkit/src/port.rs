use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// The ports lie below the range that the kernel uses for outgoing connections. A client that
/// retries a closed port within that range may get the same port for its own end. Then it connects
/// to itself.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// A free port of 127.0.0.1 that this process has not returned before.
///
/// A server can close this port and listen on it again. A port that the kernel chooses may be used
/// by another process in the meantime.
///
/// # Panics
///
/// If all 17,000 ports are in use.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    // Processes that start at the same time begin at different ports.
    let start = (std::process::id().wrapping_mul(7_919) ^ nanos) % COUNT;
    let _ = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("15,000 + 17,000 is less than 65,536");
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
    fn a_port_is_free_and_is_not_returned_twice() {
        let first = free_port();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("the port is free");
        assert_ne!(first, free_port());
    }
}
