//! Address arithmetic on CIDR prefixes, IPv4 and IPv6.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use num_bigint::BigInt;

use super::{Call, Outcome, Problem, bad, failed, functions, int_at, num_at, str_at};
use crate::value::Value;

functions! {
    cidrhost(prefix: Str, hostnum: Num) "The address of a host by its number in a network; below 0 counts from the end." = cidrhost;
    cidrnetmask(prefix: Str) "The mask of an IPv4 network." = |a, _| {
        let net = Prefix::at(a, 0)?;
        if net.bits != 32 {
            return Err(bad(0, "only IPv4 networks have a netmask"));
        }
        Ok(Value::str(net.address_of(net.mask()).to_string()))
    };
    cidrsubnet(prefix: Str, newbits: Num, netnum: Num) "The subnet with that number, its prefix longer by so many bits." = cidrsubnet;
    cidrsubnets(prefix: Str .. newbits: Num) "Subnets one after the other, each with a prefix longer by so many bits." = cidrsubnets;
}

/// A network: its address as a number, how many bits are the network's, how many an address has.
struct Prefix {
    address: u128,
    length: u32,
    bits: u32,
}

impl Prefix {
    fn at(args: &[Value], index: usize) -> Result<Prefix, Problem> {
        let text = str_at(args, index);
        let invalid = || bad(index, format!("invalid CIDR expression: {text}"));
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let length: u32 = length.parse().map_err(|_| invalid())?;
        let (address, bits) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        if length > bits {
            return Err(invalid());
        }
        let mut prefix = Prefix { address, length, bits };
        prefix.address &= prefix.mask();
        Ok(prefix)
    }

    fn mask(&self) -> u128 {
        let all = if self.bits == 128 { u128::MAX } else { u128::from(u32::MAX) };
        all & !self.host_mask()
    }

    fn host_mask(&self) -> u128 {
        match self.bits - self.length {
            128 => u128::MAX,
            n => (1 << n) - 1,
        }
    }

    fn address_of(&self, number: u128) -> IpAddr {
        if self.bits == 32 { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
    }

    fn text(&self) -> String {
        format!("{}/{}", self.address_of(self.address), self.length)
    }

    /// The subnet `number` among those of a prefix `new_bits` longer.
    fn subnet(&self, new_bits: i64, number: &BigInt) -> Result<Prefix, Problem> {
        let length = i64::from(self.length) + new_bits;
        if new_bits < 0 || length > i64::from(self.bits) {
            let (have, most) = (self.length, self.bits);
            return Err(bad(
                1,
                format!("a prefix of {have} bits cannot be extended by {new_bits}: an address has {most}"),
            ));
        }
        let number = u128::try_from(number).ok().filter(|n| new_bits == 128 || *n >> new_bits == 0);
        let number = number
            .ok_or_else(|| bad(2, format!("a prefix extended by {new_bits} bits has no subnet of that number")))?;
        let shift = self.bits - length as u32;
        let address = self.address | number.checked_shl(shift).unwrap_or(0);
        Ok(Prefix { address, length: length as u32, bits: self.bits })
    }
}

fn cidrhost(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let prefix = Prefix::at(args, 0)?;
    let number = num_at(args, 1).to_big().ok_or_else(|| bad(1, "a whole number is required"))?;
    let hosts = BigInt::from(prefix.host_mask()) + 1;
    let number = if number < BigInt::ZERO { number + &hosts } else { number };
    if number < BigInt::ZERO || number >= hosts {
        return Err(bad(1, format!("prefix of {} does not accommodate a host of that number", prefix.length)));
    }
    let host = u128::try_from(&number).map_err(|_| bad(1, "the number is too large"))?;
    Ok(Value::str(prefix.address_of(prefix.address | host).to_string()))
}

fn cidrsubnet(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let prefix = Prefix::at(args, 0)?;
    let number = num_at(args, 2).to_big().ok_or_else(|| bad(2, "a whole number is required"))?;
    Ok(Value::str(prefix.subnet(int_at(args, 1)?, &number)?.text()))
}

fn cidrsubnets(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let prefix = Prefix::at(args, 0)?;
    let end = prefix.address | prefix.host_mask();
    let mut next = Some(prefix.address);
    let mut subnets = Vec::new();
    for index in 1..args.len() {
        let bits = int_at(args, index)?;
        if bits < 1 {
            return Err(bad(index, "must extend prefix by at least one bit"));
        }
        let mut subnet = prefix.subnet(bits, &BigInt::ZERO).map_err(|p| bad(index, p.message))?;
        // The first place at or after `next` where a subnet of this size may begin.
        let size = subnet.host_mask();
        let start = next.and_then(|n| n.checked_add(size)).map(|n| n & !size).filter(|s| *s <= end);
        let start = start.ok_or_else(|| failed("not enough remaining address space for the subnets"))?;
        subnet.address = start;
        next = start.checked_add(size).and_then(|n| n.checked_add(1));
        subnets.push(Value::str(subnet.text()));
    }
    Ok(Value::list(subnets))
}
