//! `cargo xtask images`: our programs as container images, without a container engine.
//!
//! Static binaries are linked, laid into one layer each with the certificates of public CAs, and
//! written as an archive that `ctr images import`, `docker load` and `skopeo` read alike. The same
//! sources and toolchain give the same bytes, wherever the repository and cargo's home lie.

mod archive;
mod build;
mod istiod;
mod layer;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) use self::build::Effort;
pub(crate) use self::istiod::write_istiod;

use self::archive::Archive;
use self::layer::Layer;
use crate::cargo;

/// Where a pod looks for programs; `preStop` hooks call `mesher` by its name.
const PATH: &str = "/usr/local/bin";
/// Where rustls, Go and OpenSSL look for the CAs that they trust.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Nobody in particular: what Pod Security `restricted` and our manifests ask for.
const USER: u32 = 65532;
/// How names are looked up: a name in `/etc/hosts`, where a kubelet writes, goes before DNS.
const NAMES: &str = "hosts: files dns\n";
/// The most an image may take that is installed: it is pulled to every node, for every pod that asks.
const MOST_BYTES: usize = 25_000_000;

/// Options of `cargo xtask images`.
#[derive(Debug, Args)]
#[command(after_help = "\
Builds with link-time optimisation, some ten minutes of processor time the first time, and needs the
static C library of this machine: on Debian, libc6-dev. All programs but pause are built together,
whichever image is asked for, as their bytes depend on it. Load an image with one of
  ctr --namespace k8s.io images import target/images/mesher.tar
  docker load --input target/images/mesher.tar
  skopeo copy docker-archive:target/images/mesher.tar docker://REGISTRY/mesher:VERSION")]
pub(crate) struct Images {
    /// Only these
    #[arg(value_parser = names())]
    names: Vec<String>,
    /// Build as for tests: much faster, and what comes of it is slower and larger
    #[arg(long)]
    quick: bool,
    /// Build them a second time, from a copy of the checkout in a temporary folder, and compare
    #[arg(long)]
    reproduce: bool,
    /// Where the archives go, one for each image
    #[arg(long, value_name = "FOLDER", default_value = "target/images")]
    output: PathBuf,
}

/// That of our programs.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    /// Its name, without registry and tag, and that of its program.
    pub(crate) name: &'static str,
    version: &'static str,
    package: &'static str,
    about: &'static str,
    /// Whether it is built with the others: not what would take every crate of theirs along. Such
    /// programs may make TLS connections to servers that public CAs vouch for.
    in_the_mesh: bool,
}

/// All of them.
pub(crate) const IMAGES: [Image; 5] = [
    Image {
        name: "sidecar-injector",
        version: VERSION,
        package: "injector",
        about: "Gives pods that ask for it the sidecar mesher",
        in_the_mesh: true,
    },
    Image {
        name: "mesher",
        version: VERSION,
        package: "sidecar",
        about: "The sidecar: a proxy with service discovery",
        in_the_mesh: true,
    },
    Image {
        name: "mockserver",
        version: VERSION,
        package: "mockserver",
        about: "A service whose calls are written in its URL",
        in_the_mesh: true,
    },
    Image {
        name: "service-registry",
        version: VERSION,
        package: "registry",
        about: "The API of service-center in one process",
        in_the_mesh: true,
    },
    Image {
        name: "pause",
        version: VERSION,
        package: "pause",
        about: "Holds the namespaces of a pod open",
        in_the_mesh: false,
    },
];

impl Images {
    /// Builds and writes them, and says where they are.
    pub(crate) fn run(&self) -> Result<()> {
        let effort = if self.quick { Effort::Quick } else { Effort::Release };
        let output = cargo::root().join(&self.output);
        let written = write(&output, &self.names, effort)?;
        for (image, path) in &written {
            let size = fs::metadata(path)?.len();
            #[expect(clippy::cast_precision_loss, reason = "a megabyte is shown with one decimal")]
            let megabytes = size as f64 / 1e6;
            println!("{}  {megabytes:.1} MB  {}", image.reference(), path.display());
        }
        if self.reproduce {
            reproduce(&written, &self.names, effort)?;
        }
        Ok(())
    }
}

/// Builds what has been `written` once more, in another folder, and demands the same bytes.
fn reproduce(written: &[(Image, PathBuf)], names: &[String], effort: Effort) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let elsewhere = temporary.path().join("a checkout");
    println!("once more, in {}", elsewhere.display());
    copy(cargo::root(), &elsewhere)?;
    let again = write_from(&elsewhere, &temporary.path().join("images"), names, effort)?;
    let mut others = Vec::new();
    for ((image, here), (_, there)) in written.iter().zip(&again) {
        let digest = |path: &Path| fs::read(path).map(|bytes| archive::hex(&Sha256::digest(bytes)));
        let (here, there) = (digest(here)?, digest(there)?);
        println!("{}  sha256:{here}", image.reference());
        if here != there {
            others.push(format!("{} is sha256:{there} there", image.name));
        }
    }
    ensure!(others.is_empty(), "another folder makes other bytes: {}", others.join(", "));
    println!("the same bytes both times");
    Ok(())
}

/// A checkout elsewhere: what lies at `from` without what was built there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" {
                copy(&path, &to.join(name))?;
            }
        } else {
            fs::copy(&path, to.join(name)).with_context(|| format!("{}", path.display()))?;
        }
    }
    Ok(())
}

/// The archives of these images: as the environment of a test names them, else made now, as for tests.
pub(crate) fn quick(names: &[&str]) -> Result<Vec<PathBuf>> {
    let made = names.iter().map(|name| testbed::image(name).ok()).collect::<Option<Vec<_>>>();
    if let Some(made) = made {
        return Ok(made);
    }
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let written = write(&quick_folder(), &names, Effort::Quick)?;
    Ok(written.into_iter().map(|(_, path)| path).collect())
}

/// The archive of istiod's image, likewise.
pub(crate) fn quick_istiod() -> Result<PathBuf> {
    testbed::image("istiod").or_else(|_| write_istiod(&quick_folder()))
}

/// Where images for tests go.
pub(crate) fn quick_folder() -> PathBuf {
    cargo::root().join("target/static/images")
}

/// Builds the images with one of `names` (all without any), writes each as `NAME.tar` into `folder`,
/// and says which lies where.
pub(crate) fn write(
    folder: &Path,
    names: &[String],
    effort: Effort,
) -> Result<Vec<(Image, PathBuf)>> {
    write_from(cargo::root(), folder, names, effort)
}

/// The same with what the checkout at `root` holds.
fn write_from(
    root: &Path,
    folder: &Path,
    names: &[String],
    effort: Effort,
) -> Result<Vec<(Image, PathBuf)>> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut written = Vec::new();
    for together in IMAGES.chunk_by(|one, next| one.in_the_mesh == next.in_the_mesh) {
        let wanted: Vec<_> = chosen(together, names).collect();
        if wanted.is_empty() {
            continue;
        }
        let programs: Vec<_> = together.iter().map(|image| (image.package, image.name)).collect();
        let built = build::programs(root, &programs, effort)?;
        for image in wanted {
            let archive = image.archive(&fs::read(built.program(image.name)?)?)?;
            let small = effort == Effort::Quick || archive.len() < MOST_BYTES;
            ensure!(small, "{} has {} bytes, and should have less", image.name, archive.len());
            let path = folder.join(format!("{}.tar", image.name));
            fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
            written.push((image, path));
        }
    }
    Ok(written)
}

/// Those of `images` with one of `names`; all without any.
fn chosen(images: &[Image], names: &[String]) -> impl Iterator<Item = Image> {
    let is_meant = |image: &Image| names.is_empty() || names.iter().any(|name| name == image.name);
    images.iter().copied().filter(is_meant)
}

fn names() -> clap::builder::PossibleValuesParser {
    IMAGES.map(|image| image.name).into()
}

impl Image {
    /// `NAME:VERSION`, as our manifests and templates have it. Never `latest`: a node would ask a
    /// registry for that each time.
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    /// The archive with `program` in it.
    fn archive(&self, program: &[u8]) -> Result<Vec<u8>> {
        let mut layer = Layer::new();
        if is_dynamic(program)? {
            bail!("{} needs a dynamic linker, which the image does not have", self.name);
        }
        if self.in_the_mesh {
            layer.file(AUTHORITIES, 0o644, authorities().as_bytes())?;
        }
        let user = format!("nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n");
        layer.file("etc/nsswitch.conf", 0o644, NAMES.as_bytes())?;
        layer.file("etc/passwd", 0o644, user.as_bytes())?;
        layer.file("etc/group", 0o644, format!("nonroot:x:{USER}:\n").as_bytes())?;
        let place = format!("{}/{}", PATH.trim_start_matches('/'), self.name);
        layer.file(&place, 0o755, program)?;
        layer.folder("tmp", 0o1777)?;
        Archive::of(&self.reference(), layer.finish()?, &self.config())
    }

    /// What a runtime does with it: the OCI image configuration's `config`.
    fn config(&self) -> Value {
        json!({
            "User": format!("{USER}:{USER}"),
            "Env": [format!("PATH={PATH}")],
            "Entrypoint": [format!("{PATH}/{}", self.name)],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": self.name,
                "org.opencontainers.image.description": self.about,
                "org.opencontainers.image.version": self.version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        })
    }
}

/// Mozilla's CAs, in the order of the crate that brings them.
fn authorities() -> String {
    let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let blocks: Vec<_> =
        certificates.map(|der| pem::Pem::new("CERTIFICATE", der.to_vec())).collect();
    pem::encode_many_config(&blocks, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

/// Whether an ELF executable names an interpreter (`PT_INTERP`, elf(5)): the dynamic linker.
fn is_dynamic(program: &[u8]) -> Result<bool> {
    const HEADER: usize = 64;
    const PT_INTERP: u32 = 3;
    let number = |at: usize, bytes: usize| -> Result<usize> {
        let field = program.get(at..at + bytes).context("the program is not a whole ELF file")?;
        Ok(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    ensure!(
        program.len() > HEADER && program.starts_with(b"\x7fELF\x02\x01"),
        "the program is no ELF file of 64 bits, little end first"
    );
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for entry in 0..count {
        if number(table + entry * size, 4)? == PT_INTERP as usize {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    /// The head of an ELF file with one segment of `kind`.
    fn elf(kind: u8) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64 + 56, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = kind;
        file
    }

    fn mesher() -> Image {
        IMAGES[1]
    }

    fn entries(tar: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut archive = tar::Archive::new(tar);
        let mut entries = BTreeMap::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            assert!(entries.insert(path, content).is_none(), "one entry for each path");
        }
        Ok(entries)
    }

    #[test]
    fn everything_is_where_a_digest_says_it_is() -> Result<()> {
        let entries = entries(&mesher().archive(&elf(1))?)?;
        let json = |path: &str| -> Result<Value> {
            Ok(serde_json::from_slice(entries.get(path).with_context(|| path.to_owned())?)?)
        };
        let blob = |descriptor: &Value| -> Result<Vec<u8>> {
            let digest = descriptor["digest"].as_str().context("a digest")?;
            let hex = digest.strip_prefix("sha256:").context("of SHA-256")?;
            let blob = entries.get(&format!("blobs/sha256/{hex}")).context("a blob")?;
            assert_eq!(archive::hex(&Sha256::digest(blob)), hex);
            assert_eq!(descriptor["size"], blob.len());
            Ok(blob.clone())
        };
        assert_eq!(json("oci-layout")?, json!({"imageLayoutVersion": "1.0.0"}));
        let manifest: Value = serde_json::from_slice(&blob(&json("index.json")?["manifests"][0])?)?;
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
        let layer = blob(&manifest["layers"][0])?;
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/local/bin/mesher"]));

        // The older form names the same files.
        let docker = json("manifest.json")?;
        assert_eq!(docker[0]["RepoTags"], json!([mesher().reference()]));
        for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(entries.contains_key(path.as_str().context("a path")?));
        }
        let files = self::entries(&layer)?;
        assert_eq!(files["usr/local/bin/mesher"], elf(1));
        assert!(String::from_utf8_lossy(&files[AUTHORITIES]).matches("BEGIN CERT").count() > 100);
        Ok(())
    }

    #[test]
    fn the_same_program_is_the_same_image() -> Result<()> {
        assert_eq!(mesher().archive(&elf(1))?, mesher().archive(&elf(1))?);
        assert_ne!(mesher().archive(&elf(1))?, mesher().archive(&elf(2))?);
        Ok(())
    }

    #[test]
    fn what_could_not_start_is_no_image() {
        let error = mesher().archive(&elf(3)).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("dynamic linker")));
        assert!(mesher().archive(b"#!/bin/sh\n").is_err());
        let mut cut = elf(1);
        cut.truncate(70);
        cut[32] = 200;
        assert!(mesher().archive(&cut).is_err());
    }

    #[test]
    fn names_choose() {
        assert_eq!(chosen(&IMAGES, &[]).count(), IMAGES.len());
        let pause: Vec<_> = chosen(&IMAGES, &["pause".to_owned()]).map(|one| one.name).collect();
        assert_eq!(pause, ["pause"]);
        assert!(IMAGES.iter().all(|image| !image.reference().ends_with(":latest")));
    }

    #[test]
    fn what_a_user_applies_names_these_images() -> Result<()> {
        let references = IMAGES.map(|image| image.reference());
        let mut named = 0;
        let mut folders = ["manifests", "examples"].map(|name| cargo::root().join(name)).to_vec();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path)?;
                for line in text.lines().map(|line| line.trim_start_matches([' ', '-'])) {
                    if let Some(image) = line.strip_prefix("image: ") {
                        assert!(references.iter().any(|known| known == image), "{path:?}: {image}");
                        named += 1;
                    }
                    // A node that has the image asks no registry for it.
                    assert!(!line.starts_with("imagePullPolicy: Always"), "{path:?}");
                }
            }
        }
        assert!(named > 20, "{named} images are named");
        Ok(())
    }

    #[test]
    fn a_checkout_elsewhere_makes_the_same_bytes() -> Result<()> {
        let temporary = tempfile::tempdir()?;
        let pause = ["pause".to_owned()];
        let here = write(temporary.path(), &pause, Effort::Quick)?;
        reproduce(&here, &pause, Effort::Quick)?;

        fs::write(&here[0].1, "other bytes")?;
        let error = reproduce(&here, &pause, Effort::Quick).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("pause is sha256:")));
        Ok(())
    }
}
