//! What `tls.yaml` comes to.

use std::path::Path;

use sidecar::configuration::NamedFiles;
use sidecar::settings::{Settings, Tls, TlsVersion};
use sidecar::tls::tags::Use;

use crate::support::World;

fn tls(yaml: &str) -> World {
    let text = format!("ssl:\n{yaml}").trim_end().replace('\n', "\n  ");
    World::new().file("conf/tls.yaml", &(text + "\n")).variable("SERVICE_NAME", "Own")
}

fn path(path: Option<&std::path::PathBuf>) -> Option<&str> {
    path.map(|path| Path::to_str(path).expect("text"))
}

fn found(settings: &Settings, what: Use<'_>) -> Option<Tls> {
    settings.tls_for(what).cloned()
}

#[test]
fn each_key_is_taken_from_the_nearest_tag_that_has_it() {
    let settings = tls("\
  caFile: /bare/ca\n\
  protocol: TLSv1.3\n\
  rest.Consumer.certFile: /any/cert\n\
  rest.Consumer.keyFile: /any/key\n\
  B.rest.Consumer.caFile: /b/ca\n\
  B.rest.Consumer.serverName: b.example\n\
  certPwdFile: /bare/password\n\
  Own.rest.Provider.certFile: /own/cert\n\
  Own.rest.Provider.keyFile: /own/key\n")
    .settings();
    let b = found(&settings, Use::Service("B")).expect("its tag");
    assert_eq!(path(b.ca.as_ref()), Some("/b/ca"));
    assert_eq!(path(b.certificate.as_ref()), Some("/any/cert"));
    assert_eq!(path(b.password.as_ref()), Some("/bare/password"));
    assert_eq!(b.server_name.as_deref(), Some("b.example"));
    assert_eq!(b.oldest_version, TlsVersion::Tls13);
    let any = found(&settings, Use::Service("C")).expect("the tag of any service");
    assert_eq!((path(any.ca.as_ref()), any.server_name), (Some("/bare/ca"), None));
    let own = found(&settings, Use::ProviderSide).expect("its tag");
    assert_eq!(path(own.certificate.as_ref()), Some("/own/cert"));
    assert!(!own.verifies_clients(), "that has to be asked for");
    assert_eq!(found(&settings, Use::ConsumerSide), None, "no certificate, no TLS");
    let registry = found(&settings, Use::ServiceCenter).expect("bare keys");
    assert!(registry.verifies_servers() && registry.certificate.is_none());
}

#[test]
fn whom_to_believe() {
    for (yaml, verified, problems) in [
        ("B.rest.Consumer.caFile: /ca\n", true, 0),
        ("B.rest.Consumer.caFile: /ca\nB.rest.Consumer.verifyPeer: true\n", true, 0),
        ("B.rest.Consumer.caFile: /ca\nB.rest.Consumer.verifyPeer: false\n", false, 1),
        ("B.rest.Consumer.verifyPeer: false\n", false, 1),
        ("B.rest.Consumer.certFile: /c\nB.rest.Consumer.keyFile: /k\n", false, 1),
        ("caFile: /ca\nB.rest.Consumer.certFile: /c\nB.rest.Consumer.keyFile: /k\n", true, 0),
    ] {
        let world = tls(yaml);
        let b = found(&world.settings(), Use::Service("B")).expect("its tag");
        assert_eq!(b.verifies_servers(), verified, "{yaml}");
        let said = world.problems();
        let said: Vec<_> = said.iter().filter(|problem| problem.contains("whoever")).collect();
        assert_eq!(said.len(), problems, "{yaml}{said:?}");
    }
}

#[test]
fn what_is_not_there_any_more_is_said() {
    let world = tls("\
  mesher.Provider.certFile: /c\n\
  mesher.Provider.keyFile: /k\n\
  mesher.Provider.protocol: TLSv1.1\n");
    let problems = world.problems();
    let wanted = "warning: conf/tls.yaml:4: ssl.mesher.Provider.protocol: is not spoken any more";
    assert!(problems.iter().any(|problem| problem.starts_with(wanted)), "{problems:#?}");
    let shown = found(&world.settings(), Use::ConsumerSide).expect("its tag");
    assert_eq!(shown.oldest_version, TlsVersion::Tls12);
}

#[test]
fn whether_tls_is_spoken_is_settled_at_the_start() {
    let plain = tls("rest.Consumer.caFile: /ca\n").settings();
    let other_ca = tls("rest.Consumer.caFile: /other\n").settings();
    let (taken, kept) = other_ca.clone().taken_over(&plain);
    assert_eq!((taken, kept), (other_ca, vec![]));
    let listening = "mesher.Provider.certFile: /c\nmesher.Provider.keyFile: /k\n";
    let (taken, kept) = tls(listening).settings().taken_over(&plain);
    assert_eq!((taken.tls, kept), (plain.tls, vec!["whether TLS is spoken"]));
}

#[test]
fn a_password_alone_is_no_tls() {
    let settings = tls("B.rest.Consumer.certPwdFile: /password\n").settings();
    assert_eq!(found(&settings, Use::Service("B")), None);
}

#[test]
fn a_check_opens_encrypted_keys_and_says_where_the_fault_is() {
    const KEY: &str = include_str!("../../../certs/tests/keys/ec.pem");
    const LOCKED_KEY: &str = include_str!("../../../certs/tests/keys/ec-aes256.pem");
    let key = rcgen::KeyPair::from_pem(KEY).unwrap();
    let params = rcgen::CertificateParams::new(["b".to_owned()]).unwrap();
    let mut world = World::new();
    let path = |name: &str| world.path(name).display().to_string();
    let yaml = format!(
        "ssl:\n  mesher.Provider.certFile: {}\n  mesher.Provider.keyFile: {}\n",
        path("tls.crt"),
        path("tls.key")
    );
    let with_password = format!("{yaml}  mesher.Provider.certPwdFile: {}\n", path("password"));
    world = world
        .file("conf/tls.yaml", &yaml)
        .file("tls.crt", &params.self_signed(&key).unwrap().pem())
        .file("tls.key", LOCKED_KEY);
    let only = |world: &World, wanted: &str| {
        let problems = world.problems();
        assert!(
            matches!(&problems[..], [problem] if problem.starts_with(wanted)),
            "{wanted}: {problems:?}"
        );
    };
    let place =
        "warning: conf/tls.yaml:3: ssl.mesher.Provider.keyFile: tls.key: the private key is";
    only(&world, &format!("{place} encrypted, and no file with its password is named: name it"));

    let place = "warning: conf/tls.yaml:4: ssl.mesher.Provider.certPwdFile: ";
    world = world.file("conf/tls.yaml", &with_password);
    only(&world, &format!("{place}password: No such file"));
    world = world.file("password", "battery-staple");
    only(&world, &format!("{place}tls.key: the password in password does not open the private"));
    world = world.file("password", "\n");
    only(
        &world,
        &format!("{place}password, which is to hold the password of tls.key: it is empty"),
    );
    world = world.file("password", "correct-horse\n");
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn a_check_looks_into_the_files_and_a_start_leaves_that_to_who_uses_them() {
    let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["b".into()]).unwrap());
    let mut world = World::new();
    let path = |name: &str| world.path(name).display().to_string();
    let yaml = format!(
        "ssl:\n  rest.Consumer.certFile: {}\n  rest.Consumer.keyFile: {}\n  rest.Consumer.caFile: {}\n",
        path("tls.crt"),
        path("tls.key"),
        path("tls.crt")
    );
    world = world
        .file("conf/tls.yaml", &yaml)
        .file("tls.crt", &one.cert.pem())
        .file("tls.key", &one.signing_key.serialize_pem());
    assert_eq!(world.problems(), [""; 0]);
    world = world.file("tls.key", &other.signing_key.serialize_pem());
    let problems = world.problems();
    let wanted = "warning: conf/tls.yaml:2: ssl.rest.Consumer.certFile: tls.crt and tls.key: cert";
    assert!(matches!(&problems[..], [problem] if problem.starts_with(wanted)), "{problems:?}");
    world.inputs.named_files = NamedFiles::MustExist;
    assert_eq!(world.problems(), [""; 0]);
}
