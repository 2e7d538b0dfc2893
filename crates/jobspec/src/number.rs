//! Numbers of the language: binary floats of 512 bits, exact for every integer and every sum a jobspec holds.
//!
//! Whole numbers that fit stay machine integers. Text is the shortest that reads back as the same number.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};

/// Bits of the significand, rounded half to even.
const PRECISION: u64 = 512;
/// Powers of two beyond this are refused, so that no operation can grow without bound. Every double fits, as does 1e600.
const MAX_EXPONENT: i64 = 2_200;
/// Powers of ten beyond this are out of range.
const MAX_TENS: u64 = 700;
/// A double written out has up to 1,100 digits.
const MAX_DIGITS: usize = 2_000;

/// A number. Equal numbers have equal representations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    Int(i64),
    /// `significand * 2^exponent`, the significand odd, the value no `i64`.
    Big {
        significand: BigInt,
        exponent: i64,
    },
}

impl From<i64> for Number {
    fn from(v: i64) -> Number {
        Number(Repr::Int(v))
    }
}

impl From<usize> for Number {
    fn from(v: usize) -> Number {
        Number(Repr::Int(v as i64))
    }
}

impl Number {
    pub const ZERO: Number = Number(Repr::Int(0));

    /// Decimal text: digits, a fraction, an exponent of ten, a sign. `None` for other text and for what is out of range.
    pub fn parse(text: &str) -> Option<Number> {
        if let Ok(int) = text.parse::<i64>() {
            return Some(Number(Repr::Int(int)));
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i64>().ok().filter(|e| e.unsigned_abs() <= MAX_TENS)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
        if unsigned.is_empty() || unsigned.len() > MAX_DIGITS || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let value: BigInt = digits.parse().ok()?;
        let tens = exponent - fraction.len() as i64;
        let power = BigInt::from(10).pow(u32::try_from(tens.unsigned_abs()).ok()?);
        if tens >= 0 { Number::rounded(value * power, 0, false) } else { Number::ratio(&value, &power) }
    }

    /// Bytes outside of the number itself.
    pub fn weight(&self) -> u64 {
        match &self.0 {
            Repr::Int(_) => 0,
            Repr::Big { exponent, .. } => 96 + exponent.unsigned_abs() / 8,
        }
    }

    /// Steps of work that writing it as text takes.
    pub fn text_steps(&self) -> u64 {
        match &self.0 {
            Repr::Int(_) => 1,
            Repr::Big { exponent, .. } => 16 + exponent.unsigned_abs() / 4,
        }
    }

    pub fn from_big(value: BigInt) -> Option<Number> {
        Number::rounded(value, 0, false)
    }

    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(v) => *v as f64,
            Repr::Big { .. } => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// The value when it is whole and fits.
    pub fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(v) => Some(v),
            Repr::Big { .. } => None,
        }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.0, Repr::Int(_) | Repr::Big { exponent: 0.., .. })
    }

    /// The value when it is whole.
    pub fn to_big(&self) -> Option<BigInt> {
        match &self.0 {
            Repr::Int(v) => Some(BigInt::from(*v)),
            Repr::Big { significand, exponent } if *exponent >= 0 => Some(significand << *exponent),
            Repr::Big { .. } => None,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.0 == Repr::Int(0)
    }
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Int(v) => *v < 0,
            Repr::Big { significand, .. } => significand.sign() == Sign::Minus,
        }
    }

    pub fn negate(&self) -> Number {
        match &self.0 {
            Repr::Int(v) if *v != i64::MIN => Number(Repr::Int(-v)),
            _ => {
                let (significand, exponent) = self.parts();
                Number::rounded(-significand, exponent, false).expect("the same size as before")
            }
        }
    }

    /// Sum; `None` when out of range, here and below.
    pub fn add(&self, other: &Number) -> Option<Number> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(sum) = a.checked_add(*b)
        {
            return Some(Number(Repr::Int(sum)));
        }
        let (a, b, exponent) = Number::aligned(self, other);
        Number::rounded(a + b, exponent, false)
    }

    pub fn subtract(&self, other: &Number) -> Option<Number> {
        self.add(&other.negate())
    }

    pub fn multiply(&self, other: &Number) -> Option<Number> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(product) = a.checked_mul(*b)
        {
            return Some(Number(Repr::Int(product)));
        }
        let ((a, ea), (b, eb)) = (self.parts(), other.parts());
        Number::rounded(a * b, ea + eb, false)
    }

    /// `None` for a divisor of zero, too.
    pub fn divide(&self, other: &Number) -> Option<Number> {
        if other.is_zero() {
            return None;
        }
        let (a, b, _) = Number::aligned(self, other);
        Number::ratio(&a, &b)
    }

    /// What is left of a division that cuts towards zero. `None` for a divisor of zero, too.
    pub fn modulo(&self, other: &Number) -> Option<Number> {
        if other.is_zero() {
            return None;
        }
        let (a, b, exponent) = Number::aligned(self, other);
        Number::rounded(a % b, exponent, false)
    }

    /// The largest whole number not above it.
    pub fn floor(&self) -> Number {
        match &self.0 {
            Repr::Big { significand, exponent } if *exponent < 0 => {
                Number::rounded(significand >> -*exponent, 0, false).expect("smaller than before")
            }
            _ => self.clone(),
        }
    }

    pub fn ceil(&self) -> Number {
        self.negate().floor().negate()
    }

    /// The whole part, cut towards zero.
    pub fn truncate(&self) -> Number {
        if self.is_negative() { self.ceil() } else { self.floor() }
    }

    /// With `digits` decimals, rounded half to even on the exact value.
    pub fn fixed(&self, digits: usize) -> String {
        let (significand, exponent) = self.parts();
        let ten = BigInt::from(10).pow(digits as u32);
        let scaled = significand * ten;
        let rounded = if exponent >= 0 { scaled << exponent } else { divide_rounding(&scaled, -exponent) };
        point(&rounded, digits)
    }

    fn parts(&self) -> (BigInt, i64) {
        match &self.0 {
            Repr::Int(v) => (BigInt::from(*v), 0),
            Repr::Big { significand, exponent } => (significand.clone(), *exponent),
        }
    }

    /// Both significands at one exponent.
    fn aligned(a: &Number, b: &Number) -> (BigInt, BigInt, i64) {
        let ((a, ea), (b, eb)) = (a.parts(), b.parts());
        let exponent = ea.min(eb);
        (a << (ea - exponent), b << (eb - exponent), exponent)
    }

    fn ratio(a: &BigInt, b: &BigInt) -> Option<Number> {
        let shift = (PRECISION as i64 + 2 - (a.bits() as i64 - b.bits() as i64)).max(0);
        let shifted = a << shift;
        let quotient = &shifted / b;
        let exact = &quotient * b == shifted;
        Number::rounded(quotient, -shift, !exact)
    }

    /// Rounds to the precision; `sticky` says that the true value lies a little beyond `significand`, away from zero.
    fn rounded(significand: BigInt, exponent: i64, sticky: bool) -> Option<Number> {
        let (sign, mut magnitude) = significand.into_parts();
        let mut exponent = exponent;
        let excess = magnitude.bits().saturating_sub(PRECISION);
        if excess > 0 {
            let half = magnitude.bit(excess - 1);
            let rest = sticky || magnitude.trailing_zeros().unwrap_or(0) < excess - 1;
            magnitude >>= excess;
            if half && (rest || magnitude.bit(0)) {
                magnitude += 1_u32;
            }
            exponent += excess as i64;
        }
        let zeros = magnitude.trailing_zeros().unwrap_or(0);
        magnitude >>= zeros;
        exponent += zeros as i64;
        if magnitude.bits() == 0 {
            return Some(Number::ZERO);
        }
        if exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let value = BigInt::from_biguint(sign, magnitude);
        if exponent >= 0
            && value.bits() + exponent as u64 <= 64
            && let Ok(int) = i64::try_from(&value << exponent)
        {
            return Some(Number(Repr::Int(int)));
        }
        Some(Number(Repr::Big { significand: value, exponent }))
    }
}

/// `value / 2^bits`, rounded half to even.
fn divide_rounding(value: &BigInt, bits: i64) -> BigInt {
    let (sign, magnitude) = value.clone().into_parts();
    let mut quotient = &magnitude >> bits;
    let rest = &magnitude - (&quotient << bits);
    let half = num_bigint::BigUint::from(1_u32) << (bits - 1);
    if rest > half || (rest == half && quotient.bit(0)) {
        quotient += 1_u32;
    }
    BigInt::from_biguint(if quotient.bits() == 0 { Sign::NoSign } else { sign }, quotient)
}

/// The text of `value / 10^decimals`.
fn point(value: &BigInt, decimals: usize) -> String {
    let digits = value.magnitude().to_string();
    let sign = if value.sign() == Sign::Minus { "-" } else { "" };
    if decimals == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    format!("{sign}{whole}.{fraction}")
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        let (a, b, _) = Number::aligned(self, other);
        a.cmp(&b)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(v) => write!(f, "{v}"),
            Repr::Big { significand, exponent } if *exponent >= 0 => write!(f, "{}", significand << *exponent),
            Repr::Big { significand, exponent } => f.write_str(&shortest(significand, -exponent)),
        }
    }
}

/// The shortest decimal that lies nearer to `significand / 2^bits` than to any neighbour of the same precision.
fn shortest(significand: &BigInt, bits: i64) -> String {
    let spare = PRECISION as i64 - significand.bits() as i64;
    let fits = |decimals: u32| {
        let ten = BigInt::from(10).pow(decimals);
        let rounded = divide_rounding(&(significand * &ten), bits);
        let miss = (&rounded << bits) - significand * &ten;
        (BigInt::from_biguint(Sign::Plus, miss.magnitude().clone()) << (spare + 1) <= ten).then_some(rounded)
    };
    // Exactly `bits` decimals always fit; more digits never hurt, so the least number is found by halving.
    let (mut low, mut high) = (0_u32, bits as u32);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle).is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    point(&fits(low).expect("the exact decimal fits"), low as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        Number::parse(text).expect(text)
    }

    #[test]
    fn decimal_text_reads_and_prints() {
        for (text, shown) in [
            ("007", "7"),
            ("1.0", "1"),
            ("0.50", "0.5"),
            ("1e10", "10000000000"),
            ("1.5e3", "1500"),
            ("-4", "-4"),
            ("1234567890123456789", "1234567890123456789"),
            ("92233720368547758070.25", "92233720368547758070.25"),
            ("3.14159", "3.14159"),
            ("1e-7", "0.0000001"),
        ] {
            assert_eq!(n(text).to_string(), shown, "{text}");
        }
        for text in ["", "abc", "1.2.3", "1e99999", "--1", "0x10", "."] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sums_are_exact_where_floats_are_not() {
        assert_eq!(n("0.1").add(&n("0.2")).unwrap().to_string(), "0.3");
        assert_eq!(n("10").divide(&n("4")), Some(n("2.5")));
        let third = n("10").divide(&n("3")).unwrap().to_string();
        assert!(third.starts_with("3.33333333") && third.len() > 150, "{third}");
        assert_eq!(n("9223372036854775807").add(&n("1")).unwrap().to_string(), "9223372036854775808");
        assert_eq!(n("5").modulo(&n("3")), Some(n("2")));
        assert_eq!(n("-7.5").modulo(&n("2")), Some(n("-1.5")));
        assert_eq!(n("1").divide(&n("0")), None);
    }

    #[test]
    fn rounding() {
        assert_eq!((n("4.1").ceil(), n("-4.1").floor(), n("128.9").floor()), (n("5"), n("-5"), n("128")));
        assert_eq!(n("3.14159").fixed(2), "3.14");
        assert_eq!(n("-0.004").fixed(2), "0.00");
        assert_eq!(n("2").fixed(3), "2.000");
        assert!(n("0.1") < n("0.2") && n("1e30") > n("5"));
        assert_eq!(n("2.5").to_f64(), 2.5);
    }
}
