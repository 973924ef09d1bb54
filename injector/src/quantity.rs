//! Kubernetes resource quantities: `50m`, `1.5`, `128Mi`, `1e3`.

use std::cmp::Ordering;

/// A quantity, exact to the nano unit; it remembers how it was written.
///
/// Grammar: `resource.Quantity` of the Kubernetes API. Finer than a nano unit rounds up, as there.
///
/// ```
/// use injector::quantity::Quantity;
/// assert!(Quantity::parse("1Gi").unwrap() > Quantity::parse("1G").unwrap());
/// assert_eq!(Quantity::parse("0.5").unwrap(), Quantity::parse("500m").unwrap());
/// assert!(Quantity::parse("50 m").is_none());
/// ```
#[derive(Debug, Clone)]
pub struct Quantity {
    nanos: i128,
    text: String,
}

impl Quantity {
    /// Reads a quantity; `None` where Kubernetes would refuse it.
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // 18 digits each keep every product below inside an i128.
        if (whole.is_empty() && fraction.is_empty())
            || fraction.contains('.')
            || whole.len() > 18
            || fraction.len() > 18
        {
            return None;
        }
        let (numerator, denominator) = scale(suffix)?;
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let divisor =
            10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(denominator)?;
        let scaled = mantissa.checked_mul(numerator)?;
        let nanos = scaled.checked_mul(1_000_000_000).map_or_else(
            || (scaled / divisor).checked_mul(1_000_000_000),
            |n| Some(n / divisor + i128::from(n % divisor != 0)),
        )?;
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        Some(Self { nanos, text: text.to_owned() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Below zero: no request or limit may be.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }
}

/// The factor of a suffix, as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|e| !e.is_empty()) {
        let exponent: i32 = exponent.parse().ok()?;
        let power =
            10_i128.checked_pow(exponent.unsigned_abs()).filter(|_| exponent.abs() <= 18)?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return None,
    })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn reads_what_kubernetes_reads() {
        let same = [
            ("1", "1000m"),
            ("1Ki", "1024"),
            ("1k", "1e3"),
            (".5", "500m"),
            ("5.", "5"),
            ("1E", "1e18"),
            ("1.5Gi", "1536Mi"),
            ("100n", "0.1u"),
            ("+7", "7"),
            ("12e-1", "1200m"),
            ("0.0000000001", "1n"),
        ];
        for (a, b) in same {
            assert_eq!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
            assert!(Quantity::parse(a).is_some(), "{a}");
        }
    }

    #[test]
    fn refuses_what_kubernetes_refuses() {
        for bad in [
            "", ".", "m", "1 Mi", "1mi", "1KI", "1.2.3", "0x10", "ten", "1e", "1e1.5", "--1",
            "1Mb", "½",
        ] {
            let quantity = Quantity::parse(bad);
            // `1e` alone is no exponent and no suffix.
            assert!(quantity.is_none(), "{bad}: {quantity:?}");
        }
        assert!(Quantity::parse("-1").is_some_and(|q| q.is_negative()));
    }
}
