use std::fs;

use super::*;
use crate::model::{Microservice, Tenant};
use crate::store::NewService;

async fn register(live: &Live, name: &str) {
    let service = Microservice { service_name: name.into(), ..Microservice::default() };
    let new = NewService { service: Some(service), ..NewService::default() };
    let tenant = Tenant::standard();
    let registered =
        live.command(|store, now| store.register_service(&tenant, new, live::fresh_id, now)).await;
    registered.expect("it is acceptable");
}

fn close(live: Arc<Live>, writer: Writer) {
    live.keep_no_more();
    drop(live);
    writer.join().expect("the writer ends");
}

fn names(live: &Live) -> Vec<String> {
    let services = live.read(|store| store.list_services(&Tenant::standard()));
    services.iter().map(|service| service.service_name.clone()).collect()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (live, writer) = open(&path, Limits::default()).unwrap();
    register(&live, "one").await;
    register(&live, "two").await;
    // As it is on the disk at this moment: a killed process does not close its file.
    let killed = fs::read(&path).unwrap();
    let before = live.read(Store::snapshot);
    close(live, writer);

    fs::write(&path, killed).unwrap();
    let (live, writer) = open(&path, Limits::default()).unwrap();
    assert_eq!(names(&live), ["one", "two"]);
    assert_eq!(live.read(Store::snapshot), before);
    register(&live, "three").await;
    close(live, writer);
    let (live, _) = open(&path, Limits::default()).unwrap();
    assert_eq!(names(&live), ["one", "three", "two"]);
}

#[tokio::test]
async fn a_last_line_that_is_not_whole_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (live, writer) = open(&path, Limits::default()).unwrap();
    register(&live, "one").await;
    let one = fs::read(&path).unwrap();
    register(&live, "two").await;
    let two = fs::read(&path).unwrap();
    close(live, writer);
    for cut in (one.len()..two.len()).step_by(23) {
        fs::write(&path, &two[..cut]).unwrap();
        let (live, writer) = open(&path, Limits::default()).unwrap();
        assert_eq!(names(&live), ["one"], "cut at {cut}");
        register(&live, "three").await;
        close(live, writer);
        let (live, writer) = open(&path, Limits::default()).unwrap();
        assert_eq!(names(&live), ["one", "three"], "cut at {cut}");
        close(live, writer);
    }
}

#[tokio::test]
async fn damage_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (live, writer) = open(&path, Limits::default()).unwrap();
    for name in ["one", "two", "three"] {
        register(&live, name).await;
    }
    close(live, writer);
    let good = fs::read(&path).unwrap();
    let second = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let last = good.len() - 1;
    for at in (second..last).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        fs::write(&path, &bad).unwrap();
        let error = open(&path, Limits::default()).expect_err("a bit is wrong");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("damaged at line") && text.contains("move the file away"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    for (content, words) in [
        ("hello\n", "no data file"),
        ("{}", "no data file"),
        ("service-registry data 9\n", "has format \"service-registry data 9\""),
    ] {
        fs::write(&path, content).unwrap();
        let error = open(&path, Limits::default()).expect_err("not ours").to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let missing = folder.path().join("no/such/folder/data");
    let error = open(&missing, Limits::default()).expect_err("no folder").to_string();
    assert!(error.contains("check the folder"), "{error}");
}

#[test]
fn only_one_registry_has_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (live, writer) = open(&path, Limits::default()).unwrap();
    let error = open(&path, Limits::default()).expect_err("in use").to_string();
    assert!(error.contains("in use by another registry"), "{error}");
    close(live, writer);
    open(&path, Limits::default()).expect("free again");
}

#[tokio::test]
async fn a_log_that_grew_is_replaced_by_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (live, writer) = open(&path, Limits::default()).unwrap();
    register(&live, "one").await;
    let tenant = Tenant::standard();
    let id = live.read(|store| store.list_services(&tenant))[0].service_id.clone();
    let mut longest = 0;
    for round in 0..60 {
        let text = format!("{round:04}").repeat(10_000);
        let properties = [("text".to_owned(), text)].into();
        live.command(|store, now| store.set_service_properties(&tenant, &id, properties, now))
            .await
            .unwrap();
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    assert!(longest > 1 << 20, "it did grow");
    assert!(longest < 60 * 40_000, "and was replaced");
    let before = live.read(Store::snapshot);
    close(live, writer);
    let (live, _) = open(&path, Limits::default()).unwrap();
    assert_eq!(live.read(Store::snapshot), before);
}
