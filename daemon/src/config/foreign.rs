//! Variables that Kubernetes sets in each container for the services of its namespace.
//!
//! A service named `tidegate` or `tidegate-db` makes variables that begin with `TIDEGATE_` and are
//! no settings. They are recognized by name and value together, so that a misspelled setting is
//! still an error: <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.

use std::net::{IpAddr, SocketAddr};

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Whether Kubernetes sets a variable with this name to this value. `name` begins with `TIDEGATE_`.
pub(super) fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    // The name of the service has at least the first word. The rest is one of the known forms.
    (1..words.len()).any(|at| is_known_form(&words[at..], value))
}

fn is_known_form(words: &[&str], value: &str) -> bool {
    match words {
        ["SERVICE", "HOST"] => is_ip(value),
        ["SERVICE", "PORT"] => is_port(value),
        ["SERVICE", "PORT", name @ ..] => is_port(value) && name.iter().all(|word| !word.is_empty()),
        ["PORT"] => is_endpoint(value, None),
        ["PORT", port, protocol] => is_endpoint(value, Some((port, protocol))),
        ["PORT", port, protocol, "PROTO"] => is_port(port) && is_protocol(protocol) && value == lower(protocol),
        ["PORT", port, protocol, "PORT"] => is_port(port) && is_protocol(protocol) && value == *port,
        ["PORT", port, protocol, "ADDR"] => is_port(port) && is_protocol(protocol) && is_ip(value),
        _ => false,
    }
}

fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|port: u16| port > 0)
}

fn lower(word: &str) -> String {
    word.to_ascii_lowercase()
}

/// Whether a word of a name is a protocol, in upper case.
fn is_protocol(word: &str) -> bool {
    PROTOCOLS.iter().any(|protocol| protocol.to_ascii_uppercase() == word)
}

/// Whether `value` has the form `tcp://10.0.0.1:8787`, with the port and the protocol of the name.
fn is_endpoint(value: &str, named: Option<(&str, &str)>) -> bool {
    let Some((protocol, address)) = value.split_once("://") else { return false };
    // Kubernetes writes an IPv6 address with and without brackets, depending on its version.
    let address = address.parse().ok().or_else(|| {
        let (ip, port) = address.rsplit_once(':')?;
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    });
    let Some(address) = address else { return false };
    let is_named = |(port, word): (&str, &str)| address.port().to_string() == port && protocol == lower(word);
    PROTOCOLS.contains(&protocol) && named.is_none_or(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_recognized_by_name_and_value() {
        for (name, value) in [
            ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_SERVICE_HOST", "fd00::1"),
            ("TIDEGATE_SERVICE_PORT", "8787"),
            ("TIDEGATE_SERVICE_PORT_HTTP", "8787"),
            ("TIDEGATE_SERVICE_PORT_HTTP_ADMIN", "8787"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1:8787"),
            ("TIDEGATE_PORT", "udp://[fd00::1]:8787"),
            ("TIDEGATE_PORT", "tcp://fd00::1:8787"),
            ("TIDEGATE_PORT_8787_TCP", "tcp://10.0.0.1:8787"),
            ("TIDEGATE_PORT_8787_TCP_PROTO", "tcp"),
            ("TIDEGATE_PORT_53_UDP_PROTO", "udp"),
            ("TIDEGATE_PORT_8787_TCP_PORT", "8787"),
            ("TIDEGATE_PORT_8787_TCP_ADDR", "10.0.0.1"),
            ("TIDEGATE_MY_DB_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_MY_DB_PORT", "tcp://10.0.0.1:5432"),
            ("TIDEGATE_MY_DB_PORT_5432_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_of_kubernetes(name, value), "{name}={value}");
        }
    }

    #[test]
    fn other_names_and_values_are_not_of_kubernetes() {
        for (name, value) in [
            ("TIDEGATE_PORT", "8787"),
            ("TIDEGATE_PORT", "http://10.0.0.1:8787"),
            ("TIDEGATE_PORT", "tcp://host:8787"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1"),
            ("TIDEGATE_PORTS", "tcp://10.0.0.1:8787"),
            ("TIDEGATE_SERVICE_HOST", "localhost"),
            ("TIDEGATE_SERVICE_PORT", "http"),
            ("TIDEGATE_SERVICE_PORT", "0"),
            ("TIDEGATE_SERVICE_PORT_", "8787"),
            ("TIDEGATE_SERVICE", "10.0.0.1"),
            ("TIDEGATE_PORT_8787", "tcp://10.0.0.1:8787"),
            ("TIDEGATE_PORT_8787_TCP", "tcp://10.0.0.1:8788"),
            ("TIDEGATE_PORT_8787_TCP", "udp://10.0.0.1:8787"),
            ("TIDEGATE_PORT_8787_TCP_PORT", "8788"),
            ("TIDEGATE_PORT_8787_TCP_PROTO", "udp"),
            ("TIDEGATE_PORT_8787_TCP_ADDR", "host"),
            ("TIDEGATE_PORT_8787_HTTP_ADDR", "10.0.0.1"),
            ("TIDEGATE_PORT_8787_TCP_HOST", "10.0.0.1"),
            ("TIDEGATE_HTTP_LISTN", "10.0.0.1:8787"),
            ("TIDEGATE_HTTP_PORT", "8787"),
            ("SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(!is_of_kubernetes(name, value), "{name}={value}");
        }
    }
}
