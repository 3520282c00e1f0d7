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
            if !is_silent && to.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    }
}
