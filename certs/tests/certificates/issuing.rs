//! What is issued, and what a client and a strict parser make of it.

use std::time::Duration;

use certs::{Authority, Bundle, Error, Identity, Names, Terms};
use rustls::pki_types::ServerName;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::{names, noon, seconds, short_terms};

fn authority() -> Authority {
    Authority::generate("test CA", &short_terms(), noon()).expect("a CA")
}

fn issue(authority: &Authority) -> Identity {
    authority.issue(&names(), &short_terms(), noon()).expect("a leaf")
}

/// B40: the original's script issued leaves that were CAs, without serverAuth, for a century.
#[test]
fn b40_a_leaf_is_a_server_certificate_and_no_ca() {
    let (authority, terms) = (authority(), short_terms());
    let identity = issue(&authority);
    let leaf = identity.leaf();
    assert!(!leaf.is_ca());
    assert!(leaf.is_for_servers());
    assert_eq!(leaf.names(), names().to_vec());
    assert_eq!(leaf.not_after(), noon() + terms.leaf.lifetime);
    assert_eq!(leaf.not_before(), noon() - terms.clock_skew);

    let (_, x509) = X509Certificate::from_der(leaf.der()).expect("X.509");
    let constraints = x509.basic_constraints().expect("unique").expect("present");
    assert!(!constraints.value.ca, "CA:FALSE is said, not implied");
    let usage = x509.key_usage().expect("unique").expect("present");
    assert!(usage.value.digital_signature() && !usage.value.key_cert_sign());
    let extended = x509.extended_key_usage().expect("unique").expect("present");
    assert!(extended.value.server_auth && !extended.value.any && !extended.value.client_auth);
    assert_eq!(x509.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
}

#[test]
fn b40_a_ca_is_refused_as_a_leaf() {
    let authority = authority();
    let ca = authority.certificate().to_pem();
    let error = Identity::from_pem(ca.as_bytes(), authority.key().expose_pem().as_bytes(), "x")
        .expect_err("a CA");
    assert!(matches!(error, Error::CaAsLeaf { .. }), "{error}");
}

#[test]
fn a_ca_signs_leaves_and_no_further_ca() {
    let authority = authority();
    let (_, x509) = X509Certificate::from_der(authority.certificate().der()).expect("X.509");
    let constraints = x509.basic_constraints().expect("unique").expect("present");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = x509.key_usage().expect("unique").expect("present");
    assert!(usage.value.key_cert_sign() && !usage.value.digital_signature());
}

#[test]
fn leaf_and_ca_are_tied_by_key_identifiers() {
    let authority = authority();
    let identity = issue(&authority);
    let (_, ca) = X509Certificate::from_der(authority.certificate().der()).expect("X.509");
    let (_, leaf) = X509Certificate::from_der(identity.leaf().der()).expect("X.509");
    let subject = |c: &X509Certificate<'_>| {
        c.iter_extensions().find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    };
    let authority_of = |c: &X509Certificate<'_>| {
        c.iter_extensions().find_map(|e| match e.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        })
    };
    assert!(subject(&ca).is_some());
    assert_eq!(authority_of(&leaf), subject(&ca));
    assert!(subject(&leaf).is_some() && subject(&leaf) != subject(&ca));
}

#[test]
fn serials_are_random_and_positive() {
    let authority = authority();
    let (one, two) = (issue(&authority), issue(&authority));
    assert_ne!(one.leaf().serial(), two.leaf().serial());
    for identity in [one, two] {
        let (_, x509) = X509Certificate::from_der(identity.leaf().der()).expect("X.509");
        assert_eq!(x509.raw_serial().len(), 16);
        assert!(x509.raw_serial()[0] < 0x80);
    }
}

#[test]
fn the_chain_verifies_for_its_names_in_its_time_alone() {
    let authority = authority();
    let identity = issue(&authority);
    let bundle = Bundle::of(authority.certificate().clone());
    let wanted = names();
    bundle.verify(&identity, wanted.iter(), noon()).expect("valid now");
    bundle.verify(&identity, wanted.iter(), noon() - seconds(5)).expect("for a slow clock");

    let stranger = [ServerName::try_from("other.default.svc").expect("a name")];
    let error = bundle.verify(&identity, &stranger, noon()).expect_err("not its name");
    assert!(matches!(&error, Error::WrongName { wanted, .. } if wanted == "other.default.svc"));

    for (when, problem) in
        [(noon() + seconds(101), "it has expired"), (noon() - seconds(6), "not valid yet")]
    {
        let error = bundle.verify(&identity, [], when).expect_err(problem);
        assert!(error.to_string().contains(problem), "{error}");
    }

    let other = Bundle::of(self::authority().certificate().clone());
    let error = other.verify(&identity, [], noon()).expect_err("another CA");
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    let both = other.led_by(authority.certificate().clone());
    both.verify(&identity, wanted.iter(), noon()).expect("either CA is enough");
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let authority = authority();
    let late = noon() + seconds(990);
    let identity = authority.issue(&names(), &short_terms(), late).expect("a leaf");
    assert_eq!(identity.leaf().not_after(), authority.certificate().not_after());
}

#[test]
fn a_stored_ca_goes_on_signing() {
    let original = authority();
    let (cert, key) = (original.certificate().to_pem(), original.key().expose_pem().to_owned());
    // The bundle of a CA that is being replaced: the key says which of them signs.
    let bundle = format!("{}{cert}", authority().certificate().to_pem());
    let again = Authority::from_pem(bundle.as_bytes(), key.as_bytes(), "store").expect("a CA");
    assert_eq!(again.certificate(), original.certificate());
    let identity = issue(&again);
    assert!(original.signed(identity.leaf()));
    assert!(!authority().signed(identity.leaf()));
    Bundle::of(original.certificate().clone())
        .verify(&identity, names().iter(), noon())
        .expect("of the same CA");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let (one, two) = (authority(), authority());
    let pem = |a: &Authority| a.certificate().to_pem().into_bytes();
    let key = |a: &Authority| a.key().expose_pem().as_bytes().to_vec();
    let error = Authority::from_pem(&pem(&one), &key(&two), "store").expect_err("two CAs");
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");

    let (a, b) = (issue(&one), issue(&one));
    let chain = a.chain_pem().into_bytes();
    let error = Identity::from_pem(&chain, b.key().expose_pem().as_bytes(), "pair")
        .expect_err("two leaves");
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");

    let error = Authority::from_pem(&chain, a.key().expose_pem().as_bytes(), "store")
        .expect_err("a leaf is no CA");
    assert!(matches!(error, Error::NotACa { .. }), "{error}");
}

/// R33: `caBundle` holds only certificates that can be parsed.
#[test]
fn r33_a_bundle_holds_certificates_alone() {
    let (one, two) = (authority(), authority());
    let pem =
        format!("# old and new\n{}{}", one.certificate().to_pem(), two.certificate().to_pem());
    let bundle = Bundle::from_pem(pem.as_bytes(), "ca.crt").expect("a bundle");
    assert_eq!(bundle.certificates().len(), 2);
    let text = bundle.to_pem();
    assert!(!text.contains('#') && !text.contains('\r') && text.ends_with('\n'));
    assert_eq!(Bundle::from_pem(text.as_bytes(), "ca.crt").expect("again"), bundle);

    let leaked = format!("{pem}{}", one.key().expose_pem());
    let error = Bundle::from_pem(leaked.as_bytes(), "ca.crt").expect_err("a key in public");
    assert!(matches!(&error, Error::NotABundle { found, .. } if found == "PRIVATE KEY"), "{error}");
    for broken in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Bundle::from_pem(broken.as_bytes(), "ca.crt").is_err(), "{broken:?}");
    }
    let truncated = &pem.as_bytes()[..pem.len() - 40];
    assert!(Bundle::from_pem(truncated, "ca.crt").is_err());
}

#[test]
fn no_debug_output_shows_a_key() {
    let authority = authority();
    let identity = issue(&authority);
    let shown = format!("{authority:?} {identity:?}");
    for key in [authority.key(), identity.key()] {
        for line in key.expose_pem().lines().filter(|line| !line.starts_with("-----")) {
            assert!(!shown.contains(line));
        }
    }
}

#[test]
fn terms_that_cannot_be_kept_are_refused() {
    type Change = fn(&mut Terms);
    Terms::default().check().expect("the defaults");
    short_terms().check().expect("short ones");
    let cases: [(&str, Change); 11] = [
        ("leaf", |t| t.leaf.renew_after = t.leaf.lifetime),
        ("leaf", |t| t.leaf.renew_after = seconds(0)),
        ("leaf", |t| t.leaf.renew_after = Duration::MAX),
        ("leaf", |t| t.leaf.lifetime = Duration::MAX),
        ("authority", |t| t.ca.renew_after = t.ca.lifetime),
        ("authority", |t| t.ca.lifetime = Duration::MAX),
        ("authority", |t| t.ca.renew_after = seconds(901)), // its end before a leaf's
        ("authority", |t| t.ca.renew_after = seconds(20)),  // due again before it is complete
        ("settle", |t| t.settle = seconds(0)),
        ("settle", |t| t.settle = seconds(41)), // the old leaf ends meanwhile
        // The first leaf of a new CA ends while its successor settles.
        ("settle", |t| {
            (t.leaf.lifetime, t.leaf.renew_after, t.settle) =
                (seconds(21), seconds(1), seconds(10));
        }),
    ];
    for (number, (wanted, change)) in cases.into_iter().enumerate() {
        let mut terms = short_terms();
        change(&mut terms);
        let found = terms.check();
        assert!(
            matches!(found, Err(Error::Terms { what, .. }) if what == wanted),
            "case {number}: {found:?}"
        );
    }
}

#[test]
fn a_long_first_name_still_makes_a_certificate() {
    let long = Names::default().with(&format!("{0}.{0}.example", "a".repeat(60))).expect("a name");
    let identity = authority().issue(&long, &short_terms(), noon()).expect("a leaf");
    assert_eq!(identity.leaf().names(), long.to_vec());
}
