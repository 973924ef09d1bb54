//! PKCS#8's `EncryptedPrivateKeyInfo` (RFC 5208 §6), encrypted by PBES2 (RFC 8018 §6.2).

use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{self, Decode, ErrorKind};
use pkcs8::pkcs5::pbes2::{DES_EDE3_CBC_OID, Kdf, PBES2_OID, Parameters};
use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier};

use super::Refused;
use crate::password::Password;

const DAMAGED: Refused = Refused::Damaged("what says how the private key is encrypted is broken");
/// Bytes of a block of DES, and so of its initialization vector.
const DES_BLOCK: usize = 8;

/// How much opening a key may take: whoever can write a key must not be able to stop who reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Iterations of PBKDF2.
    pub(crate) iterations: u32,
    /// Bytes of memory for scrypt.
    pub(crate) memory: u64,
    /// What scrypt calls parallelization; its time is this times its memory.
    pub(crate) lanes: u16,
}

impl Limits {
    /// Some seconds of one processor. OpenSSL writes 2,048 iterations, or scrypt in 16 MiB and one
    /// lane, and reads no more than 32 MiB; OWASP asks for up to 1,300,000 iterations.
    pub(crate) const MOST: Self = Self { iterations: 2_000_000, memory: 33 << 20, lanes: 16 };
}

/// How a key is encrypted.
pub(super) struct Scheme(Parameters);

impl Scheme {
    /// Reads `EncryptedPrivateKeyInfo`; beside the scheme stands what is encrypted.
    pub(super) fn read(der: &[u8], limits: &Limits) -> Result<(Self, Vec<u8>), Refused> {
        let (outer, data) = AnyRef::from_der(der).and_then(parts).map_err(|_| DAMAGED)?;
        if outer.oid != PBES2_OID {
            return Err(Refused::Cipher(name(outer.oid)));
        }
        let parameters = outer.parameters.ok_or(DAMAGED)?;
        let cipher = parameters.sequence(second).map_err(|_| DAMAGED)?;
        // pkcs5 0.8.1 takes that many bytes without looking how many there are.
        let iv = cipher.parameters.map_or(&[][..], AnyRef::value);
        if cipher.oid == DES_EDE3_CBC_OID && iv.len() != DES_BLOCK {
            return Err(DAMAGED);
        }
        let parameters = Parameters::try_from(parameters).map_err(|error| match error.kind() {
            ErrorKind::OidUnknown { oid } => Refused::Cipher(name(oid)),
            _ => DAMAGED,
        })?;
        affordable(&parameters.kdf, limits)?;
        Ok((Self(parameters), data.as_bytes().to_vec()))
    }

    /// Decrypts in place; `None`: it is not the password.
    pub(super) fn decrypt<'a>(
        &self,
        password: &Password,
        buffer: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        self.0.decrypt_in_place(password.bytes(), buffer).ok()
    }
}

fn parts(it: AnyRef<'_>) -> der::Result<(AlgorithmIdentifierRef<'_>, &OctetStringRef)> {
    it.sequence(|inside| Ok((Decode::decode(inside)?, Decode::decode(inside)?)))
}

/// Of the parameters, the cipher; it stands after how its key is derived.
fn second<'a>(inside: &mut der::SliceReader<'a>) -> der::Result<AlgorithmIdentifierRef<'a>> {
    AlgorithmIdentifierRef::decode(inside)?;
    AlgorithmIdentifierRef::decode(inside)
}

fn affordable(kdf: &Kdf, limits: &Limits) -> Result<(), Refused> {
    match kdf {
        Kdf::Pbkdf2(terms) => {
            let (wanted, most) = (terms.iteration_count, limits.iterations);
            if wanted == 0 {
                return Err(DAMAGED);
            }
            if wanted > most {
                let cost = format!("{wanted} iterations of PBKDF2, and {most} are allowed");
                return Err(Refused::Cost(cost));
            }
        }
        Kdf::Scrypt(terms) => {
            let (n, r) = (terms.cost_parameter, u64::from(terms.block_size));
            let p = u64::from(terms.parallelization);
            // RFC 7914 §6. pkcs5 0.8.1 divides the logarithm of what it has not looked at.
            if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 {
                return Err(DAMAGED);
            }
            let memory = (n.saturating_add(p)).saturating_mul(128 * r);
            let Limits { memory: most, lanes, .. } = *limits;
            if memory > most || p > u64::from(lanes) {
                let cost = format!(
                    "scrypt with N={n}, r={r}, p={p}, which is {} MiB of memory; {} MiB are \
                     allowed, and p up to {lanes}",
                    memory >> 20,
                    most >> 20
                );
                return Err(Refused::Cost(cost));
            }
        }
        other => return Err(Refused::Cipher(name(other.oid()))),
    }
    Ok(())
}

/// What `openssl asn1parse` calls it.
fn name(oid: ObjectIdentifier) -> String {
    const NAMES: [(&str, &str); 13] = [
        ("1.2.840.113549.1.12.1.1", "pbeWithSHA1And128BitRC4"),
        ("1.2.840.113549.1.12.1.3", "pbeWithSHA1And3-KeyTripleDES-CBC"),
        ("1.2.840.113549.1.12.1.5", "pbeWithSHA1And128BitRC2-CBC"),
        ("1.2.840.113549.1.12.1.6", "pbeWithSHA1And40BitRC2-CBC"),
        ("1.2.840.113549.1.5.10", "pbeWithSHA1AndDES-CBC"),
        ("1.2.840.113549.1.5.3", "pbeWithMD5AndDES-CBC"),
        ("1.2.840.113549.2.6", "hmacWithMD5"),
        ("1.2.840.113549.3.2", "rc2-cbc"),
        ("1.2.392.200011.61.1.1.1.2", "camellia-128-cbc"),
        ("1.2.392.200011.61.1.1.1.4", "camellia-256-cbc"),
        ("1.2.410.200046.1.1.12", "aria-256-cbc"),
        ("1.3.14.3.2.7", "des-cbc"),
        ("1.2.156.10197.1.104.2", "sm4-cbc"),
    ];
    let oid = oid.to_string();
    let known = NAMES.iter().find(|(known, _)| *known == oid);
    known.map_or_else(|| format!("the algorithm {oid}"), |(_, name)| (*name).to_owned())
}
