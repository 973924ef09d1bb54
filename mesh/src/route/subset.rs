//! Some instances of a service.

use std::fmt;

use crate::instance::Instance;
use crate::service::Tags;
use crate::version::{Version, VersionRule};

/// Instances of some version, with some tags. The default is the latest version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Subset {
    /// Which versions.
    pub versions: VersionRule,
    /// What they have to be tagged with, all of it.
    pub tags: Tags,
}

impl Subset {
    /// What these tags name. A `version` that is a rule of service-center (`1.0`, `1.0+`,
    /// `latest`) is looked at as one; any other, as `v2`, is a tag like the others. Without one it
    /// is the latest.
    pub fn of_tags(mut tags: Tags) -> Self {
        let rule = tags.get("version").map(|text| text.parse::<VersionRule>());
        let versions = match rule {
            None => VersionRule::Latest,
            Some(Ok(rule)) => {
                tags.remove("version");
                rule
            }
            Some(Err(_)) => VersionRule::AtLeast(Version::default()),
        };
        Self { versions, tags }
    }

    /// Whether an instance is one of them, where `latest` is the highest version there is.
    pub fn admits(&self, instance: &Instance, latest: Version) -> bool {
        let tagged = |(name, value)| instance.tags.get::<str>(name) == Some(value);
        self.versions.admits(instance.version, latest)
            && self.tags.iter().map(|(name, value)| (&**name, value)).all(tagged)
    }
}

impl fmt::Display for Subset {
    /// As the original shows tags: `version:1.0.0|zone:a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version:{}", self.versions)?;
        self.tags.iter().try_for_each(|(name, value)| write!(f, "|{name}:{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Subset;
    use crate::{Instance, InstanceId, Status, Tags};

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn tags_select_instances() {
        let instance = |version: &str, pairs: &[(&str, &str)]| Instance {
            id: InstanceId("i".into()),
            version: version.parse().unwrap_or_default(),
            status: Status::Up,
            endpoints: Vec::new(),
            tags: tags(pairs),
        };
        let latest = "2.0".parse().unwrap();
        for (wanted, found, admitted) in [
            (vec![], instance("2.0", &[]), true),
            (vec![], instance("1.0", &[]), false),
            (vec![("version", "1.0")], instance("1.0.0", &[]), true),
            (vec![("version", "1.0+")], instance("2.0", &[]), true),
            (vec![("version", "latest")], instance("1.0", &[]), false),
            (vec![("version", "v2")], instance("v2", &[("version", "v2")]), true),
            (vec![("version", "v2")], instance("v1", &[("version", "v1")]), false),
            (vec![("zone", "a")], instance("2.0", &[("zone", "a")]), true),
            (vec![("zone", "a")], instance("2.0", &[("zone", "b")]), false),
            (vec![("zone", "a"), ("version", "1.0")], instance("1.0", &[]), false),
        ] {
            let subset = Subset::of_tags(tags(&wanted));
            assert_eq!(subset.admits(&found, latest), admitted, "{wanted:?}");
        }
    }

    #[test]
    fn it_is_shown_as_the_original_shows_tags() {
        let subset = Subset::of_tags(tags(&[("version", "1.0"), ("zone", "a")]));
        assert_eq!(subset.to_string(), "version:1.0.0|zone:a");
        assert_eq!(Subset::default().to_string(), "version:latest");
    }
}
