//! Rate limits that are not one service's: of callers, and of requests that look alike.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hyper::header::HeaderValue;
use mesh::route::{Asked, MARK, RequestMatch};
use mesh::{Bucket, Rate};

use crate::settings::{LimitGroup, Mark};

/// The limits of one side, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    callers: HashMap<Box<str>, (Rate, Bucket)>,
    groups: Box<[Group]>,
    /// What requests are marked with, and which.
    marks: Box<[(HeaderValue, Box<[RequestMatch]>)]>,
}

#[derive(Debug)]
struct Group {
    matches: Box<[RequestMatch]>,
    inverted: bool,
    rate: Rate,
    bucket: Bucket,
}

impl Limits {
    pub(super) fn new(
        groups: &[LimitGroup],
        callers: &BTreeMap<String, Rate>,
        marks: &[Mark],
    ) -> Self {
        let callers = callers.iter();
        let groups = groups.iter().map(|group| Group {
            matches: group.matches.clone().into(),
            inverted: group.inverted,
            rate: group.rate,
            bucket: Bucket::default(),
        });
        Self {
            callers: callers
                .map(|(name, rate)| (name.as_str().into(), (*rate, Bucket::default())))
                .collect(),
            groups: groups.collect(),
            marks: marks
                .iter()
                .filter_map(|mark| {
                    let name = HeaderValue::from_str(&mark.name).ok()?;
                    Some((name, mark.matches.clone().into()))
                })
                .collect(),
        }
    }

    /// What a request is to be marked with, if it is not marked already: by the first that is about
    /// it.
    pub(crate) fn mark(&self, asked: &impl Asked) -> Option<&HeaderValue> {
        if self.marks.is_empty() || asked.header(MARK).is_some() {
            return None;
        }
        let meant =
            |(_, matches): &&(_, Box<[RequestMatch]>)| matches.iter().any(|one| one.admits(asked));
        self.marks.iter().find(meant).map(|(mark, _)| mark)
    }

    /// Whether any caller has a limit of its own.
    pub(crate) fn knows_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    /// Takes a request of `caller` in, or says when there will be room. `None`: it has no limit of
    /// its own.
    pub(crate) fn take(&self, caller: &str, now: Duration) -> Option<Result<(), Duration>> {
        let (rate, bucket) = self.callers.get(caller)?;
        Some(bucket.take(*rate, now))
    }

    /// Takes a request into every group that it belongs to.
    pub(crate) fn take_alike(
        &self,
        asked: &impl Asked,
        now: impl Fn() -> Duration,
    ) -> Result<(), Duration> {
        let mut groups = self.groups.iter().filter(|group| {
            let admitted = group.matches.iter().any(|one| one.admits(asked));
            admitted != group.inverted
        });
        groups.try_for_each(|group| group.bucket.take(group.rate, now()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh::Rate;
    use mesh::route::{Asked, Condition, RequestMatch, Test};

    use super::Limits;
    use crate::settings::LimitGroup;

    struct To(&'static str);

    impl Asked for To {
        fn method(&self) -> &'static str {
            "GET"
        }
        fn path(&self) -> &'static str {
            self.0
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }
    }

    #[test]
    fn requests_that_look_alike_share_a_limit() {
        let test = Test::Begins("/api".into());
        let path = Some(Condition { test, any_case: false });
        let group = |inverted, burst| LimitGroup {
            name: String::new(),
            matches: vec![RequestMatch { path: path.clone(), ..RequestMatch::default() }],
            inverted,
            rate: Rate { per_second: 1, burst },
        };
        let limits = Limits::new(&[group(false, 2), group(true, 1)], &[].into(), &[]);
        let take = |path| limits.take_alike(&To(path), || Duration::ZERO).is_ok();
        assert_eq!(["/api/a", "/api/b", "/api/c"].map(take), [true, true, false]);
        assert_eq!(["/", "/x"].map(take), [true, false], "all others are a group too");
    }

    #[test]
    fn callers_have_limits_of_their_own() {
        let rate = Rate { per_second: 1, burst: 1 };
        let limits = Limits::new(&[], &[("a".to_owned(), rate)].into(), &[]);
        assert!(limits.knows_callers());
        assert_eq!(limits.take("a", Duration::ZERO), Some(Ok(())));
        assert_eq!(limits.take("a", Duration::ZERO), Some(Err(Duration::from_secs(1))));
        assert_eq!(limits.take("b", Duration::ZERO), None);
    }
}
