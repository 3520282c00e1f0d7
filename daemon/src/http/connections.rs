//! The open connections, their number and their timeouts.
//!
//! A full table makes room for a new connection: it closes one that waits for its client, in the
//! order of [`rank`]. A connection whose request is being answered is never closed for another one.
//! If all connections are of this kind, the new one is refused.

use super::connection::{Connection, Wait};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The limits of connections. The settings `http.*` have the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub connections_max: usize,
    /// The most connections of one IPv4 address, or of one IPv6 network with a prefix of 64 bits.
    pub connections_per_address_max: usize,
    /// From the first byte of a request, or from the accept, to the end of the head.
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    /// The longest time in which the client reads nothing of its reply.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 2_048,
            connections_per_address_max: 1_024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// The head of a request arrives within this time after its first byte or the accept, if the client
/// is honest and near.
const HEAD_EXPECTED: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, (IpAddr, Connection)>,
    of_address: HashMap<IpAddr, usize>,
    last_id: u64,
}

/// The place of a connection in the table. The place is free when this is dropped.
pub(super) struct Place {
    id: u64,
    pub(super) connection: Connection,
    table: Arc<Mutex<Table>>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, table: Arc::default() }
    }

    /// A place for a new connection. `None` if it must be refused.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Place> {
        let address = origin(peer);
        let mut table = lock(&self.table);
        let of_address = table.of_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.limits.connections_per_address_max {
            table.make_room(Some(address))?;
        } else if table.open.len() >= self.limits.connections_max {
            table.make_room(None)?;
        }
        table.last_id += 1;
        let (id, connection) = (table.last_id, Connection::default());
        table.open.insert(id, (address, connection.clone()));
        *table.of_address.entry(address).or_default() += 1;
        Some(Place { id, connection, table: Arc::clone(&self.table) })
    }

    /// Closes the connections that have waited for their clients for too long.
    pub(super) fn close_expired(&self) {
        let now = Instant::now();
        let mut table = lock(&self.table);
        let expired = |connection: &Connection| {
            let (wait, since) = connection.wait()?;
            let timeout = match wait {
                Wait::NextRequest => self.limits.idle_timeout,
                Wait::Head => self.limits.header_timeout,
                Wait::Reader => self.limits.write_timeout,
                // The reader of the body has a timeout of its own and answers 408.
                Wait::Body | Wait::Answer => return None,
            };
            (now.saturating_duration_since(since) >= timeout).then_some(wait)
        };
        let found = table.open.iter().filter_map(|(id, (_, connection))| Some((*id, expired(connection)?)));
        for (id, wait) in found.collect::<Vec<_>>() {
            table.close(id, wait);
        }
    }
}

impl Table {
    /// Closes one connection, of `address` if it is given. `None` if there is none to close.
    fn make_room(&mut self, address: Option<IpAddr>) -> Option<()> {
        let of_address = self.open.iter().filter(|(_, (of, _))| address.is_none_or(|address| *of == address));
        let now = Instant::now();
        let waiting = of_address.filter_map(|(id, (_, connection))| {
            let (wait, since) = connection.wait()?;
            Some((rank(wait, now.saturating_duration_since(since))?, since, *id, wait))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable_by_key(|(rank, since, ..)| (*rank, *since));
        // A request may have arrived on the first one in the meantime.
        waiting.into_iter().find(|(.., id, wait)| self.close(*id, *wait)).map(|_| ())
    }

    fn close(&mut self, id: u64, wait: Wait) -> bool {
        let is_closed = self.open.get(&id).is_some_and(|(_, connection)| connection.close_if(wait));
        if is_closed {
            self.remove(id);
        }
        is_closed
    }

    fn remove(&mut self, id: u64) {
        let Some((address, _)) = self.open.remove(&id) else { return };
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.table).remove(self.id);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // A panic while holding this lock leaves the table consistent.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The order in which connections make room, and of equal ranks the longest wait first. `None` if
/// the connection must stay.
///
/// A client that sends no head is not served anyway. An idle client loses nothing. A new connection
/// comes last, because its head is about to arrive.
fn rank(wait: Wait, waited: Duration) -> Option<u8> {
    match wait {
        Wait::Head if waited >= HEAD_EXPECTED => Some(0),
        Wait::NextRequest => Some(1),
        Wait::Body | Wait::Reader => Some(2),
        Wait::Head => Some(3),
        Wait::Answer => None,
    }
}

/// The address that limits count. One IPv6 client has a whole network of 64 bits.
pub(super) fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        connections_max: 3,
        connections_per_address_max: 2,
        header_timeout: Duration::ZERO,
        idle_timeout: Duration::MAX,
        write_timeout: Duration::MAX,
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_open(place: &Place) -> bool {
        place.connection.wait().is_some()
    }

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let connections = Connections::new(LIMITS);
        let slow = connections.admit(address(1)).unwrap();
        let idle = [2, 3].map(|last| {
            let place = connections.admit(address(last)).unwrap();
            assert!(place.connection.begin_request());
            place.connection.end_reply();
            place.connection.flushed();
            place
        });
        let new = connections.admit(address(4)).unwrap();
        assert_eq!([&slow, &idle[0], &idle[1], &new].map(is_open), [true, false, true, true]);
    }

    #[test]
    fn an_address_at_its_limit_loses_its_own_connection() {
        let connections = Connections::new(LIMITS);
        let [first, second, third] = [1, 1, 1].map(|last| connections.admit(address(last)).unwrap());
        assert_eq!([&first, &second, &third].map(is_open), [false, true, true]);
    }

    #[test]
    fn a_connection_with_a_request_is_not_closed_for_another() {
        let connections = Connections::new(LIMITS);
        let all = [1, 2, 3].map(|last| connections.admit(address(last)).unwrap());
        assert!(all.iter().all(|place| place.connection.begin_request()));
        assert!(connections.admit(address(4)).is_none());
        drop(all);
        assert!(connections.admit(address(4)).is_some());
    }

    #[test]
    fn a_request_on_a_closed_connection_does_not_begin() {
        let connections = Connections::new(LIMITS);
        let place = connections.admit(address(1)).unwrap();
        connections.close_expired();
        assert!(!is_open(&place) && !place.connection.begin_request());
    }

    #[test]
    fn addresses_of_one_client_are_counted_together() {
        for (peer, expected) in
            [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
        {
            assert_eq!(origin(peer.parse().unwrap()).to_string(), expected);
        }
    }
}
