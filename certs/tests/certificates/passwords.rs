//! Keys with a password, and the file that holds it.

use std::fs;
use std::path::{Path, PathBuf};

use certs::{Error, OpenedKeys, PrivateKey};
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse";

fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

/// A password file with this in it.
struct Given {
    _folder: TempDir,
    file: PathBuf,
}

fn given(text: impl AsRef<[u8]>) -> Given {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("password");
    fs::write(&file, text).expect("written");
    Given { _folder: folder, file }
}

fn open(name: &str, password: Option<&Path>) -> Result<PrivateKey, Error> {
    PrivateKey::from_file(&key(name), password, &mut OpenedKeys::new())
}

#[test]
fn the_password_is_what_stands_in_its_file() {
    for text in ["correct-horse", "correct-horse\n", "correct-horse\r\n", " correct-horse \n\n"] {
        let opened = open("pkcs8-rsa.pem", Some(&given(text).file)).expect(text);
        let plain = fs::read_to_string(key("rsa.pem")).expect("readable");
        assert_eq!(opened.expose_pem(), plain, "{text:?}");
        assert_eq!(format!("{opened:?}"), "PrivateKey(..)");
    }
}

#[test]
fn a_key_without_a_password_needs_no_file() {
    for password in [None, Some(Path::new("/nowhere/password"))] {
        open("rsa.pem", password).expect("it is not encrypted");
    }
}

#[test]
fn what_is_missing_or_wrong_is_said_and_never_the_password() {
    let name = "ec-aes256.pem";
    let place = key(name).display().to_string();
    let error = open(name, None).expect_err("nobody named a password").to_string();
    assert!(error.starts_with(&place) && error.contains("certPwdFile in tls.yaml"), "{error}");

    let folder = TempDir::new().expect("a folder");
    let missing = folder.path().join("password");
    let error = open(name, Some(&missing)).expect_err("it is missing").to_string();
    assert!(error.starts_with(&missing.display().to_string()), "{error}");
    assert!(error.contains(&place) && error.contains("check that it is mounted"), "{error}");
    let error = open(name, Some(folder.path())).expect_err("a folder").to_string();
    assert!(error.contains("it is no file"), "{error}");

    for (text, wanted) in [
        (String::new(), "it is empty"),
        (" \n\n".into(), "it is empty"),
        ("correct-horse\nbattery".into(), "more than one line"),
        ("battery".repeat(200), "more than 1024 bytes"),
        ("battery".repeat(200_000), "more than 1024 bytes"),
    ] {
        let given = given(&text);
        let error = open(name, Some(&given.file)).expect_err("no password");
        assert!(matches!(error, Error::Password { .. }), "{error:?}");
        let said = format!("{error} {error:?}");
        assert!(said.contains(wanted) && said.contains(&place), "{said}");
        assert!(!said.contains("correct") && !said.contains("battery"), "{said}");
    }

    let given = given("battery-staple");
    let error = open(name, Some(&given.file)).expect_err("not its password");
    let said = format!("{error} {error:?}");
    for wanted in [&place, &given.file.display().to_string(), "the next reload heals it"] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!said.contains("battery"), "{said}");
}

#[test]
fn what_cannot_be_opened_says_so_before_it_asks_for_a_password() {
    for (name, wanted) in [
        ("refused-des.pem", "encrypted with des-cbc, which is not supported"),
        ("refused-ec-des.pem", "encrypted with DES-CBC, which is not supported"),
        ("refused-iterations.pem", "takes 50000000 iterations of PBKDF2, and 2000000 are allowed"),
    ] {
        let error = open(name, None).expect_err("refused").to_string();
        assert!(error.starts_with(&key(name).display().to_string()), "{error}");
        assert!(error.contains(wanted) && error.contains("encrypt it anew"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_a_password_too() {
    let given = given(b"\xff\xfe\x00password\n");
    let error = open("ec-aes256.pem", Some(&given.file)).expect_err("not its password");
    assert!(matches!(error, Error::WrongPassword { .. }), "{error:?}");
}

#[test]
fn an_opened_key_is_remembered_as_long_as_it_is_asked_for() {
    let (right, wrong) = (given(PASSWORD), given("battery-staple"));
    let mut opened = OpenedKeys::new();
    for _ in 0..3 {
        for name in ["pkcs8-rsa.pem", "rsa-aes128.pem"] {
            PrivateKey::from_file(&key(name), Some(&right.file), &mut opened).expect(name);
        }
        let again = PrivateKey::from_file(&key("pkcs8-rsa.pem"), Some(&wrong.file), &mut opened);
        assert!(matches!(again, Err(Error::WrongPassword { .. })), "{again:?}");
        assert_eq!(format!("{opened:?}"), "OpenedKeys(3)", "each is tried once");
        opened.forget_unused();
    }
    PrivateKey::from_file(&key("rsa-aes128.pem"), Some(&right.file), &mut opened).expect("known");
    opened.forget_unused();
    assert_eq!(format!("{opened:?}"), "OpenedKeys(1)");
    // What was replaced is not what is remembered.
    fs::write(&right.file, "battery-staple").expect("written");
    let again = PrivateKey::from_file(&key("rsa-aes128.pem"), Some(&right.file), &mut opened);
    assert!(matches!(again, Err(Error::WrongPassword { .. })), "{again:?}");
}
