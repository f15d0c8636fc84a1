//! A rule: a port at `localhost` of the sandbox, and the service that it leads to.

use std::net::SocketAddr;

/// A port at `localhost` and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// For datagrams; else for connections.
    pub(super) udp: bool,
    pub(super) local: u16,
    pub(super) to: SocketAddr,
}

impl Rule {
    /// Reads `tcp:5432=172.17.0.2:5432`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no = || format!("`{text}` says no port and where it leads");
        let (kind, rest) = text.split_once(':').ok_or_else(no)?;
        let (local, to) = rest.split_once('=').ok_or_else(no)?;
        let udp = match kind {
            "tcp" => false,
            "udp" => true,
            _ => return Err(no()),
        };
        Ok(Self { udp, local: local.parse().map_err(|_| no())?, to: to.parse().map_err(|_| no())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = Rule::parse("udp:53=10.0.0.2:5353").unwrap();
        assert_eq!(rule, Rule { udp: true, local: 53, to: "10.0.0.2:5353".parse().unwrap() });
        for bad in
            ["", "tcp:1", "sctp:1=10.0.0.2:1", "tcp:x=10.0.0.2:1", "tcp:1=host:1", "tcp:70000=10.0.0.2:1"]
        {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }
}
