//! Loops and bombs are refused before the first call.

use anyhow::Result;
use testbed::Guard;

use crate::mock::Mock;
use crate::town::Town;

#[test]
fn what_is_too_large_is_refused_with_its_size() -> Result<()> {
    let town = Town::start(&[])?;
    let table = [
        ("/@L".repeat(33), "too_deep", "it is 33 calls deep, and 32 are allowed (-maxDepth)"),
        ("/@L".repeat(3000), "too_deep", "it is 3000 calls deep, and 32 are allowed (-maxDepth)"),
        (
            "/@service1,service2|L,L".repeat(4),
            "too_many_calls",
            "it makes 340 calls in all, and 256 are allowed (-maxCalls)",
        ),
        (
            "/@L,L,L,L,L,L,L,L".repeat(32),
            "too_many_calls",
            "it makes 18446744073709551615 calls in all, and 256 are allowed (-maxCalls)",
        ),
    ];
    for (target, code, reason) in table {
        let answer = town.entrance().get(&target)?;
        let json = answer.json()?;
        assert_eq!(answer.status, 400, "{json:#}");
        assert_eq!(json["Error"]["Code"], code);
        assert_eq!(json["Error"]["Reason"], reason);
        assert_eq!(
            json["Message"],
            format!("request '{}' refused: {reason}.", &target[1..]).as_str()
        );
    }
    assert_eq!(town.answered(), [""; 0]);
    assert_eq!(town.proxy.events(), [""; 0]);
    Ok(())
}

#[test]
fn what_is_as_large_as_allowed_is_done() -> Result<()> {
    let guard = Guard::new()?;
    let mock = Mock::start(&guard, "mock", &["-maxDepth", "32", "-maxCalls", "32"])?;
    let own = format!("/@{}", mock.address);
    let answer = mock.get(&own.repeat(32))?;
    assert_eq!(answer.status, 200);
    // Deeper than most JSON readers go, so it is counted and not parsed.
    assert_eq!(answer.body.matches("\"Service\": \"mock\"").count(), 33);
    assert_eq!(mock.answered().len(), 33);

    let small = Mock::start(&guard, "small", &["-maxDepth", "1", "-maxCalls", "2"])?;
    let own = format!("@{}", small.address);
    assert_eq!(small.get(&format!("/{own}|{}/x", small.address))?.status, 200);
    assert_eq!(small.get(&format!("/{own}/{own}/x"))?.status, 400);
    Ok(())
}
