//! Which services are asked for.

use std::cmp::Ordering;

use mesh::ServiceKey;

/// The most services of one answer.
const MOST: usize = 1000;

/// `?search=…&only=…&after=…&limit=…&instances=…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// A part of the key `app/service`, in lower case; empty: any.
    search: String,
    pub(super) only: Only,
    /// Those behind this key.
    after: Option<(String, String)>,
    pub(super) limit: usize,
    /// The most instances that are shown of each.
    pub(super) instances: usize,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Only {
    #[default]
    All,
    /// Those with a request in the last ten minutes.
    Used,
    /// Those where something is wrong.
    Trouble,
}

impl Question {
    /// Reads the parameters; the error says what is allowed.
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, String> {
        let mut question =
            Self { search: String::new(), only: Only::All, after: None, limit: 100, instances: 20 };
        for (name, value) in parameters {
            match name.as_str() {
                "search" => question.search = value.to_lowercase(),
                "only" => {
                    question.only = match value.as_str() {
                        "" | "all" => Only::All,
                        "used" => Only::Used,
                        "trouble" => Only::Trouble,
                        _ => return Err(refused("only", value, "all, used or trouble")),
                    };
                }
                "after" => {
                    let (scope, name) = value
                        .split_once('/')
                        .ok_or_else(|| refused("after", value, "a key, as in default/orders"))?;
                    question.after = Some((scope.to_owned(), name.to_owned()));
                }
                "limit" => question.limit = number("limit", value, 1, MOST)?,
                "instances" => question.instances = number("instances", value, 0, MOST)?,
                _ => {
                    let known = "search, only, after, limit and instances";
                    return Err(format!("{name:?} is no parameter: there are {known}"));
                }
            }
        }
        Ok(question)
    }

    /// Whether the key has what is searched for.
    pub(super) fn names(&self, key: &ServiceKey) -> bool {
        self.search.is_empty() || key.to_string().to_lowercase().contains(&self.search)
    }

    /// Whether it comes behind what the caller has already.
    pub(super) fn is_behind(&self, key: &ServiceKey) -> bool {
        let Some((scope, name)) = &self.after else { return true };
        key.scope.as_ref().cmp(scope).then_with(|| key.name.as_ref().cmp(name)) == Ordering::Greater
    }
}

fn number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| refused(name, value, &format!("a number from {least} to {most}")))
}

fn refused(name: &str, value: &str, wanted: &str) -> String {
    let value: String = value.chars().take(100).collect();
    format!("{name}={value:?}: {wanted} is expected")
}

#[cfg(test)]
mod tests {
    use mesh::ServiceKey;

    use super::{Only, Question};

    fn parse(text: &str) -> Result<Question, String> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let pairs: Vec<_> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Question::parse(&pairs)
    }

    #[test]
    fn what_can_be_asked() {
        let question = parse("search=ORD&only=trouble&limit=7&instances=0").unwrap();
        assert_eq!((question.only, question.limit, question.instances), (Only::Trouble, 7, 0));
        assert!(question.names(&ServiceKey::new("default", "Orders")));
        assert!(!question.names(&ServiceKey::new("default", "stock")));
        for (text, said) in [
            ("limit=0", "a number from 1 to 1000"),
            ("limit=1001", "a number from 1 to 1000"),
            ("instances=x", "a number from 0 to 1000"),
            ("only=some", "all, used or trouble"),
            ("after=orders", "default/orders"),
            ("find=x", "\"find\" is no parameter"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_comes_behind() {
        let question = parse("after=default/orders").unwrap();
        for (scope, name, behind) in [
            ("default", "orders", false),
            ("default", "order", false),
            ("default", "orders2", true),
            ("a", "z", false),
            ("shop", "a", true),
        ] {
            assert_eq!(question.is_behind(&ServiceKey::new(scope, name)), behind, "{scope}/{name}");
        }
    }
}
