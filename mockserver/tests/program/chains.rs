//! Chains through several processes, and what their answers tell of them.

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::Guard;

use crate::http;
use crate::mock::Mock;
use crate::town::Town;

#[test]
fn a_url_makes_exactly_its_calls() -> Result<()> {
    let town = Town::start(&[])?;
    let chain =
        ["service1:8080 /@service2/@service3/", "service2:8080 /@service3/", "service3:8080 /"];
    let table: [(&str, &[&str]); 10] = [
        ("/service/calls/@service3/", &[]),
        ("/@service1/the-end", &["service1:8080 /the-end"]),
        ("/@service1:8081/the-end", &["service1:8081 /the-end"]),
        ("/@service1/@service2/@service3/", &chain),
        ("/@service1/service2", &["service1:8080 /service2"]),
        (
            "/@service1,service2/uri-reuse/",
            &["service1:8080 /uri-reuse/", "service2:8080 /uri-reuse/"],
        ),
        (
            "/@service1|service2/uri-reuse/",
            &["service1:8080 /uri-reuse/", "service2:8080 /uri-reuse/"],
        ),
        (
            "/@service1|service2/@service3|service4/uri/",
            &[
                "service1:8080 /@service3|service4/uri/",
                "service2:8080 /@service3|service4/uri/",
                "service3:8080 /uri/",
                "service3:8080 /uri/",
                "service4:8080 /uri/",
                "service4:8080 /uri/",
            ],
        ),
        (
            "/%40service1%7Cservice2%2Cservice3/%7C%2C?q=%40&r=|",
            &[
                "service1:8080 /%7C%2C?q=%40&r=|",
                "service2:8080 /%7C%2C?q=%40&r=|",
                "service3:8080 /%7C%2C?q=%40&r=|",
            ],
        ),
        ("/@", &[]),
    ];
    for (target, calls) in table {
        let answer = town.entrance().get(target)?;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_eq!(town.answered(), calls, "{target}");
        let message = format!("request '{}' succeeded.", &target[1..]);
        assert_eq!(answer.json()?["Message"], message.as_str());
    }
    assert_eq!(town.entrance().answered(), table.map(|(target, _)| target));
    Ok(())
}

#[test]
fn a_comma_waits_and_a_bar_does_not() -> Result<()> {
    // Nobody gives up before the proxy does.
    let town = Town::start(&["-timeout", "1h"])?;
    town.entrance().get("/@service1,service2,service1/x")?;
    let one_by_one = [
        "> service1:8080 /x",
        "< service1:8080 /x",
        "> service2:8080 /x",
        "< service2:8080 /x",
        "> service1:8080 /x",
        "< service1:8080 /x",
    ];
    assert_eq!(town.proxy.events(), one_by_one);

    // Three that are answered only when all of them are there.
    town.proxy.gather(3);
    let answer = town.entrance().get("/@service1|service2|service3/x")?;
    let events = town.proxy.events();
    assert!(events[..3].iter().all(|event| event.starts_with('>')), "{events:?}");
    assert_eq!(events.len(), 6, "{events:?}");
    let json = answer.json()?;
    let groups = json["ParallelForwards"].as_array().context("groups")?;
    for group in groups {
        assert_eq!(group["SequentialForwards"][0]["Status"], 200, "{group:#}");
    }
    // The answers stand as the URL has them, whoever was first.
    let urls: Vec<&Value> =
        groups.iter().map(|group| &group["SequentialForwards"][0]["Url"]).collect();
    let expected = [1, 2, 3].map(|number| format!("http://service{number}:8080/x"));
    assert_eq!(urls, expected.iter().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn the_answer_is_the_tree_of_calls() -> Result<()> {
    let guard = Guard::new()?;
    let leaf = Mock::start(&guard, "leaf", &["-instance", "leaf-0"])?;
    let middle = Mock::start(&guard, "middle", &[])?;
    let root = Mock::start(&guard, "root", &[])?;
    let target = format!("/@{}/@{}/the-end?x=1", middle.address, leaf.address);
    let answer = root.get(&target)?;
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert!(answer.body.starts_with("{\n\t\"ReceivedDate\": \""), "{}", answer.body);

    let tree = answer.json()?;
    assert_eq!(tree["Service"], "root");
    assert_eq!(tree["RequestInfo"][0], format!("GET {target} HTTP/1.1").as_str());
    assert_eq!(tree["RequestInfo"][1], format!("Host: {}", root.address).as_str());
    let call = &tree["ParallelForwards"][0]["SequentialForwards"][0];
    assert_eq!(
        call["Url"],
        format!("http://{}/@{}/the-end?x=1", middle.address, leaf.address).as_str()
    );
    let success = format!("success calling service \"{}\", status = 200 OK", middle.address);
    assert_eq!(call["Result"], success.as_str());
    assert_eq!(call["Status"], 200);
    assert_eq!(call["Response"]["Service"], "middle");
    let call = &call["Response"]["ParallelForwards"][0]["SequentialForwards"][0];
    let end = &call["Response"];
    assert_eq!((&end["Service"], &end["Instance"]), (&"leaf".into(), &"leaf-0".into()));
    assert_eq!(end["Message"], "request 'the-end?x=1' succeeded.");
    assert_eq!(end["ParallelForwards"], Value::Null);
    assert_eq!(end["RequestInfo"][0], "GET /the-end?x=1 HTTP/1.1");
    Ok(())
}

#[test]
fn what_ties_calls_together_reaches_the_last_one() -> Result<()> {
    let guard = Guard::new()?;
    let mocks: Vec<Mock> = ["a", "b", "c"]
        .iter()
        .map(|name| Mock::start(&guard, name, &["-forwardHeaders", "x-tenant,x-cse-context"]))
        .collect::<Result<_>>()?;
    let sent = [
        ("x-request-id", "r-1"),
        ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
        ("x-b3-spanid", "a2fb4a1d1a96d312"),
        ("x-b3-parentspanid", "0020000000000001"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "0"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "rojo=00f067aa0ba902b7"),
        ("baggage", "userId=alice"),
        ("x-ot-span-context", "ot"),
        ("uber-trace-id", "1:2:0:1"),
        ("x-tenant", "green"),
        ("cookie", "secret=1"),
    ];
    let [a, b, c] = &mocks[..] else { unreachable!() };
    let target = format!("/@{}[end-user=jason][x-tenant=blue]/@{}/x", b.address, c.address);
    let tree = http::get(a.address, &target, &sent)?.json()?;
    let call =
        |tree: &Value| tree["ParallelForwards"][0]["SequentialForwards"][0]["Response"].clone();
    let last = call(&call(&tree));
    assert_eq!(last["Service"], "c");
    let info: Vec<&str> =
        last["RequestInfo"].as_array().context("info")?.iter().filter_map(Value::as_str).collect();
    for (name, value) in &sent[..12] {
        assert!(info.contains(&format!("{name}: {value}").as_str()), "{name} in {info:#?}");
    }
    assert!(info.contains(&"end-user: jason"), "{info:#?}");
    // What the URL says wins, and what is nobody's business stays behind.
    assert!(info.contains(&"x-tenant: blue") && !info.contains(&"x-tenant: green"), "{info:#?}");
    assert!(!info.iter().any(|line| line.starts_with("cookie")), "{info:#?}");
    Ok(())
}

#[test]
fn a_failed_call_is_part_of_the_answer() -> Result<()> {
    let guard = Guard::new()?;
    let [gone] = testbed::free_ports()?;
    let mock = Mock::start(&guard, "mock", &[])?;
    let other = Mock::start(&guard, "other", &[])?;
    let answer = mock.get(&format!("/@127.0.0.1:{gone},,{}/x", other.address))?;
    assert_eq!(answer.status, 200);
    let json = answer.json()?;
    let [refused, faulty, good] =
        &json["ParallelForwards"][0]["SequentialForwards"].as_array().context("calls")?[..]
    else {
        anyhow::bail!("{json:#}");
    };
    let result = refused["Result"].as_str().context("a result")?;
    let url = format!("http://127.0.0.1:{gone}/x");
    assert!(result.starts_with(&format!("failure calling service \"{url}\", \"")), "{result}");
    assert!(result.contains("Connection refused"), "{result}");
    assert_eq!(refused.get("Status"), None);
    assert!(faulty["Error"].as_str().is_some_and(|error| error.contains("no host")), "{faulty}");
    assert_eq!(good["Status"], 200);
    assert_eq!(other.answered(), ["/x"]);
    Ok(())
}
