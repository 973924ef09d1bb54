//! microservice.yaml and tls.yaml.

use super::File::{Microservice, Tls};
use super::{Key, Kind, key};

const PLUGIN: &str = "cipher plugins are not part of mesher: write secrets as they are, the \
                      password of a key into the file that certPwdFile names";

pub(super) static KEYS: &[Key] = &[
    key("servicecomb.service.app", Microservice, Kind::Text, "The application (appId).")
        .restart("default")
        .variables(&["APP_ID", "CAS_APPLICATION_NAME"]),
    key("servicecomb.service.name", Microservice, Kind::Text, "The service's name.")
        .restart("mesher")
        .variables(&["SERVICE_NAME", "CAS_COMPONENT_NAME"]),
    key("servicecomb.service.version", Microservice, Kind::Text, "Its version.")
        .restart("0.0.1")
        .variables(&["VERSION", "CAS_INSTANCE_VERSION"]),
    key(
        "servicecomb.service.environment",
        Microservice,
        Kind::Text,
        "development, testing, acceptance, production or nothing: services see those of their own.",
    )
    .restart("")
    .variables(&["ENVIRONMENT", "go-chassis_ENV"]),
    key(
        "servicecomb.service.hostname",
        Microservice,
        Kind::Text,
        "The instance's host name; $INTERNAL_IP is the first address. Absent: the pod's name.",
    )
    .restart(""),
    key(
        "servicecomb.service.properties.*",
        Microservice,
        Kind::Text,
        "Properties of the service; allowCrossApp lets other applications find it.",
    )
    .restart(""),
    key(
        "servicecomb.service.instanceProperties.*",
        Microservice,
        Kind::Text,
        "Properties of the instance.",
    )
    .restart(""),
    key("servicecomb.service.level", Microservice, Kind::Text, "Never had an effect."),
    key(
        "servicecomb.service.status",
        Microservice,
        Kind::Text,
        "mesher itself says when the instance is up.",
    ),
    key("servicecomb.service.paths", Microservice, Kind::List, "Never had an effect."),
    key("servicecomb.service.description", Microservice, Kind::Text, "Never had an effect."),
    key("ssl.**.certFile", Tls, Kind::Path, "The certificate chain that is shown.").live(""),
    key("ssl.**.keyFile", Tls, Kind::Path, "Its private key; it may be encrypted.").live(""),
    key(
        "ssl.**.certPwdFile",
        Tls,
        Kind::Path,
        "A file with the password of an encrypted keyFile, in plain text; white space around it \
         does not count.",
    )
    .live(""),
    key("ssl.**.caFile", Tls, Kind::Path, "Whom to trust.").live(""),
    key("ssl.**.verifyPeer", Tls, Kind::Flag, "Whether the peer has to prove who it is. Absent: a server has to where caFile is given, a client need not.")
        .live(""),
    key(
        "ssl.**.serverName",
        Tls,
        Kind::Text,
        "The name expected of a server. Absent: the service's.",
    )
    .live(""),
    key(
        "ssl.**.protocol",
        Tls,
        Kind::Choice(&["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        "The oldest version spoken; below TLSv1.2 it is TLSv1.2.",
    )
    .live(""),
    key("ssl.**.cipherSuits", Tls, Kind::CipherSuites, "What TLS 1.2 may use.").live(""),
    key("ssl.**.cipherPlugin", Tls, Kind::Choice(&["default"]), "How certPwdFile is encrypted; default: it is plain text.")
        .live(""),
    key("servicecomb.cipher", Tls, Kind::Tree, "A plugin for secrets.").gone(PLUGIN),
];
