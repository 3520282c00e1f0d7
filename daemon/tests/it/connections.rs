//! Connections with several requests, of which some are refused before their body is read.

use crate::serving::Running;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than the daemon needs for an answer that does not wait for the body.
const ANSWER_TIME: Duration = Duration::from_millis(200);

const REFUSED: &str =
    "PUT /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\ncontent-length: 4\r\n";

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the daemon reads");
    }

    /// The head of the next answer, in lower case.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).expect("the head is UTF-8 and comes in time");
            assert!(read > 0, "the connection was closed after {head:?}");
        }
        head.to_lowercase()
    }

    /// The head of the next answer. Its body is read and dropped.
    fn answer(&mut self) -> String {
        let head = self.head();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("the answer has a body");
        self.0.read_exact(&mut vec![0; length.parse().expect("the length is a number")]).expect("the whole body comes");
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
fn a_refusal_before_the_body_arrives_leaves_the_connection_usable() {
    with_connection(|mut connection| {
        for _ in 0..2 {
            connection.send(&format!("{REFUSED}\r\n"));
            std::thread::sleep(ANSWER_TIME);
            connection.send("true");
            let head = connection.answer();
            assert!(head.starts_with("http/1.1 401") && !head.contains("connection: close"), "{head}");
        }
        connection.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(connection.answer().starts_with("http/1.1 200"));
    });
}

#[test]
fn a_refusal_without_the_rest_of_the_body_closes_the_connection() {
    with_connection(|mut connection| {
        connection.send(&format!("{REFUSED}\r\ntru"));
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
        assert!(connection.is_closed());
    });
}

#[test]
fn a_refused_client_that_expects_100_continue_does_not_send_its_body() {
    with_connection(|mut connection| {
        connection.send(&format!("{REFUSED}expect: 100-continue\r\n\r\n"));
        let head = connection.answer();
        assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
        assert!(connection.is_closed());
    });
}

/// curl sends `expect: 100-continue` with bodies of more than 1 MiB.
#[test]
fn a_client_that_sends_too_much_after_100_continue_receives_the_refusal() {
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
fn a_malformed_body_closes_the_connection() {
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
