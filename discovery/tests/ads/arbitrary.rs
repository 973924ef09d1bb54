//! Whatever comes, nothing panics.

use std::path::Path;

use discovery::ads::Kind;
use discovery::ads::translate::Resource;
use proptest::prelude::*;
use prost::Message;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

fn read(kind: Kind, bytes: &[u8]) {
    let _ = Resource::read(kind.type_url(), bytes);
}

/// Resources as istiod sends them, by kind.
fn recorded() -> Vec<(Kind, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/istiod");
    let mut all = Vec::new();
    for (case, file) in [
        ("http_proxy", "cds-00.pb"),
        ("http_proxy", "eds-00.pb"),
        ("http_proxy", "rds-00.pb"),
        ("k8s-delta", "cds-00.pb"),
        ("k8s-delta", "rds-00.pb"),
    ] {
        let bytes = std::fs::read(root.join(case).join(file)).unwrap();
        let anys = if case.ends_with("delta") {
            let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
            response.resources.into_iter().filter_map(|it| it.resource).collect()
        } else {
            DiscoveryResponse::decode(bytes.as_slice()).unwrap().resources
        };
        for any in anys {
            all.push((Kind::of_type_url(&any.type_url).unwrap(), any.value));
        }
    }
    all
}

/// What the fuzz target has found, and a few beginnings for it.
#[test]
fn the_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/resource");
    let mut files = 0;
    for file in std::fs::read_dir(root).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for kind in Kind::ALL {
            read(kind, &bytes);
            read(kind, bytes.get(1..).unwrap_or_default());
        }
        files += 1;
    }
    assert!(files > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in Kind::ALL {
            read(kind, &bytes);
        }
    }

    #[test]
    fn real_resources_with_a_few_bytes_changed(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local!(static RECORDED: Vec<(Kind, Vec<u8>)> = recorded());
        RECORDED.with(|recorded| {
            let (kind, bytes) = &recorded[which.index(recorded.len())];
            let mut bytes = bytes.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            read(*kind, &bytes);
        });
    }
}
