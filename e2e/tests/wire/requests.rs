//! R1 to R5: what the injector takes, and what it refuses.

use anyhow::Result;
use e2e::injector::Injector;
use e2e::wire::Reply;
use serde_json::{Value, json};

use crate::data::{REFUSING, UID, V1, V1BETA1, shared, v1};

fn send(head: &str, body: &[u8]) -> Result<Reply> {
    let head = head.replace('\n', "\r\n");
    let request = format!("{head}\r\nhost: injector\r\ncontent-length: {}\r\n\r\n", body.len());
    shared()?.http1()?.exchange(&[request.as_bytes(), body].concat())
}

#[test]
fn r01_the_path_ignores_its_query_and_has_the_originals_alias() -> Result<()> {
    let mut http1 = shared()?.http1()?;
    let mut http2 = shared()?.http2()?;
    for path in
        ["/mutate", "/mutate?timeout=5s", "/mutate?x=/y&timeout=1s", "/webhookmutation?timeout=30s"]
    {
        for reply in [http1.post(path, V1)?, http2.post(path, V1)?] {
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            assert_eq!(reply.json()?["response"]["uid"], UID, "{path}");
        }
    }
    Ok(())
}

#[test]
fn r01_the_answer_comes_before_the_time_is_over() -> Result<()> {
    // The injector itself would wait for hours: only what the API server says can end this.
    let injector = Injector::start("limits: {bodyTimeout: 10h, requestTimeout: 10h}")?;
    let mut http1 = injector.http1()?;
    http1.send(
        b"POST /mutate?timeout=1s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
          content-length: 100\r\n\r\n{",
    )?;
    let reply = http1.reply()?;
    assert_eq!(reply.status, 408, "{}", reply.text());
    Ok(())
}

/// B17: a review without a request ended the original. B18: it answered 200 with an empty body to
/// what it did not understand, and took any method.
#[test]
fn r02_each_failed_call_has_its_status() -> Result<()> {
    let json = "content-type: application/json";
    for (head, body, status) in [
        (format!("POST /mutate HTTP/1.1\n{json}"), "{", 400),
        (format!("POST /mutate HTTP/1.1\n{json}"), "", 400),
        ("POST /mutate HTTP/1.1\ncontent-type: text/plain".into(), "{}", 415),
        ("POST /mutate HTTP/1.1\ncontent-type: application/jsonp".into(), "{}", 415),
        (format!("POST /mutate HTTP/1.1\n{json}\ncontent-encoding: gzip"), "{}", 415),
        ("POST /mutate HTTP/1.1".into(), "{}", 415),
        (format!("GET /mutate HTTP/1.1\n{json}"), "", 405),
        (format!("PUT /mutate HTTP/1.1\n{json}"), "{}", 405),
        (format!("DELETE /webhookmutation HTTP/1.1\n{json}"), "", 405),
        (format!("POST / HTTP/1.1\n{json}"), "{}", 404),
        (format!("POST /mutate/ HTTP/1.1\n{json}"), "{}", 404),
        (format!("GET /metrics HTTP/1.1\n{json}"), "", 404),
    ] {
        let reply = send(&head, body.as_bytes())?;
        assert_eq!(reply.status, status, "{head}: {}", reply.text());
        assert!(!reply.body.is_empty(), "{head}: a refusal says why");
        assert_eq!(reply.header("allow").is_some(), status == 405, "{head}");
    }
    Ok(())
}

/// B18: `application/json; charset=utf-8` was refused.
#[test]
fn r02_parameters_and_case_of_the_media_type_do_not_matter() -> Result<()> {
    for media_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
    {
        let reply = send(&format!("POST /mutate HTTP/1.1\ncontent-type: {media_type}"), V1)?;
        assert_eq!(reply.status, 200, "{media_type}: {}", reply.text());
    }
    Ok(())
}

/// B20: the original denied pods for faults of its own, without a code; see R37 too.
#[test]
fn r02_a_denial_is_an_answer() -> Result<()> {
    let denied = v1(|review| {
        review["request"]["object"]["metadata"]["annotations"] =
            json!({"sidecar.mesher.io/inject": "yse"});
    })?;
    let reply = shared()?.review(&denied)?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()?["response"]["allowed"], false);
    Ok(())
}

/// B19: the original read without bound.
#[test]
fn r03_six_mebibytes_are_taken_and_one_byte_more_is_not() -> Result<()> {
    let most = 6 << 20;
    let filled = |length: usize| -> Result<Vec<u8>> {
        let body =
            |filling: usize| v1(|r| r["request"]["object"]["data"] = "x".repeat(filling).into());
        body(length - body(0)?.len())
    };
    let body = filled(most)?;
    assert_eq!(body.len(), most);
    for reply in [shared()?.review(&body)?, shared()?.http2()?.post("/mutate", &body)?] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let body = filled(most + 1)?;
    for reply in [shared()?.review(&body)?, shared()?.http2()?.post("/mutate", &body)?] {
        assert_eq!(reply.status, 413, "{}", reply.text());
    }
    Ok(())
}

#[test]
fn r03_the_limit_holds_without_an_announced_length() -> Result<()> {
    let mut http1 = shared()?.http1()?;
    let head = b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n";
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let reply = http1.exchange(&[head.as_slice(), &chunk.repeat(7), b"0\r\n\r\n"].concat())?;
    assert_eq!(reply.status, 413, "{}", reply.text());

    let split = V1.len() / 2;
    let chunked =
        |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let parts = [chunked(&V1[..split]), chunked(&V1[split..]), b"0\r\n\r\n".to_vec()].concat();
    let reply = shared()?.http1()?.exchange(&[head.as_slice(), &parts].concat())?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Ok(())
}

/// B16: the original's reply had neither version nor kind, which v1 refuses.
#[test]
fn r04_v1_reply_is_exact() -> Result<()> {
    let reply = shared()?.review(REFUSING)?;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let review: Value = reply.json()?;
    // Byte for byte: nothing besides what the API asks for.
    assert_eq!(
        reply.text(),
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","response":{{"uid":"{UID}","allowed":true,"auditAnnotations":{{"decision":"opted_out"}}}}}}"#
        ),
        "{review}"
    );
    Ok(())
}

#[test]
fn r04_the_version_is_echoed_and_others_are_refused() -> Result<()> {
    for (body, version) in [(V1, "admission.k8s.io/v1"), (V1BETA1, "admission.k8s.io/v1beta1")] {
        let review = shared()?.review(body)?.json()?;
        assert_eq!(review["apiVersion"], version);
        assert_eq!(review["kind"], "AdmissionReview");
    }
    for (field, value) in [
        ("apiVersion", json!("admission.k8s.io/v2")),
        ("apiVersion", json!("v1")),
        ("apiVersion", json!("")),
        ("apiVersion", Value::Null),
        ("apiVersion", json!(1)),
        ("kind", json!("Pod")),
        ("kind", Value::Null),
        ("request", Value::Null),
        ("request", json!([])),
    ] {
        let reply = shared()?.review(&v1(|review| review[field] = value.clone())?)?;
        assert_eq!(reply.status, 400, "{field}: {value}: {}", reply.text());
    }
    Ok(())
}

#[test]
fn r05_the_uid_comes_back_byte_for_byte_and_the_request_does_not() -> Result<()> {
    for uid in ["1", "a/b \"c\" \\ é \u{1f600}", &"x".repeat(2000)] {
        let review =
            shared()?.review(&v1(|review| review["request"]["uid"] = uid.into())?)?.json()?;
        assert_eq!(review["response"]["uid"], uid);
        let keys: Vec<_> = review.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        assert_eq!(keys, ["apiVersion", "kind", "response"]);
    }
    Ok(())
}

#[test]
fn r05_without_a_uid_there_is_no_answer_to_give() -> Result<()> {
    for uid in [json!(""), Value::Null, json!(7)] {
        let reply = shared()?.review(&v1(|review| review["request"]["uid"] = uid.clone())?)?;
        assert_eq!(reply.status, 400, "{uid}: {}", reply.text());
    }
    let without = v1(|review| {
        review["request"].as_object_mut().expect("a request").remove("uid");
    })?;
    let reply = shared()?.review(&without)?;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("request.uid"), "{}", reply.text());
    Ok(())
}
