//! Manifests with something cut out, doubled or put in: whatever is left of them, it is refused or
//! it keeps the laws.

use injector::manifest;
use proptest::prelude::*;

use crate::{corpus, laws};

/// What breaks or bends a manifest.
const PIECES: [&str; 24] = [
    "\n", "  ", " ", "\t", "- ", ":", ": ", "# x", " #", "{", "}", "[", "]", ",", "&a ", "*a",
    "!t ", "|\n", "'", "\"", "---\n", "...\n", "\r", "? ",
];

#[derive(Debug, Clone)]
enum Damage {
    Cut(usize, usize),
    Put(usize, &'static str),
    Double(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<u16>().prop_map(usize::from);
    prop_oneof![
        (place.clone(), 1..12_usize).prop_map(|(at, length)| Damage::Cut(at, length)),
        (place.clone(), prop::sample::select(PIECES.to_vec()))
            .prop_map(|(at, p)| Damage::Put(at, p)),
        (place, 1..40_usize).prop_map(|(at, length)| Damage::Double(at, length)),
    ]
}

fn damaged(mut text: String, damages: &[Damage]) -> String {
    for damage in damages {
        let place = |at: usize| text.floor_char_boundary(at % (text.len() + 1));
        match *damage {
            Damage::Cut(at, length) => {
                let from = place(at);
                let to = text.ceil_char_boundary((from + length).min(text.len()));
                text.replace_range(from..to, "");
            }
            Damage::Put(at, piece) => text.insert_str(place(at), piece),
            Damage::Double(at, length) => {
                let from = place(at);
                let to = text.ceil_char_boundary((from + length).min(text.len()));
                let piece = text[from..to].to_owned();
                text.insert_str(from, &piece);
            }
        }
    }
    text
}

fn manifests() -> Vec<String> {
    let small = |(_, text): &(String, String)| text.len() < 1500;
    corpus::texts("edited").filter(small).map(|(_, text)| text).collect()
}

proptest! {
    #[test]
    fn a_damaged_manifest_is_refused_or_keeps_the_laws(
        text in prop::sample::select(manifests()),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let text = damaged(text, &damages);
        let settings = laws::settings();
        if let Ok(once) = manifest::inject(&text, &settings) {
            let twice = manifest::inject(&once.text, &settings);
            prop_assert_eq!(twice.map(|e| e.text), Ok(once.text.clone()));
            if laws::injected(&once) > 0 {
                let back = manifest::uninject(&once.text, &settings);
                prop_assert_eq!(back.map(|e| e.text), Ok(text));
            }
        }
    }
}
