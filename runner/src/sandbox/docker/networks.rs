//! Networks of stages on the Docker engine.
//!
//! A network takes about 90 ms to make and twice that to remove, most of what a sandbox costs beyond its own
//! start. So a few are kept: one is taken for a stage and put back when the stage's last container is gone. Nothing of
//! a stage survives on it. A stage that may reach nobody else gets a network of its own kind, made for it and removed
//! after.
//!
//! Invariant: a kept network is idle or taken by one attempt. Networks of an earlier process are in no book; they are
//! adopted when nobody is on them, and an attempt that comes back to clean up after itself finds them taken by then
//! and leaves them alone. Networks of this process are never adopted: one that was just made may be on its way into
//! the book.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::{Ipam, IpamConfig, Network, NetworkCreateRequest},
    query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder},
};
use tidegate_protocol::ids::AttemptId;

use super::{Docker, QUICK, SLOW, label_map};
use crate::sandbox::{EngineError, LABEL_ATTEMPT, LABEL_RUNNER, NetworkId, Owner};
use crate::sync::lock;

/// The label of a network that outlives its stages; its value is the process that made it.
const LABEL_POOL: &str = "tidegate.pool";

/// The option of a bridge that has no address on the engine's machine.
const NO_ADDRESS: &str = "com.docker.network.bridge.inhibit_ipv4";

/// Whether a network was refused for want of addresses: the engine's own pools are used up (they hold about thirty
/// networks, compose's included), or the subnet that was asked for is somebody's.
fn lacks_addresses(reason: &str) -> bool {
    reason.contains("address pool") || reason.contains("overlaps with other one")
}

/// A small subnet of 198.18.0.0/15, which is reserved for tests of networks and leads nowhere else.
fn own_subnet() -> String {
    let third = rand::random::<u8>();
    let fourth = rand::random::<u8>() & 0b1110_0000;
    format!("198.{}.{third}.{fourth}/27", 18 + rand::random::<u8>() % 2)
}

/// Who took a network: a runner for an attempt.
type Taker = (String, AttemptId);

/// The kept networks of this process.
pub(super) struct NetworkBook {
    process: String,
    idle: Vec<NetworkId>,
    taken: BTreeMap<Taker, NetworkId>,
    /// How many idle ones are kept.
    keep: usize,
}

impl NetworkBook {
    pub(super) fn new() -> Self {
        let process = uuid::Uuid::now_v7().simple().to_string();
        Self { process, idle: Vec::new(), taken: BTreeMap::new(), keep: 1 }
    }

    fn knows(&self, network: &NetworkId) -> bool {
        self.idle.contains(network) || self.taken.values().any(|taken| taken == network)
    }

    /// Puts a network among the idle ones; false when there is no room for it.
    fn put(&mut self, network: &NetworkId) -> bool {
        if self.knows(network) {
            return true;
        }
        let room = self.idle.len() < self.keep;
        if room {
            self.idle.push(network.clone());
        }
        room
    }

    fn take(&mut self, taker: Taker) -> Option<NetworkId> {
        let network = self.idle.pop()?;
        self.taken.insert(taker, network.clone());
        Some(network)
    }
}

impl Docker {
    pub(super) async fn take_network(&self, owner: &Owner, closed: bool) -> Result<NetworkId, EngineError> {
        if closed {
            return self.create_network(&owner.runner, Some(owner)).await;
        }
        let taker = (owner.runner.clone(), owner.attempt);
        loop {
            let taken = lock(&self.networks).take(taker.clone());
            let Some(network) = taken else { break };
            // Somebody may have removed it (`docker network prune`).
            if self.is_empty(&network).await? {
                return Ok(network);
            }
            lock(&self.networks).taken.remove(&taker);
        }
        let network = self.create_network(&owner.runner, None).await?;
        lock(&self.networks).taken.insert(taker, network.clone());
        Ok(network)
    }

    pub(super) async fn prepare_networks(&self, runner: &str, slots: usize) {
        // Docker's own address pools hold about thirty networks.
        let keep = slots.clamp(1, 8);
        let process = {
            let mut book = lock(&self.networks);
            book.keep = keep;
            book.process.clone()
        };
        for network in self.list_networks(runner, LABEL_POOL).await.unwrap_or_default() {
            let own = network.labels.is_some_and(|labels| labels.get(LABEL_POOL) == Some(&process));
            let Some(id) = network.id.map(NetworkId).filter(|_| !own) else { continue };
            if self.is_empty(&id).await.unwrap_or(false) {
                self.put_or_remove(id).await;
            }
        }
        while lock(&self.networks).idle.len() < keep {
            match self.create_network(runner, None).await {
                Ok(network) => self.put_or_remove(network).await,
                Err(error) => {
                    tracing::warn!(%error, "no network could be made ahead; stages make their own");
                    break;
                }
            }
        }
    }

    pub(super) async fn remove_idle_networks(&self) {
        let idle = std::mem::take(&mut lock(&self.networks).idle);
        for network in idle {
            if let Err(error) = self.remove_network(&network).await {
                tracing::warn!(%error, "an idle network stays");
            }
        }
    }

    /// Removes an attempt's own networks and puts kept ones back. Its containers are gone; `attached` are the networks
    /// that they were on.
    pub(super) async fn release_networks(
        &self,
        runner: &str,
        attempt: AttemptId,
        mut attached: BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let own = self.list_networks(runner, &format!("{LABEL_ATTEMPT}={attempt}")).await?;
        for network in own.into_iter().filter_map(|network| network.id) {
            attached.remove(&network);
            self.remove_network(&NetworkId(network)).await?;
        }
        // It was taken also where no container came to be on it.
        let taken = lock(&self.networks).taken.remove(&(runner.to_owned(), attempt));
        if let Some(network) = taken {
            attached.remove(&network.0);
            self.put_or_remove(network).await;
        }
        if attached.is_empty() {
            return Ok(());
        }
        // Left is what an earlier process took. A network of somebody else is not among the kept ones.
        let kept = self.list_networks(runner, LABEL_POOL).await?;
        for network in kept.into_iter().filter_map(|network| network.id).filter(|id| attached.contains(id)) {
            self.put_or_remove(NetworkId(network)).await;
        }
        Ok(())
    }

    /// The attempts that have a network of their own.
    pub(super) async fn attempts_with_networks(
        &self,
        runner: &str,
    ) -> Result<impl Iterator<Item = HashMap<String, String>>, EngineError> {
        let networks = self.list_networks(runner, LABEL_ATTEMPT).await?;
        Ok(networks.into_iter().filter_map(|network| network.labels))
    }

    async fn put_or_remove(&self, network: NetworkId) {
        if lock(&self.networks).put(&network) {
            return;
        }
        if let Err(error) = self.remove_network(&network).await {
            tracing::warn!(%error, "a network that is not needed any more stays");
        }
    }

    async fn is_empty(&self, network: &NetworkId) -> Result<bool, EngineError> {
        let call = self.client.inspect_network(&network.0, None::<InspectNetworkOptions>);
        let found = self.find_by("look at a network", QUICK, call).await?;
        Ok(found.is_some_and(|network| network.containers.unwrap_or_default().is_empty()))
    }

    /// Makes a network: a closed one of an attempt's own, or one to keep.
    async fn create_network(&self, runner: &str, owner: Option<&Owner>) -> Result<NetworkId, EngineError> {
        let mut labels = HashMap::from([(LABEL_RUNNER.to_owned(), runner.to_owned())]);
        match owner {
            Some(owner) => labels.extend(label_map(owner.labels())),
            None => {
                labels.insert(LABEL_POOL.to_owned(), lock(&self.networks).process.clone());
            }
        }
        let mut request = NetworkCreateRequest {
            name: format!("tidegate-{}", uuid::Uuid::now_v7().simple()),
            driver: Some("bridge".to_owned()),
            internal: Some(owner.is_some()),
            // An internal network leads to its gateway still, which is an address of the engine's machine, and by that
            // to every other one of them. So a closed network's bridge has no address at all.
            options: owner.map(|_| HashMap::from([(NO_ADDRESS.to_owned(), "true".to_owned())])),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        let mut tries = 0;
        loop {
            let call = self.client.create_network(request.clone());
            match self.call("create a network", SLOW, call).await {
                Ok(created) => return Ok(NetworkId(created.id)),
                Err(EngineError::Refused { reason, .. }) if tries < 8 && lacks_addresses(&reason) => {
                    tries += 1;
                    let config = IpamConfig { subnet: Some(own_subnet()), ..IpamConfig::default() };
                    request.ipam = Some(Ipam { config: Some(vec![config]), ..Ipam::default() });
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn remove_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        let call = self.client.remove_network(&network.0);
        self.find_by("remove a network", SLOW, call).await.map(|_| ())
    }

    /// This runner's networks with a label, given as `name` or `name=value`.
    async fn list_networks(&self, runner: &str, label: &str) -> Result<Vec<Network>, EngineError> {
        let labels = vec![format!("{LABEL_RUNNER}={runner}"), label.to_owned()];
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        self.call("list networks", QUICK, self.client.list_networks(Some(options))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_for_a_want_of_addresses_are_known() {
        assert!(lacks_addresses(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
        ));
        assert!(lacks_addresses("Pool overlaps with other one on this address space"));
        assert!(!lacks_addresses("network with name x already exists"));
    }

    #[test]
    fn own_subnets_are_in_the_reserved_range() {
        for _ in 0..1_000 {
            let subnet = own_subnet();
            let (address, bits) = subnet.split_once('/').unwrap();
            let address: std::net::Ipv4Addr = address.parse().unwrap();
            assert_eq!(bits, "27");
            assert_eq!(address.to_bits() >> 17, u32::from_be_bytes([198, 18, 0, 0]) >> 17, "{subnet}");
            assert_eq!(address.to_bits() & 31, 0, "{subnet}");
        }
    }

    #[test]
    fn a_kept_network_is_idle_or_taken_never_both() {
        let mut book = NetworkBook::new();
        let taker = |name: &str| (name.to_owned(), AttemptId::new());
        let network = NetworkId("a".to_owned());
        assert!(book.put(&network) && book.put(&network));
        let one = taker("r");
        assert_eq!(book.take(one.clone()), Some(network.clone()));
        assert_eq!(book.take(taker("r")), None);
        // An attempt of an earlier process gives it back: it is taken by another, and stays so.
        assert!(book.put(&network));
        assert_eq!(book.take(taker("r")), None);
        book.taken.remove(&one);
        assert!(book.put(&network));
        assert!(!book.put(&NetworkId("b".to_owned())), "one is kept, not more");
    }
}
