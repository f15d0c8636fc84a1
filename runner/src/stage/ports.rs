//! Ports of services at `localhost` of a stage's sandbox: as files ask for them, and as expressions read them. Pure.
//!
//! `8080` is reached at the same port, `8080:80` at the first of the two; an address before them is of no matter, because
//! nothing is ever reached from outside the sandbox. A port that two services ask for without saying where is given
//! another one for the second of them. The outcome depends on the plan alone, so it is the same after a restart.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::Service;

use crate::sandbox::Forward;

/// Ports of all services of a stage.
const MOST: usize = 128;
/// Where the places begin for ports whose own place is taken.
const SPARE: u16 = 49_152;

/// What a file says of one port.
struct Asked {
    local: Option<u16>,
    inside: u16,
    udp: bool,
}

/// Where the ports of these services are. Their templates are literal. An error is a sentence.
pub(super) fn mapped(services: &[Service]) -> Result<Vec<Forward>, String> {
    let mut asked: Vec<(&Service, Asked)> = Vec::new();
    for service in services {
        for text in service.container.ports.iter().map(|port| port.as_str().trim()) {
            if text.is_empty() {
                continue;
            }
            let ports = read(text).ok_or_else(|| {
                format!(
                    "`{text}` of the service `{}` is no port; expected `8080`, `8080:80`, `53:53/udp` or a range such as \
                     `8000-8004:8000-8004`",
                    service.name
                )
            })?;
            asked.extend(ports.into_iter().map(|port| (service, port)));
            if asked.len() > MOST {
                return Err(format!("the services of a stage may have at most {MOST} ports at localhost"));
            }
        }
    }
    let mut taken: BTreeMap<(bool, u16), &str> = BTreeMap::new();
    for (service, port) in &asked {
        if let Some(local) = port.local
            && let Some(other) = taken.insert((port.udp, local), &service.name)
        {
            return Err(format!(
                "port {local} at localhost is asked for twice, by the services `{other}` and `{}`",
                service.name
            ));
        }
    }
    let mut forwards = Vec::new();
    for (service, Asked { local, inside, udp }) in asked {
        let local = match local {
            Some(local) => local,
            None => {
                let mut places = [inside].into_iter().chain(SPARE..=u16::MAX);
                let free = places.find(|place| !taken.contains_key(&(udp, *place))).unwrap_or(inside);
                taken.insert((udp, free), &service.name);
                free
            }
        };
        forwards.push(Forward { local, service: service.name.clone(), port: inside, udp });
    }
    Ok(forwards)
}

/// What expressions read as `job.services.<name>.ports`: where each of a service's ports is.
pub(super) fn context(service: &str, mapped: &[Forward]) -> serde_json::Map<String, serde_json::Value> {
    let mine = mapped.iter().filter(|forward| forward.service == service);
    mine.map(|forward| (forward.port.to_string(), forward.local.to_string().into())).collect()
}

/// Reads `80`, `8080:80`, `127.0.0.1:8080:80`, `53:53/udp` and ranges.
fn read(text: &str) -> Option<Vec<Asked>> {
    let (ports, udp) = match text.split_once('/') {
        None => (text, false),
        Some((ports, kind)) if kind.eq_ignore_ascii_case("tcp") => (ports, false),
        Some((ports, kind)) if kind.eq_ignore_ascii_case("udp") => (ports, true),
        Some(_) => return None,
    };
    let mut parts = ports.rsplitn(3, ':');
    let inside = range(parts.next()?)?;
    let local = parts.next().filter(|local| !local.is_empty()).map(range);
    let local = match local {
        None => None,
        Some(local) => Some(local?),
    };
    match local {
        None => Some(inside.map(|inside| Asked { local: None, inside, udp }).collect()),
        Some(local) if local.len() == inside.len() => {
            let both = local.zip(inside);
            Some(both.map(|(local, inside)| Asked { local: Some(local), inside, udp }).collect())
        }
        // Any one of a range.
        Some(mut local) if inside.len() == 1 => {
            let local = local.next();
            Some(inside.map(|inside| Asked { local, inside, udp }).collect())
        }
        Some(_) => None,
    }
}

/// A port or a short range of them.
fn range(text: &str) -> Option<std::ops::Range<u16>> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| (1..u16::MAX).contains(port));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last && usize::from(last - first) < MOST).then(|| first..last + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn services(asked: &[(&str, &[&str])]) -> Vec<Service> {
        let service = |(name, ports): &(&str, &[&str])| {
            let service = json!({ "name": name, "image": "i", "container": { "ports": ports } });
            serde_json::from_value(service).unwrap()
        };
        asked.iter().map(service).collect()
    }

    /// As `service local>inside`.
    fn said(asked: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let mapped = mapped(&services(asked))?;
        let udp = |forward: &Forward| if forward.udp { "/udp" } else { "" };
        Ok(mapped
            .iter()
            .map(|one| format!("{} {}>{}{}", one.service, one.local, one.port, udp(one)))
            .collect())
    }

    #[test]
    fn ports_are_read_as_the_engine_reads_them() {
        let asked: &[&str] = &[
            "5432",
            "8080:80",
            "127.0.0.1:8443:443",
            "127.0.0.1::9000",
            "53:53/udp",
            "81/tcp",
            "[::1]:7:7",
            "",
        ];
        let expected =
            ["a 5432>5432", "a 8080>80", "a 8443>443", "a 9000>9000", "a 53>53/udp", "a 81>81", "a 7>7"];
        assert_eq!(said(&[("a", asked)]).unwrap(), expected);
        assert_eq!(said(&[("a", &["10-11:20-21"])]).unwrap(), ["a 10>20", "a 11>21"]);
        assert_eq!(said(&[("a", &["10-19:20"])]).unwrap(), ["a 10>20"]);
        for bad in ["x", "0", "70000", "1:2:3:4:x", "1/sctp", "3-1", "1-3:1-2", "1-60000", "-1", ":"] {
            assert!(said(&[("a", &[bad])]).unwrap_err().contains("is no port"), "{bad}");
        }
    }

    #[test]
    fn the_second_of_two_services_with_the_same_port_has_another_place() {
        let two: &[(&str, &[&str])] = &[("a", &["5432"]), ("b", &["5432"]), ("c", &["5432/udp"])];
        assert_eq!(said(two).unwrap(), ["a 5432>5432", "b 49152>5432", "c 5432>5432/udp"]);
        // Whoever says where goes first, wherever it stands.
        let said_where: &[(&str, &[&str])] = &[("a", &["5432"]), ("b", &["5432:1"])];
        assert_eq!(said(said_where).unwrap(), ["a 49152>5432", "b 5432>1"]);
        let twice = said(&[("a", &["80:1"]), ("b", &["80:2"])]).unwrap_err();
        assert_eq!(twice, "port 80 at localhost is asked for twice, by the services `a` and `b`");
    }

    #[test]
    fn there_are_only_so_many_ports() {
        assert!(said(&[("a", &["1-100"]), ("b", &["201-229"])]).unwrap_err().contains("at most 128"));
    }

    #[test]
    fn expressions_read_where_a_port_is() {
        let services = services(&[("a", &["8080:80"]), ("b", &["8080"])]);
        let mapped = mapped(&services).unwrap();
        assert_eq!(serde_json::Value::from(context("a", &mapped)), json!({ "80": "8080" }));
        assert_eq!(serde_json::Value::from(context("b", &mapped)), json!({ "8080": "49152" }));
    }
}
