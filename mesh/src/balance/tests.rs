//! What becomes of many requests: simulations, with time and chance from the test.

use std::time::Duration;

use super::affinity::mixed;
use super::{
    Latency, Maglev, Outliers, Rates, Ring, Streak, SuccessRate, fastest_mostly, hash, is_warm,
    lesser_of_two,
};
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

#[test]
fn latencies_that_are_skewed_are_answered_by_shares() {
    // Each takes twice as long as the one before.
    let takes = [5, 10, 20, 40, 80];
    let of_two = simulate(&takes, 40_000, |now, latencies, in_flight| {
        let at = Duration::from_millis(now);
        lesser_of_two(mixed(now + 1), 5, |index| latencies[index].cost(at, in_flight[index]))
    });
    assert!(of_two.windows(2).all(|pair| pair[0] > pair[1]), "{of_two:?}");
    let turns = RoundRobin::default();
    let weighted = simulate(&takes, 40_000, |now, latencies, _| {
        let at = Duration::from_millis(now);
        let seconds = |index: usize| latencies[index].estimate(at);
        fastest_mostly(mixed(now + 1), turns.turn(), 5, seconds)
    });
    let share = weighted[0] * 100 / weighted.iter().sum::<usize>();
    assert!((73..=79).contains(&share), "seven of ten, and its turns: {weighted:?}");
    assert!(weighted[1..].iter().all(|count| *count > 800), "the others go on: {weighted:?}");
}

#[test]
fn those_that_stay_take_over_from_those_that_go() {
    // Five, then ten from a third on, then three from two thirds on.
    let count = |now: u64| match now {
        0..10_000 => 5,
        10_000..20_000 => 10,
        _ => 3,
    };
    let turns = RoundRobin::starting_at(3);
    let mut taken = [[0_u32; 10]; 3];
    for now in 0..30_000_u64 {
        let index = choose(turns.turn(), count(now), None, 0, |_| true).unwrap();
        taken[usize::try_from(now / 10_000).unwrap()][index] += 1;
    }
    for (phase, there) in [5, 10, 3].into_iter().enumerate() {
        let (used, gone) = taken[phase].split_at(there);
        let fair = 10_000 / u32::try_from(there).unwrap();
        assert!(used.iter().all(|count| count.abs_diff(fair) <= 1), "{taken:?}");
        assert!(gone.iter().all(|count| *count == 0), "{taken:?}");
    }
}

#[test]
fn one_that_is_new_warms_up() {
    let (turns, slow_start) = (RoundRobin::default(), Duration::from_secs(10));
    let mut taken = [0_u32; 10];
    for now in 0..20_000_u64 {
        // The fourth came at the beginning, the others long before.
        let age = Duration::from_millis(now);
        let warm = |index: usize| index != 3 || is_warm(age, slow_start, mixed(now * 7 + 1));
        let index = choose(turns.turn(), 4, None, 0, warm).unwrap();
        taken[usize::try_from(now / 2_000).unwrap()] += u32::from(index == 3);
    }
    assert!(taken[..5].windows(2).all(|pair| pair[0] < pair[1] + 20), "{taken:?}");
    assert!(taken[0] < 150, "{taken:?}");
    assert!(taken[5..].iter().all(|count| count.abs_diff(500) <= 1), "{taken:?}");
}

/// Ten endpoints in turn, a request each millisecond, for two minutes. Returns the failures of each
/// half minute, and the most that were out at once.
fn under_outliers(terms: &Outliers, fails: impl Fn(u64, usize) -> bool) -> ([u32; 4], usize) {
    let turns = RoundRobin::default();
    let streaks: Vec<_> = (0..10).map(|_| Streak::default()).collect();
    let rates: Vec<_> = (0..10).map(|_| Rates::default()).collect();
    let out: Vec<_> = (0..10).map(|_| Eviction::default()).collect();
    let (mut errors, mut most, mut judged) = ([0; 4], 0, 0);
    for millis in 0..120_000_u64 {
        let now = Duration::from_millis(millis);
        let usable = |index: usize| out[index].usable(|| now);
        let are_out = || (0..10).filter(|index| !usable(*index)).count();
        let index = choose(turns.turn(), 10, None, 0, usable).unwrap();
        let bad = fails(millis, index);
        errors[usize::try_from(millis / 30_000).unwrap()] += u32::from(bad);
        let period = SuccessRate::period(now);
        rates[index].record(period, !bad);
        let mut due = Vec::new();
        if period > judged {
            judged = period;
            let counted: Vec<_> = rates.iter().map(|one| one.in_period(period - 1)).collect();
            due = terms.success_rate.outliers(&counted);
        }
        if streaks[index].record(terms, Some(if bad { 500 } else { 200 })) {
            due.push(index);
        }
        for index in due {
            if terms.may_go(are_out(), 10) {
                out[index].failed_for(now, terms.first, terms.longest);
            }
        }
        most = most.max(are_out());
    }
    (errors, most)
}

#[test]
fn one_that_fails_now_and_then_is_found_by_its_rate() {
    let success_rate = SuccessRate { deviation: 1900, ..SuccessRate::default() };
    let first = Duration::from_mins(2);
    let by_rate = Outliers { success_rate, first, ..Outliers::default() };
    // One of ten fails a third of its requests, never five in a row; all others one of a hundred.
    let fails = |millis: u64, index: usize| {
        let turn = millis / 10;
        if index == 6 { turn.is_multiple_of(3) } else { turn % 100 == 17 }
    };
    let ([before, .., after], out) = under_outliers(&by_rate, fails);
    assert_eq!(out, 1);
    assert!(before > 2 * after, "{before} and {after}: out after ten seconds");
    let in_a_row = Outliers { errors: 5, first, ..Outliers::default() };
    assert_eq!(under_outliers(&in_a_row, fails).1, 0, "and by no other term");
}

#[test]
fn a_share_is_never_exceeded_whatever_they_are_left_out_for() {
    for most_percent in [10, 20, 50] {
        let terms = Outliers {
            errors: 5,
            gateway_errors: 3,
            success_rate: SuccessRate { deviation: 500, hosts: 3, volume: 10 },
            most_percent,
            ..Outliers::default()
        };
        // Three fail always, three more every other time.
        let fails = |millis: u64, index: usize| index < 3 || (index < 6 && millis % 20 < 10);
        let (_, out) = under_outliers(&terms, fails);
        assert_eq!(out, usize::from(most_percent / 10), "{most_percent} %");
    }
}
