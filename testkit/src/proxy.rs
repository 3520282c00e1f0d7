use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A TCP proxy on 127.0.0.1 that can fall silent, as a firewall does that forgets connections.
///
/// A silent connection stays open. All bytes of both sides are swallowed. The proxy ends when this
/// value is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    target: Mutex<SocketAddr>,
    /// The number of connections that were accepted.
    accepted: AtomicU64,
    /// The connections up to this number are silent.
    silent: AtomicU64,
    /// Whether new connections are silent, too.
    is_mute: AtomicBool,
    /// Whether the start-up packets of Postgres clients lose their parameters.
    drops_parameters: AtomicBool,
    is_closed: AtomicBool,
}

/// One connection of a client.
#[derive(Clone, Debug)]
struct Link {
    number: u64,
    is_mute: bool,
    state: Arc<State>,
}

impl Proxy {
    /// Starts a proxy before `target`.
    ///
    /// # Panics
    ///
    /// If no port is free.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel gives a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let state = Arc::new(State {
            target: Mutex::new(target),
            accepted: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            is_mute: AtomicBool::new(false),
            drops_parameters: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, state }
    }

    /// The port of the proxy, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Silences the open connections. New connections reach the target.
    pub fn silence_open(&self) {
        self.state.silent.store(self.state.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// From now on connections are accepted and get no answer, or are served again.
    pub fn set_mute(&self, is_mute: bool) {
        self.state.is_mute.store(is_mute, Ordering::SeqCst);
    }

    /// From now on a Postgres client keeps only its user and its database, as behind a session
    /// pooler that ignores start-up parameters.
    pub fn drop_parameters(&self) {
        self.state.drops_parameters.store(true, Ordering::SeqCst);
    }

    /// Connects new connections to another target.
    pub fn retarget(&self, target: SocketAddr) {
        *self.state.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
        // Ends the wait for a connection.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming().flatten() {
        if state.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let number = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let link = Link { number, is_mute: state.is_mute.load(Ordering::SeqCst), state: Arc::clone(state) };
        let target = *state.target.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(server) = TcpStream::connect(target) else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).ok();
        }
        let (Ok(client_end), Ok(server_end)) = (client.try_clone(), server.try_clone()) else { continue };
        let back = link.clone();
        thread::spawn(move || link.forward(client, server));
        thread::spawn(move || back.forward(server_end, client_end));
    }
}

impl Link {
    fn is_silent(&self) -> bool {
        self.is_mute || self.number <= self.state.silent.load(Ordering::SeqCst)
    }

    /// Copies bytes until one side closes. The end of a side is swallowed, too, while the
    /// connection is silent.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0_u8; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            let is_silent = self.is_silent();
            if length == 0 {
                if !is_silent {
                    to.shutdown(Shutdown::Write).ok();
                }
                return;
            }
            let bytes = match startup(&buffer[..length]) {
                Some(packet) if self.state.drops_parameters.load(Ordering::SeqCst) => packet,
                _ => buffer[..length].to_vec(),
            };
            if !is_silent && to.write_all(&bytes).is_err() {
                return;
            }
        }
    }
}

/// If `packet` is the start-up packet of a Postgres client, returns it without parameters.
fn startup(packet: &[u8]) -> Option<Vec<u8>> {
    const PROTOCOL: [u8; 4] = [0, 3, 0, 0];
    let length = u32::from_be_bytes(packet.get(..4)?.try_into().ok()?) as usize;
    if length != packet.len() || packet.get(4..8)? != PROTOCOL {
        return None;
    }
    let words: Vec<&[u8]> = packet[8..].split(|byte| *byte == 0).collect();
    let mut body = PROTOCOL.to_vec();
    for pair in words.chunks_exact(2).filter(|pair| matches!(pair[0], b"user" | b"database")) {
        for word in pair {
            body.extend_from_slice(word);
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).ok()?;
    Some([&length.to_be_bytes(), &body[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_up_packet_keeps_its_user_and_its_database() {
        let packet = |words: &str| {
            let body = [&[0, 3, 0, 0], words.replace(' ', "\0").as_bytes(), &[0, 0]].concat();
            [&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), &body[..]].concat()
        };
        let sent = packet("user u database d options -cx=y TimeZone UTC");
        assert_eq!(startup(&sent), Some(packet("user u database d")));
        assert_eq!(startup(b"Q\0\0\0\x08abc"), None);
        assert_eq!(startup(&[]), None);
    }
}
