//! The names of traces and spans: hexadecimal numbers that are not zero.

use std::fmt;
use std::num::NonZeroU64;

/// Names a trace. Of 128 bits; B3 also knows ids of 64, whose upper half is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId {
    high: u64,
    low: u64,
}

/// Names a span within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    pub(super) const SMALLEST: Self = Self { high: 0, low: 1 };

    /// The id of two halves. `None`: zero is none.
    pub fn new(high: u64, low: u64) -> Option<Self> {
        (high | low != 0).then_some(Self { high, low })
    }

    /// Reads 16 or 32 digits, of any case.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (high, low) = match text.len() {
            16 => (0, number(text)?),
            32 => (number(&text[..16])?, number(&text[16..])?),
            _ => return None,
        };
        Self::new(high, low)
    }

    /// Whether 64 bits are enough for it.
    pub(super) fn is_short(self) -> bool {
        self.high == 0
    }

    /// The lower half, by which it is decided whether its spans are collected: that half is random
    /// whoever made it.
    pub fn low(self) -> u64 {
        self.low
    }

    /// The sixteen bytes that it is in binary formats.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    /// All 32 digits.
    pub(super) fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        digits[..16].copy_from_slice(&hexadecimal(self.high));
        digits[16..].copy_from_slice(&hexadecimal(self.low));
        digits
    }
}

/// As B3 has it: 16 digits where they are enough.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_short() {
            write!(f, "{:016x}", self.high)?;
        }
        write!(f, "{:016x}", self.low)
    }
}

impl SpanId {
    pub(super) const SMALLEST: Self = Self(NonZeroU64::MIN);

    /// The id of a number. `None`: zero is none.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Reads 16 digits, of any case.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.len() == 16 { Self::new(number(text)?) } else { None }
    }

    /// The eight bytes that it is in binary formats.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }

    pub(super) fn digits(self) -> [u8; 16] {
        hexadecimal(self.0.get())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The number of at most 16 digits.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u64::from(value))
    })
}

fn hexadecimal(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    for (at, byte) in number.to_be_bytes().into_iter().enumerate() {
        text[2 * at] = DIGITS[usize::from(byte >> 4)];
        text[2 * at + 1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
