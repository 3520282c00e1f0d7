use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The response to [`get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: String,
}

/// Requests `path` from 127.0.0.1 on a new connection. Connecting, and each read and write, may
/// take `timeout`.
///
/// # Errors
///
/// If no server listens, a step exceeds `timeout`, or the response is not HTTP.
pub fn get(port: u16, path: &str, timeout: Duration) -> Result<HttpAnswer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    parse(&String::from_utf8_lossy(&raw)).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the response is not HTTP"))
}

fn parse(raw: &str) -> Option<HttpAnswer> {
    let (head, body) = raw.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
    Some(HttpAnswer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_whole_response_is_read() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A request may arrive in several reads.
            let (mut request, mut piece) = (Vec::new(), [0; 512]);
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the request ended before its empty line");
                request.extend_from_slice(&piece[..read]);
            }
            assert!(request.starts_with(b"GET /readyz HTTP/1.0\r\n"));
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy").unwrap();
        });
        let answer = get(port, "/readyz", Duration::from_secs(5)).unwrap();
        assert_eq!(answer, HttpAnswer { status: 503, body: "busy".to_owned() });
        server.join().unwrap();
    }

    #[test]
    fn a_response_that_is_not_http_is_refused() {
        for raw in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 two\r\n\r\n"] {
            assert_eq!(parse(raw), None, "{raw:?}");
        }
    }
}
