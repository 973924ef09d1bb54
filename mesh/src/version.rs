//! Versions as service-center has them: one to four numbers.

use std::fmt;
use std::str::FromStr;

/// `x[.y[.z[.w]]]`. Missing parts count as zero in comparisons: `1.0` equals `1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version([u16; 4]);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = [0; 4];
        for (at, part) in text.split('.').enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let number = part.parse::<u16>().ok().filter(|_| digits);
            match (parts.get_mut(at), number) {
                (Some(slot), Some(number)) => *slot = number,
                _ => return Err(format!("\"{text}\" is not a version: use numbers, as in 1.0.2")),
            }
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if build > 0 { write!(f, ".{build}") } else { Ok(()) }
    }
}

/// Which versions of a service are wanted. service-center ignores the rule it is sent, so whoever
/// asks has to apply it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum VersionRule {
    /// `latest`: the highest that has an instance.
    #[default]
    Latest,
    /// `1.0`: that one.
    Exact(Version),
    /// `1.0+`: that one and higher; `0+` is any.
    AtLeast(Version),
    /// `1.0-2.0`: from the first to below the second.
    Range(Version, Version),
}

impl FromStr for VersionRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("latest") {
            return Ok(Self::Latest);
        }
        if let Some(from) = text.strip_suffix('+') {
            return from.parse().map(Self::AtLeast);
        }
        match text.split_once('-') {
            Some((from, to)) => Ok(Self::Range(from.parse()?, to.parse()?)),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for VersionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Exact(version) => version.fmt(f),
            Self::AtLeast(version) => write!(f, "{version}+"),
            Self::Range(from, to) => write!(f, "{from}-{to}"),
        }
    }
}

impl VersionRule {
    /// Whether `version` is wanted, where `latest` is the highest there is.
    pub fn admits(self, version: Version, latest: Version) -> bool {
        match self {
            Self::Latest => version == latest,
            Self::Exact(wanted) => version == wanted,
            Self::AtLeast(from) => version >= from,
            Self::Range(from, to) => from <= version && version < to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Version, VersionRule};

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_compare_by_number_and_fill_up_with_zeros() {
        assert!(version("1.10") > version("1.9.9"));
        assert_eq!(version("1"), version("1.0.0"));
        assert_eq!(version("1.2").to_string(), "1.2.0");
        assert_eq!(version("1.2.3.4").to_string(), "1.2.3.4");
        for wrong in ["", "v1", "1.", ".1", "1..2", "1.2.3.4.5", "-1", "+1", "65536", "1 "] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn rules_admit_what_they_say() {
        let latest = version("2.1");
        for (rule, admitted, refused) in [
            ("latest", "2.1", "2.0"),
            ("", "2.1", "1.0"),
            ("1.0", "1.0.0", "1.0.1"),
            ("1.0+", "2.1", "0.9"),
            ("0+", "0.0.0", ""),
            ("1.0-2.0", "1.9.9", "2.0"),
        ] {
            let parsed: VersionRule = rule.parse().unwrap();
            assert!(parsed.admits(version(admitted), latest), "{rule} {admitted}");
            assert!(refused.is_empty() || !parsed.admits(version(refused), latest), "{rule}");
        }
        for wrong in ["newest", "1.0++", "1-", "-1", "1.0-2.0-3.0"] {
            assert!(wrong.parse::<VersionRule>().is_err(), "{wrong:?}");
        }
    }
}
