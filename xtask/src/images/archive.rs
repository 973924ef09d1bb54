//! The archive of an image: an OCI image layout, and beside it the `manifest.json` by which older
//! readers (`docker load`, containerd before 1.7) find the same blobs.
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layer::Layer;

/// Since when everything is there: a time that is the same for everybody.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes it.
pub(super) struct Archive {
    blobs: Vec<(String, Vec<u8>)>,
}

impl Archive {
    /// The archive of `reference` (`NAME:TAG`), of one layer and the runtime's `config`.
    pub(super) fn of(reference: &str, layer: Vec<u8>, config: &Value) -> Result<Vec<u8>> {
        let mut archive = Self { blobs: Vec::new() };
        let layer = archive.blob("application/vnd.oci.image.layer.v1.tar", layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": CREATED,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created": CREATED, "created_by": "cargo xtask images"}],
        });
        let config = serde_json::to_vec(&config)?;
        let config = archive.blob("application/vnd.oci.image.config.v1+json", config);
        let docker = json!([{
            "Config": path(&config),
            "RepoTags": [reference],
            "Layers": [path(&layer)],
        }]);
        let media = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media,
            "config": config,
            "layers": [layer],
        });
        let mut manifest = archive.blob(media, serde_json::to_vec(&manifest)?);
        let tag = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
        manifest["annotations"] = json!({
            // What containerd calls it, and what everybody else does.
            "io.containerd.image.name": format!("docker.io/library/{reference}"),
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        });
        archive.finish(&[
            ("index.json", index),
            ("manifest.json", docker),
            ("oci-layout", json!({"imageLayoutVersion": "1.0.0"})),
        ])
    }

    /// Takes in a blob, and says how others refer to it.
    fn blob(&mut self, media: &str, content: Vec<u8>) -> Value {
        let hex = hex(&Sha256::digest(&content));
        let size = content.len();
        let digest = format!("sha256:{hex}");
        self.blobs.push((hex, content));
        json!({"mediaType": media, "digest": digest, "size": size})
    }

    fn finish(mut self, files: &[(&str, Value)]) -> Result<Vec<u8>> {
        self.blobs.sort();
        let mut tar = Layer::new();
        for (hex, content) in &self.blobs {
            tar.file(&format!("blobs/sha256/{hex}"), 0o644, content)?;
        }
        for (name, content) in files {
            tar.file(name, 0o644, &serde_json::to_vec(content)?)?;
        }
        tar.finish()
    }
}

/// Bytes as digests are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where a blob lies in the archive.
fn path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

/// That of this machine, as Go and so the OCI spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
