//! What a record takes: the length of its text, which stands for the memory that holds it.

use serde::Serialize;

/// The length of `record` on the wire, in bytes.
pub(super) fn of(record: &impl Serialize) -> usize {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, record).expect("a record of texts and numbers");
    length.0
}

/// By how much something grew.
pub(super) fn difference(before: usize, after: usize) -> isize {
    after.cast_signed() - before.cast_signed()
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
