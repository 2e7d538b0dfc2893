//! Which address an allocation gets. Pure: what is taken is told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tarpan_model::subnet::Subnet;

/// More addresses than a bridge has ports.
const LOOKED_AT: u128 = 1 << 20;

/// A free address of `subnet`, the first behind the place `from`: one that was given back rests until the others were given
/// out, as caches of neighbours may still lead to who had it. `None`: all are taken.
pub fn choose(subnet: Subnet, taken: &BTreeSet<IpAddr>, from: u128) -> Option<(IpAddr, u128)> {
    let room = subnet.room();
    let places = (0..room.min(LOOKED_AT)).map(|step| (from % room + step) % room);
    // Behind the range's own address and the host's.
    let addresses = places.filter_map(|place| Some((subnet.at(place + 2)?, place + 1)));
    addresses.into_iter().find(|(address, _)| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_and_none_is_given_twice() {
        let subnet: Subnet = "10.0.0.0/29".parse().expect("a range");
        let (mut taken, mut from, mut given) = (BTreeSet::new(), 3, Vec::new());
        while let Some((address, next)) = choose(subnet, &taken, from) {
            given.push(address.to_string());
            taken.insert(address);
            from = next;
        }
        assert_eq!(given, ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        taken.remove(&"10.0.0.3".parse().expect("an address"));
        assert_eq!(choose(subnet, &taken, from).map(|(a, _)| a.to_string()).as_deref(), Some("10.0.0.3"));
    }

    #[test]
    fn a_large_range_is_no_trouble() {
        let subnet: Subnet = "fd00:a::/64".parse().expect("a range");
        let (address, _) = choose(subnet, &BTreeSet::new(), u128::from(u64::MAX)).expect("room");
        assert!(subnet.contains(address) && address != subnet.gateway(), "{address}");
    }
}
