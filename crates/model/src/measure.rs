//! Amounts with a unit, such as `16 GiB`: what attributes of devices are.

/// A number in the basic unit of its family: bytes, bytes a second, hertz or watts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    pub amount: f64,
    pub family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Bytes,
    Rate,
    Hertz,
    Watts,
}

/// The families' basic units, and what stands before them.
const FAMILIES: [(&str, Family); 4] =
    [("B/s", Family::Rate), ("B", Family::Bytes), ("Hz", Family::Hertz), ("W", Family::Watts)];
const PREFIXES: [(&str, f64); 14] = [
    ("", 1.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// Number and unit of a text such as `16 GiB` or `250W`; the unit of a plain number is empty. `None`: it begins with no number.
pub fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

/// What a unit stands for: its family, and how much of the basic unit. `None`: it is none that is known.
pub fn unit(unit: &str) -> Option<(Family, f64)> {
    let (prefix, family) = FAMILIES.iter().find_map(|(basic, family)| Some((unit.strip_suffix(basic)?, *family)))?;
    let (_, factor) = PREFIXES.iter().find(|(name, _)| *name == prefix)?;
    // Nobody has thousandths of a byte.
    (prefix != "m" || family == Family::Watts).then_some((family, *factor))
}

/// The amount that a text says, where it has a unit that is known.
pub fn parse(text: &str) -> Option<Measure> {
    let (number, named) = split(text)?;
    let (family, factor) = unit(named)?;
    Some(Measure { amount: number * factor, family })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_compared_by_what_they_are() {
        let of = |text| parse(text).map(|m| (m.amount, m.family));
        assert_eq!(of("16 GiB"), Some((17_179_869_184.0, Family::Bytes)));
        assert_eq!(of("2kB"), Some((2000.0, Family::Bytes)));
        assert_eq!(of("1.5 GHz"), Some((1.5e9, Family::Hertz)));
        assert_eq!(of("250W"), Some((250.0, Family::Watts)));
        assert_eq!(of("500 mW"), Some((0.5, Family::Watts)));
        assert_eq!(of("12 MB/s"), Some((12e6, Family::Rate)));
        for odd in ["", "16", "16 apples", "GiB", "16 mB", "1.2.3 GiB", "sixteen GiB"] {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_eq!(split("-4"), Some((-4.0, "")));
        assert_eq!(split("8 cores"), Some((8.0, "cores")));
    }
}
