//! Keys that OpenSSL and Go have encrypted, and what is no such key.

use pkcs8::der::Encode;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{
    AES_256_CBC_OID, DES_EDE3_CBC_OID, PBES2_OID, PBKDF2_OID, Parameters, Salt, ScryptParams,
};
use proptest::prelude::*;

use super::{EncryptedKey, Limits, Refused};
use crate::password::Password;
use crate::private_key::PrivateKey;

/// Short enough to be tried hundreds of times without optimization.
const FEW: Limits = Limits { iterations: 3_000, memory: 1 << 20, lanes: 1 };

macro_rules! keys {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../tests/keys/", $name, ".pem")))),*]
    };
}

/// What is inside is `ec.pem`.
const EC: [(&str, &str); 10] = keys![
    "genpkey-aes-256-cbc",
    "pkcs8-aes-128-cbc-hmacWithSHA1",
    "pkcs8-aes-192-cbc-hmacWithSHA224",
    "pkcs8-aes-256-cbc-hmacWithSHA384",
    "pkcs8-des3-hmacWithSHA512",
    "pkcs8-scrypt",
    "ec-aes192",
    "ec-aes256",
    "ec-des3",
    "go-ec-aes256",
];
/// What is inside is `rsa.pem`.
const RSA: [(&str, &str); 3] = keys!["pkcs8-rsa", "rsa-aes128", "rsa-des3"];
const PLAIN: [(&str, &str); 2] = keys!["ec", "rsa"];

fn password(text: &str) -> Password {
    Password::from(text.as_bytes())
}

fn find(pem: &str) -> Result<Option<EncryptedKey>, Refused> {
    EncryptedKey::find(pem.as_bytes(), &Limits::MOST)
}

fn found(pem: &str) -> EncryptedKey {
    find(pem).expect("it can be opened").expect("it is encrypted")
}

/// The public half of a key.
fn public(pem: &str) -> Vec<u8> {
    let key = PrivateKey::from_pem(pem.as_bytes(), "a key").expect("a key");
    let signing = key.signing("a key").expect("rustls takes it");
    signing.public_key().expect("it has one").to_vec()
}

#[test]
fn each_form_is_opened_by_its_password_alone() {
    for (plain, encrypted) in [(PLAIN[0].1, &EC[..]), (PLAIN[1].1, &RSA[..])] {
        let wanted = public(plain);
        for (name, pem) in encrypted {
            let key = found(pem);
            let opened = key.open(&password("correct-horse"));
            assert_eq!(public(&opened.expect(name)), wanted, "{name}");
            assert!(key.open(&password("Correct-horse")).is_none(), "{name}");
        }
    }
}

/// Some 20 of these passwords give what ends as if it were padded.
#[test]
fn no_other_password_opens_a_key() {
    for (name, pem) in &EC[6..9] {
        let key = found(pem);
        for n in 0..2_000 {
            assert!(key.open(&password(&n.to_string())).is_none(), "{name}: {n}");
        }
    }
}

#[test]
fn a_key_is_found_among_other_blocks_and_with_other_line_ends() {
    let encrypted = EC[6].1;
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for pem in [
        format!("{parameters}{encrypted}"),
        format!("of the test\n{encrypted}and more\n"),
        encrypted.replace('\n', "\r\n"),
        format!("{encrypted}{}", PLAIN[0].1),
    ] {
        let opened = found(&pem).open(&password("correct-horse"));
        assert_eq!(public(&opened.expect("opened")), public(PLAIN[0].1));
    }
    for (name, pem) in PLAIN {
        assert!(matches!(find(pem), Ok(None)), "{name}");
        // The first one counts.
        assert!(matches!(find(&format!("{pem}{encrypted}")), Ok(None)), "{name}");
    }
}

#[test]
fn what_is_not_known_is_named() {
    let refused = keys![
        "refused-pkcs12-3des",
        "refused-camellia",
        "refused-des",
        "refused-md5",
        "refused-ec-des",
    ];
    let wanted = [
        "pbeWithSHA1And3-KeyTripleDES-CBC",
        "camellia-256-cbc",
        "des-cbc",
        "hmacWithMD5",
        "DES-CBC",
    ];
    for ((name, pem), wanted) in refused.into_iter().zip(wanted) {
        assert_eq!(find(pem).err(), Some(Refused::Cipher(wanted.into())), "{name}");
    }
}

#[test]
fn what_costs_too_much_is_not_begun() {
    let [(_, pem)] = keys!["refused-iterations"];
    let wanted = "50000000 iterations of PBKDF2, and 2000000 are allowed";
    assert_eq!(find(pem).err(), Some(Refused::Cost(wanted.into())));
    for (n, r, p, wanted) in [
        (1 << 14, 8, 1, None),
        // As much as OpenSSL reads.
        (1 << 15, 8, 1, None),
        (1 << 14, 8, 16, None),
        (1 << 20, 8, 1, Some("N=1048576, r=8, p=1, which is 1024 MiB of memory; 33 MiB are")),
        (1 << 14, 8, 17, Some("N=16384, r=8, p=17, which is 16 MiB")),
        (1 << 63, u16::MAX, u16::MAX, Some("N=9223372036854775808, r=65535, p=65535, which is ")),
        (2, u16::MAX, 16, Some("which is 143 MiB")),
    ] {
        match (find(&scrypt(n, r, p)), wanted) {
            (Ok(Some(_)), None) => {}
            (Err(Refused::Cost(cost)), Some(wanted)) => assert!(cost.contains(wanted), "{cost}"),
            (other, _) => panic!("N={n} r={r} p={p}: {:?}", other.err()),
        }
    }
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    for (n, r, p) in [(0, 8, 1), (1, 8, 1), (3, 8, 1), (1 << 14, 0, 1), (1 << 14, 8, 0)] {
        let refused = find(&scrypt(n, r, p)).err();
        assert!(matches!(refused, Some(Refused::Damaged(_))), "N={n} r={r} p={p}: {refused:?}");
    }
    let salt = tlv(4, &[7; 8]);
    let short = [&[7; 3][..], &[7; 7], &[7; 9], &[]];
    for (iterations, cipher, iv) in short.map(|iv| (8, DES_EDE3_CBC_OID, iv)).into_iter().chain([(
        0,
        AES_256_CBC_OID,
        &[7; 16][..],
    )]) {
        let derived = tlv(0x30, &[salt.clone(), tlv(2, &[iterations])].concat());
        let kdf = [PBKDF2_OID.to_der().expect("an OID"), derived].concat();
        let cipher = [cipher.to_der().expect("an OID"), tlv(4, iv)].concat();
        let parameters = tlv(0x30, &[tlv(0x30, &kdf), tlv(0x30, &cipher)].concat());
        let scheme = [PBES2_OID.to_der().expect("an OID"), parameters].concat();
        let refused = find(&sealed(&tlv(0x30, &scheme))).err();
        assert!(matches!(refused, Some(Refused::Damaged(_))), "{iterations} {iv:?}: {refused:?}");
    }
}

#[test]
fn headers_that_say_nothing_are_refused() {
    let pem = EC[6].1;
    let header = pem.lines().find(|line| line.starts_with("DEK-Info")).expect("its header");
    let damaged = |refused: Option<Refused>| matches!(refused, Some(Refused::Damaged(_)));
    for (broken, by) in [
        ("DEK-Info: AES-192-CBC", "no vector"),
        ("DEK-Info: AES-192-CBC,", "an empty one"),
        ("DEK-Info: AES-192-CBC,0011223344556677", "half of one"),
        ("DEK-Info: AES-192-CBC,0011223344556677001122334455667", "one that is odd"),
        ("DEK-Info: AES-192-CBC,+011223344556677001122334455667+", "one with signs"),
        ("DEK-Info: AES-192-CBC,00112233445566770011223344556677ä", "one with letters"),
        ("DEK-Info: DES-EDE3-CBC,00112233445566770011223344556677", "one of another cipher"),
    ] {
        assert!(damaged(find(&pem.replace(header, broken)).err()), "{by}");
    }
    for (broken, name) in [
        ("DEK-Info: BF-CBC,0011223344556677", "BF-CBC"),
        ("DEK-Info: \u{1b}[31m,0011223344556677", "something without a name"),
    ] {
        let refused = find(&pem.replace(header, broken)).err();
        assert_eq!(refused, Some(Refused::Cipher(name.into())));
    }
    // Half-written.
    for (name, pem) in EC {
        assert!(damaged(find(&pem[..pem.len() / 2]).err()), "{name}");
    }
}

#[test]
fn half_of_what_was_encrypted_is_not_opened() {
    for (name, pem) in EC {
        let lines: Vec<_> = pem.lines().collect();
        let cut = [&lines[..lines.len() - 3], &lines[lines.len() - 1..]].concat().join("\n");
        let opened = find(&cut).ok().flatten().and_then(|key| key.open(&password("correct-horse")));
        assert!(opened.is_none(), "{name}");
    }
}

proptest! {
    #[test]
    fn damage_is_survived(
        which in 0..EC.len() + RSA.len(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        kind in 0..4,
        in_text in any::<bool>(),
    ) {
        let (_, pem) = EC.iter().chain(&RSA).nth(which).expect("one of them");
        let damage = |bytes: &mut Vec<u8>| {
            // What is encrypted is long; what is read is what stands before it.
            let at = at.index(bytes.len().min(160));
            match kind {
                0 => bytes[at] = with,
                1 => bytes[at] ^= 1 << (with % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, with),
            }
        };
        let damaged = if in_text {
            let mut bytes = pem.as_bytes().to_vec();
            damage(&mut bytes);
            bytes
        } else {
            let block = pem::parse(pem).expect("a block");
            let mut bytes = block.contents().to_vec();
            damage(&mut bytes);
            let mut damaged = pem::Pem::new(block.tag(), bytes);
            for (name, value) in block.headers().iter() {
                damaged.headers_mut().add(name, value).expect("a header as it was");
            }
            pem::encode(&damaged).into_bytes()
        };
        if let Ok(Some(key)) = EncryptedKey::find(&damaged, &FEW)
            && let Some(opened) = key.open(&password("correct-horse"))
        {
            // rustls gets it, and says what it thinks of it.
            let key = PrivateKey::from_pem(opened.as_bytes(), "damaged").expect("PEM");
            let _ = key.signing("damaged");
        }
    }
}

/// A key that is said to be encrypted with these parameters of scrypt.
fn scrypt(n: u64, r: u16, p: u16) -> String {
    let EncryptionScheme::Pbes2(like) = scheme(EC[5].1) else { panic!("not PBES2") };
    let salt = Salt::new([7; 8]).expect("a salt");
    let kdf = ScryptParams {
        salt,
        cost_parameter: n,
        block_size: r,
        parallelization: p,
        key_length: None,
    };
    let parameters = Parameters { kdf: kdf.into(), encryption: like.encryption };
    sealed(&EncryptionScheme::from(parameters).to_der().expect("DER"))
}

fn scheme(pem: &str) -> EncryptionScheme {
    let block = pem::parse(pem).expect("a block");
    let key = pkcs8::EncryptedPrivateKeyInfoRef::try_from(block.contents()).expect("PKCS#8");
    key.encryption_algorithm
}

/// A block with this scheme and something encrypted.
fn sealed(scheme: &[u8]) -> String {
    let inside = [scheme.to_vec(), tlv(4, &[7; 48])].concat();
    pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", tlv(0x30, &inside)))
}

/// One element of DER, of up to 255 bytes.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("short");
    let head = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, value.to_vec()].concat()
}
