//! Whatever bytes a control plane sends, reading them as a resource does not panic. The first byte
//! says of which kind. `tests/ads/arbitrary.rs` reads the corpus in every test run.

#![no_main]

use discovery::ads::Kind;
use discovery::ads::translate::Resource;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        let kind = Kind::ALL[usize::from(*first) % Kind::ALL.len()];
        let _ = Resource::read(kind.type_url(), rest);
    }
});
