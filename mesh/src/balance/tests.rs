//! What becomes of many requests: simulations, with time and chance from the test.

use std::time::Duration;

use super::affinity::mixed;
use super::{Latency, Maglev, Outliers, Ring, Streak, hash, lesser_of_two};
use crate::{Eviction, RoundRobin, choose};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("10.0.0.{index}:30101")).collect()
}

/// Of 10,000 keys, how many each of `count` gets.
fn spread(count: usize, find: impl Fn(u64) -> Option<usize>) -> Vec<usize> {
    let mut taken = vec![0; count];
    for key in 0..10_000_u32 {
        taken[find(hash(&key.to_be_bytes())).unwrap()] += 1;
    }
    taken
}

#[test]
fn keys_are_spread_and_few_move_when_one_goes() {
    let ten = names(10);
    let nine = &ten[..9];
    let ring = |names: &[String]| Ring::new(names.iter().map(String::as_str));
    let maglev = |names: &[String]| Maglev::new(names.iter().map(String::as_str));
    let (ring_ten, ring_nine, maglev_ten, maglev_nine) =
        (ring(&ten), ring(nine), maglev(&ten), maglev(nine));
    for (name, before, after, uneven, moved) in [
        (
            "ring",
            &(|key| ring_ten.find(key)) as &dyn Fn(u64) -> Option<usize>,
            &(|key| ring_nine.find(key)) as &dyn Fn(u64) -> Option<usize>,
            350,
            0,
        ),
        ("maglev", &|key| maglev_ten.find(key), &|key| maglev_nine.find(key), 120, 500),
    ] {
        let taken = spread(10, before);
        assert!(taken.iter().all(|n| n.abs_diff(1000) <= uneven), "{name}: {taken:?}");
        // Only those of the one that is gone have to move.
        let others = (0..10_000_u32)
            .map(|key| hash(&key.to_be_bytes()))
            .filter(|key| before(*key) != Some(9) && before(*key) != after(*key))
            .count();
        assert!(others <= moved, "{name}: {others} moved without need");
    }
    assert_eq!(Ring::new([].into_iter()).find(1), None);
    assert_eq!(Maglev::new([].into_iter()).find(1), None);
}

/// A service in which requests come every millisecond, and take as long as the endpoint says.
/// Returns how many each got in the last half.
fn simulate(
    takes: &[u64],
    millis: u64,
    mut pick: impl FnMut(u64, &[Latency], &[usize]) -> usize,
) -> Vec<usize> {
    let latencies: Vec<Latency> = takes.iter().map(|_| Latency::default()).collect();
    let mut in_flight = vec![0; takes.len()];
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut taken = vec![0; takes.len()];
    for now in 0..millis {
        ends.retain(|(end, endpoint)| {
            if *end <= now {
                in_flight[*endpoint] -= 1;
                let (at, took) = (Duration::from_millis(now), takes[*endpoint]);
                latencies[*endpoint].record(at, Duration::from_millis(took));
            }
            *end > now
        });
        let endpoint = pick(now, &latencies, &in_flight);
        in_flight[endpoint] += 1;
        ends.push((now + takes[endpoint], endpoint));
        taken[endpoint] += usize::from(now > millis / 2);
    }
    taken
}

#[test]
fn the_slow_one_of_ten_gets_little() {
    let mut takes = vec![10; 10];
    takes[3] = 200;
    let taken = simulate(&takes, 20_000, |now, latencies, in_flight| {
        let at = Duration::from_millis(now);
        lesser_of_two(mixed(now + 1), 10, |index| latencies[index].cost(at, in_flight[index]))
    });
    let others = taken.iter().enumerate().filter(|(index, _)| *index != 3);
    let least = others.map(|(_, count)| *count).min().unwrap();
    assert!(taken[3] * 5 < least, "{taken:?}");
    assert!(taken[3] > 0, "it may have become faster: {taken:?}");
}

#[test]
fn equals_share_evenly() {
    let taken = simulate(&[10; 5], 20_000, |now, latencies, in_flight| {
        let at = Duration::from_millis(now);
        lesser_of_two(mixed(now + 1), 5, |index| latencies[index].cost(at, in_flight[index]))
    });
    assert!(taken.iter().all(|count| count.abs_diff(2_000) < 400), "{taken:?}");
}

#[test]
fn one_that_came_gets_its_share_at_once() {
    // The fifth is there from the middle on.
    let taken = simulate(&[10; 5], 20_000, |now, latencies, in_flight| {
        let (at, count) = (Duration::from_millis(now), if now < 10_000 { 4 } else { 5 });
        lesser_of_two(mixed(now + 1), count, |index| latencies[index].cost(at, in_flight[index]))
    });
    assert!(taken[4].abs_diff(2_000) < 400, "{taken:?}");
}

#[test]
fn the_bad_one_of_ten_is_left_out_and_comes_back() {
    let terms = Outliers { errors: 5, first: Duration::from_secs(30), ..Outliers::default() };
    let (turns, streaks, out): (_, Vec<_>, Vec<_>) = (
        RoundRobin::default(),
        (0..10).map(|_| Streak::default()).collect(),
        (0..10).map(|_| Eviction::default()).collect(),
    );
    let mut errors = [0; 4];
    for millis in 0..240_000_u64 {
        let now = Duration::from_millis(millis);
        let usable = |index: usize| out[index].usable(|| now);
        let index = choose(turns.turn(), 10, None, 0, usable).unwrap();
        // The seventh fails for two minutes.
        let bad = index == 7 && millis < 120_000;
        if bad {
            errors[usize::try_from(millis / 60_000).unwrap()] += 1;
        }
        let others = out.iter().filter(|one| !one.usable(|| now)).count();
        if streaks[index].record(&terms, Some(if bad { 500 } else { 200 }))
            && terms.may_go(others, 10)
        {
            out[index].failed_for(now, terms.first, terms.longest);
        }
    }
    assert_eq!(errors, [10, 5, 0, 0], "five errors each time that it was tried");
    assert!(out[7].usable(|| Duration::from_mins(4)), "it is well again");
}
