//! `egress.yaml`: hosts that may be called whatever the policy is.

use crate::support::{World, assert_among};

#[test]
fn rules_of_every_spelling() {
    let world = World::new().file(
        "conf/egress.yaml",
        "egress: {infra: cse}\n\
         egressRule:\n\
         \x20 search:\n\
         \x20   - hosts: [www.example.com, '*.example.org']\n\
         \x20     ports: [{port: 8080, protocol: http}, {port: 443, protocol: HTTPS}]\n\
         \x20 stored: |\n\
         \x20   - hosts:\n\
         \x20       - stored.example.com\n",
    );
    assert_eq!(world.problems(), [""; 0]);
    let egress = world.settings().egress;
    for (host, asked, port) in [
        ("www.example.com", None, Some(8080)),
        ("a.example.org", Some(443), Some(443)),
        ("stored.example.com", Some(9), Some(9)),
        ("example.org", None, None),
    ] {
        assert_eq!(egress.port(host, asked).map(|port| port.number), port, "{host}");
    }
}

#[test]
fn a_port_for_https_is_one_and_needs_no_tag() {
    let rule = "egressRule: {a: [{hosts: [a.com], ports: [{port: 8443, protocol: https}]}]}\n";
    let world = World::new().file("conf/egress.yaml", rule).file(
        "conf/tls.yaml",
        "ssl:\n  egress.Consumer.verifyPeer: true\n  a.com.egress.Consumer.verifyPeer: false\n  \
         b.com.egress.Consumer.serverName: b.org\n",
    );
    let wanted = "warning: conf/tls.yaml:3: ssl.a.com.egress.Consumer.verifyPeer: whoever answers is believed";
    let problems = world.problems();
    assert_among(&problems, &[wanted]);
    assert_eq!(problems.len(), 1, "public CAs vouch for the others: {problems:?}");
    let port = world.settings().egress.port("a.com", None).unwrap();
    assert!(port.number == 8443 && port.is_secured());
}

#[test]
fn what_is_wrong_has_its_line() {
    let world = World::new().file(
        "conf/egress.yaml",
        "egressRule:\n\
         \x20 a:\n\
         \x20   - hosts: ['www.*.com']\n\
         \x20   - ports: [{port: 80}]\n\
         \x20   - {hosts: [b.com], ports: [{port: 99999}], host: x}\n\
         \x20   - just.words\n\
         \x20 b: words\n\
         \x20 c: |\n\
         \x20   - hosts: [fine.com]\n\
         \x20   - hosts: ['a b']\n",
    );
    let problems = world.problems();
    assert_among(
        &problems,
        &[
            "error: conf/egress.yaml:3: egressRule.a: \"www.*.com\" is not allowed here: write a star only",
            "error: conf/egress.yaml:4: egressRule.a: hosts is missing",
            "error: conf/egress.yaml:5: egressRule.a: port: \"99999\" is not allowed here",
            "warning: conf/egress.yaml:5: egressRule.a: host: unknown key",
            "error: conf/egress.yaml:6: egressRule.a: a list is wanted here",
            "error: conf/egress.yaml:7: egressRule.b: a list is wanted here",
            "error: conf/egress.yaml:10: egressRule.c: \"a b\" is not allowed here: write a host with",
        ],
    );
    assert_eq!(problems.len(), 7, "{problems:?}");
}
