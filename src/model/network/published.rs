//! Ports of the host that lead to a WPAR: `publish=8080:80/tcp`, several divided by commas.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NetworkError;

/// A transport with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the host and the port of the WPAR that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The host's port.
    pub host: u16,
    /// The WPAR's.
    pub own: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl Published {
    /// What `text` says: `HOSTPORT:PORT`, with `/tcp` or `/udp`.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(bad(text)),
        };
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.then(|| text.parse::<u16>().ok()).flatten();
            port.filter(|port| *port > 0)
        };
        let (host, own) = ports.split_once(':').unwrap_or((ports, ports));
        let both = port(host).zip(port(own));
        both.map(|(host, own)| Self {
            host,
            own,
            protocol,
        })
        .ok_or_else(|| bad(text))
    }

    /// Whether both want the same port of the host.
    pub fn clashes(&self, other: &Self) -> bool {
        (self.host, self.protocol) == (other.host, other.protocol)
    }
}

fn bad(text: &str) -> NetworkError {
    NetworkError::Value {
        key: "publish",
        value: text.to_owned(),
        why: "it is HOSTPORT:PORT, with /tcp or /udp, as in 8080:80/tcp",
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.own, self.protocol)
    }
}
