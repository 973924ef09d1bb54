//! What can go wrong with certificates, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "kubernetes")]
use crate::store::explain::{explain, remedy};

/// Every error of this crate. `place` says where the bytes came from: a file, a Secret's key, or
/// `memory`. No variant ever carries key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// PEM text without the block that is needed.
    #[error("{place}: no {wanted} found; expected a PEM block `-----BEGIN {wanted}-----`")]
    Missing {
        /// Where the text came from.
        place: String,
        /// Label of the missing block, for example `CERTIFICATE`.
        wanted: &'static str,
    },
    /// Text that is not PEM.
    #[error("{place}: not valid PEM: {problem}; check for a half-written or truncated file")]
    Pem {
        /// Where the text came from.
        place: String,
        /// What the parser met.
        problem: String,
    },
    /// A PEM block that does not belong into a bundle of CA certificates.
    #[error(
        "{place}: holds a `{found}` block; a CA bundle may hold only CERTIFICATE blocks, \
         because everybody may read it: take the block out"
    )]
    NotABundle {
        /// Where the text came from.
        place: String,
        /// Label of the block.
        found: String,
    },
    /// A certificate that cannot be parsed.
    #[error("{place}: not a valid X.509 certificate: {problem}; issue it anew")]
    Certificate {
        /// Where the bytes came from.
        place: String,
        /// What the parser met.
        problem: String,
    },
    /// A private key that cannot be used.
    #[error(
        "{place}: the private key cannot be used: {problem}; supported are ECDSA P-256, P-384 and \
         P-521, Ed25519 and RSA from 2048 bits, in PKCS#8, SEC1 or PKCS#1 form"
    )]
    Key {
        /// Where the key came from.
        place: String,
        /// What is wrong with it; never the key.
        problem: String,
    },
    /// A private key that is encrypted, and nobody said where its password is.
    #[error(
        "{place}: the private key is encrypted, and no file with its password is named: name it \
         (mesher: certPwdFile in tls.yaml; service-registry: --tls-key-password-file), or take the \
         password off with `openssl pkey -in KEY -out NEW`"
    )]
    NoPassword {
        /// Where the key came from.
        place: String,
    },
    /// A file that is to hold the password of a private key, and does not.
    #[error("{}, which is to hold the password of {key}: {problem}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Where the key came from.
        key: String,
        /// What is wrong, and what to do; never what the file holds.
        problem: String,
    },
    /// The password does not open the private key.
    #[error(
        "{place}: the password in {} does not open the private key, or the key is damaged; if both \
         are being replaced, the next reload heals it, else try the two with \
         `openssl pkey -noout -in KEY -passin file:PASSWORD`",
        password.display()
    )]
    WrongPassword {
        /// Where the key came from.
        place: String,
        /// The file with the password.
        password: PathBuf,
    },
    /// A private key that is encrypted in a way that is not known here.
    #[error(
        "{place}: the private key is encrypted with {cipher}, which is not supported; supported \
         are AES-CBC of 128, 192 and 256 bits and DES-EDE3-CBC, in PKCS#8 with PBES2 (PBKDF2 by \
         HMAC with SHA-1 or SHA-2, or scrypt) or by Proc-Type and DEK-Info: encrypt it anew with \
         `openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW`"
    )]
    KeyCipher {
        /// Where the key came from.
        place: String,
        /// The cipher, or what derives its key.
        cipher: String,
    },
    /// A private key that would take too much time or memory to open.
    #[error(
        "{place}: opening the private key takes {cost}: encrypt it anew with less, \
         `openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in KEY -out NEW`"
    )]
    KeyCost {
        /// Where the key came from.
        place: String,
        /// How much it takes, and how much is allowed.
        cost: String,
    },
    /// Certificate and key are not a pair.
    #[error(
        "{place}: certificate and private key do not belong together; if they are being replaced, \
         the next reload heals it, else store the pair anew"
    )]
    Mismatch {
        /// Where the pair came from.
        place: String,
    },
    /// A CA certificate was given as the certificate to serve.
    #[error(
        "{place}: `{subject}` is a CA certificate (CA:TRUE); clients refuse one as a server's own: \
         issue a leaf with CA:FALSE from it"
    )]
    CaAsLeaf {
        /// Where the certificate came from.
        place: String,
        /// Its subject.
        subject: String,
    },
    /// A certificate that was to sign others is no CA.
    #[error(
        "{place}: `{subject}` is not a CA certificate (CA:TRUE with keyCertSign); use one that is"
    )]
    NotACa {
        /// Where the certificate came from.
        place: String,
        /// Its subject.
        subject: String,
    },
    /// No CA of the bundle vouches for the certificate, or it is outside its validity.
    #[error("clients will refuse the certificate `{subject}`: {problem}")]
    Untrusted {
        /// Subject of the certificate.
        subject: String,
        /// What the verification found, for example `expired` or `UnknownIssuer`.
        problem: String,
    },
    /// The certificate does not name the host it is to serve.
    #[error("the certificate does not name `{wanted}`, only {names}; issue it with that name")]
    WrongName {
        /// The host's name.
        wanted: String,
        /// The names the certificate has.
        names: String,
    },
    /// A text that is neither a DNS name nor an IP address.
    #[error("`{name}` is neither a DNS name nor an IP address: a certificate cannot name it")]
    Name {
        /// The text.
        name: String,
    },
    /// Lifetimes that contradict each other.
    #[error("{what}: {problem}")]
    Terms {
        /// `authority`, `leaf` or `settle`.
        what: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Issuing failed.
    #[error("issuing a certificate failed: {0}; check the CA's key and the machine's clock")]
    Issue(#[from] rcgen::Error),
    /// A file or folder that cannot be read.
    #[error("{}: cannot be read: {source}; check that it is mounted and readable", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder that cannot be written.
    #[error("{}: cannot be written: {source}; check the folder's owner and free space", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else wrote in between.
    #[error("{place}: changed by another writer in between; it is read again")]
    Conflict {
        /// What was to be written.
        place: String,
    },
    /// Nothing that could be served is stored, and another is to write it.
    #[error(
        "{place}: holds no certificate that could be served; the replica that leads is to write it"
    )]
    Unwritten {
        /// What was read.
        place: String,
    },
    /// The Kubernetes API refused, or could not be reached.
    #[cfg(feature = "kubernetes")]
    #[error("{place}: {}{}", explain(source), remedy(source))]
    Api {
        /// What was to be read or written.
        place: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// The Kubernetes API did not answer in time.
    #[error("{place}: no answer from the Kubernetes API within {deadline:?}; it is tried again")]
    Deadline {
        /// What was to be read or written.
        place: String,
        /// How long was waited.
        deadline: Duration,
    },
}
