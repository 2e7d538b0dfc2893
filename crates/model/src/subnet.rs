//! A range of addresses such as `172.26.64.0/20`, and the addresses in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses by its first one and the bits that all of them share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    first: IpAddr,
    bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    #[error("{0:?} is no range of addresses: one looks like \"172.26.64.0/20\"")]
    Form(String),
    #[error("{0:?} leaves no room: at most {1} bits may be fixed, for this host and one more address")]
    Small(String, u8),
}

impl Subnet {
    /// Bits of an address of its family.
    fn width(self) -> u8 {
        if self.first.is_ipv4() { 32 } else { 128 }
    }

    pub fn bits(self) -> u8 {
        self.bits
    }

    pub fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }

    /// The address `offset` places behind the range's own; `None` outside of it.
    pub fn at(self, offset: u128) -> Option<IpAddr> {
        let room = u32::from(self.width() - self.bits);
        if room < 128 && offset >> room != 0 {
            return None;
        }
        Some(match self.first {
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + offset as u32).into(),
            IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + offset).into(),
        })
    }

    /// The address of the host in it: the first behind the range's own.
    pub fn gateway(self) -> IpAddr {
        self.at(1).expect("a subnet of its own has room for two addresses")
    }

    /// How many addresses others may have: without the range's own, the host's and (IPv4) the last, which is for all.
    pub fn room(self) -> u128 {
        let all = 1u128.checked_shl(u32::from(self.width() - self.bits)).unwrap_or(u128::MAX);
        all.saturating_sub(if self.is_ipv4() { 3 } else { 2 })
    }

    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && masked(address, self.bits) == self.first
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    /// Any address of the range stands for its first. There is room for a host and at least one more address.
    fn from_str(text: &str) -> Result<Subnet, SubnetError> {
        let form = || SubnetError::Form(text.to_owned());
        let (address, bits) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let bits: u8 = bits.parse().map_err(|_| form())?;
        let (width, most) = if address.is_ipv4() { (32, 30) } else { (128, 126) };
        if bits > width {
            return Err(form());
        }
        if bits > most {
            return Err(SubnetError::Small(text.to_owned(), most));
        }
        Ok(Subnet { first: masked(address, bits), bits })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect("a range")
    }

    #[test]
    fn what_is_in_a_range() {
        let of = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (range, shown, gateway, room) in [
            ("172.26.64.0/20", "172.26.64.0/20", "172.26.64.1", 4093),
            ("10.1.2.3/30", "10.1.2.0/30", "10.1.2.1", 1),
            ("fd00:a::9/64", "fd00:a::/64", "fd00:a::1", (1u128 << 64) - 2),
            ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.1", (1u128 << 32) - 3),
        ] {
            let subnet = subnet(range);
            assert_eq!((subnet.to_string().as_str(), subnet.gateway(), subnet.room()), (shown, of(gateway), room));
        }
        let own = subnet("172.26.64.0/20");
        for (address, inside) in
            [("172.26.79.255", true), ("172.26.80.0", false), ("172.26.63.255", false), ("::1", false)]
        {
            assert_eq!(own.contains(of(address)), inside, "{address}");
        }
        assert_eq!((own.at(4095), own.at(4096)), (Some(of("172.26.79.255")), None));
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, why) in [
            ("172.26.64.0", "no range"),
            ("x/20", "no range"),
            ("10.0.0.0/33", "no range"),
            ("10.0.0.0/31", "leaves no room: at most 30"),
            ("fd00::/127", "leaves no room: at most 126"),
        ] {
            let said = text.parse::<Subnet>().expect_err("must fail").to_string();
            assert!(said.contains(why) && said.contains(text), "{said}");
        }
    }
}
