//! Connections that several requests go over, some of them refused before their body was read.

use crate::serving::Running;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for the daemon to have answered what it does not wait for.
const LATER: Duration = Duration::from_millis(200);

const REFUSED: &str =
    "PUT /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\ncontent-length: 4\r\n";

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the daemon takes it");
    }

    /// The head of the next answer, in lower case.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).expect("it is HTTP");
            assert!(read > 0, "the connection was closed after {head:?}");
        }
        head.to_lowercase()
    }

    /// The same, and its body is read over.
    fn answer(&mut self) -> String {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("there is a body");
        self.0.read_exact(&mut vec![0; length.parse().expect("a number")]).expect("all of it");
        head
    }

    fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|read| read == 0)
    }
}

fn with_connection(check: impl FnOnce(Connection)) {
    let folder = TempDir::new().unwrap();
    let running = Running::start(&folder.path().join("t.db"));
    running.wait_until_ready();
    let stream = TcpStream::connect(running.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    check(Connection(BufReader::new(stream)));
    running.stop().unwrap();
}

#[test]
fn a_request_that_is_refused_before_its_body_came_leaves_the_connection_to_the_next() {
    with_connection(|mut connection| {
        for _ in 0..2 {
            connection.send(&format!("{REFUSED}\r\n"));
            std::thread::sleep(LATER);
            connection.send("true");
            let head = connection.answer();
            assert!(head.starts_with("http/1.1 401") && !head.contains("connection: close"), "{head}");
        }
        connection.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(connection.answer().starts_with("http/1.1 200"));
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_and_the_answer_says_that_the_connection_ends() {
    with_connection(|mut connection| {
        connection.send(&format!("{REFUSED}\r\ntru"));
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
        assert!(connection.is_closed());
    });
}

#[test]
fn who_asks_before_sending_a_body_is_refused_without_it() {
    with_connection(|mut connection| {
        connection.send(&format!("{REFUSED}expect: 100-continue\r\n\r\n"));
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
        assert!(connection.is_closed());
    });
}

/// curl asks first for all that is longer than 1 MiB.
#[test]
fn who_asked_first_and_sends_too_much_gets_to_see_why() {
    with_connection(|mut connection| {
        let long = 3 << 20;
        connection.send(&format!(
            "PUT /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tg_serving\r\ncontent-length: {long}\r\n\
             expect: 100-continue\r\n\r\n"
        ));
        assert_eq!(connection.head(), "http/1.1 100 continue\r\n\r\n");
        connection.send(&"x".repeat(long));
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 413") && !head.contains("connection: close"), "{head}");
        connection.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(connection.answer().starts_with("http/1.1 200"));
    });
}

#[test]
fn after_what_is_no_body_the_answer_says_that_the_connection_ends() {
    with_connection(|mut connection| {
        connection.send(
            "PUT /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tg_serving\r\n\
             transfer-encoding: chunked\r\n\r\nno length\r\n",
        );
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 400") && head.contains("connection: close"), "{head}");
        assert!(connection.is_closed());
    });
}
