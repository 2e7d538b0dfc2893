//! Numbers.

use num_bigint::BigInt;

use super::{Call, Outcome, bad, failed, functions, int_at, num_at, str_at};
use crate::number::Number;
use crate::value::Value;

functions! {
    abs(num: Num) "The number without its sign." = |a, _| {
        let n = num_at(a, 0);
        Ok(Value::Number(if n.is_negative() { n.negate() } else { n }))
    };
    ceil(num: Num) "The nearest whole number not below it." = |a, _| Ok(Value::Number(num_at(a, 0).ceil()));
    floor(num: Num) "The nearest whole number not above it." = |a, _| Ok(Value::Number(num_at(a, 0).floor()));
    log(num: Num, base: Num) "The logarithm of a number to a base." = |a, _| {
        float(num_at(a, 0).to_f64().ln() / num_at(a, 1).to_f64().ln())
    };
    max(.. numbers: Num) "The largest of its arguments." = |a, c| extreme(a, c, true);
    min(.. numbers: Num) "The smallest of its arguments." = |a, c| extreme(a, c, false);
    parseint(number: Str, base: Num) "Reads text as a whole number written to a base from 2 to 62." = parseint;
    pow(num: Num, power: Num) "The number raised to a power." = |a, _| {
        float(num_at(a, 0).to_f64().powf(num_at(a, 1).to_f64()))
    };
    signum(num: Num) "-1, 0 or 1 by the sign of the number." = |a, _| {
        let n = num_at(a, 0);
        Ok(Value::int(if n.is_negative() { -1 } else { i64::from(!n.is_zero()) }))
    };
}

/// Logarithms and powers are computed in double precision, and have no more digits than that; what is off by rounding alone
/// is made whole again.
fn float(value: f64) -> Outcome {
    let near = value.round();
    let value = if (value - near).abs() < 1e-12 * near.abs().max(1.0) { near } else { value };
    Number::parse(&value.to_string()).map(Value::Number).ok_or_else(|| failed("the result is not a number"))
}

fn extreme(args: &[Value], _: &mut Call<'_>, largest: bool) -> Outcome {
    let numbers = (0..args.len()).map(|i| num_at(args, i));
    let found = if largest { numbers.max() } else { numbers.min() };
    found.map(Value::Number).ok_or_else(|| failed("must pass at least one number"))
}

fn parseint(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let base = int_at(args, 1)?;
    if !(2..=62).contains(&base) {
        return Err(bad(1, "base must be a whole number between 2 and 62 inclusive"));
    }
    let text = str_at(args, 0);
    let invalid = || bad(0, format!("cannot parse {text:?} as a base {base} integer"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.len() > 4096 {
        return Err(invalid());
    }
    call.budget.spend(digits.len() as u64)?;
    let mut value = BigInt::ZERO;
    for c in digits.bytes() {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'z' => c - b'a' + 10,
            b'A'..=b'Z' if base <= 36 => c - b'A' + 10,
            b'A'..=b'Z' => c - b'A' + 36,
            _ => return Err(invalid()),
        };
        if i64::from(digit) >= base {
            return Err(invalid());
        }
        value = value * base + digit;
    }
    let value = if negative { -value } else { value };
    Number::from_big(value).map(Value::Number).ok_or_else(invalid)
}
