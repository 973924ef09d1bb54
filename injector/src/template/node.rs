//! The compiled tree of a template.

use minijinja::Environment;
use serde_json::{Map, Value};

use super::expression::{Compiled, Place, Problem, problem};
use crate::content::{Content, Literal};

/// One node of the tree.
pub(super) enum Node {
    /// Says the same for every pod.
    Literal(Literal),
    /// One whole expression: keeps its type.
    Expression(Compiled),
    /// Text with expressions in it.
    Text(Compiled),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    Guarded(Guarded),
}

/// A node with `$if` or `$each`.
pub(super) struct Guarded {
    condition: Option<Compiled>,
    each: Option<(Compiled, String)>,
    node: Box<Node>,
}

/// Whether a value says the same for every pod.
fn is_literal(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains("{{") && !text.contains("{%"),
        Value::Array(items) => items.iter().all(is_literal),
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| !key.starts_with('$') && !key.contains("{{") && is_literal(value)),
        _ => true,
    }
}

impl Node {
    pub(super) fn compile(
        value: &Value,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        match value {
            value if is_literal(value) => Ok(Self::Literal(Literal::new(value.clone()))),
            Value::String(text) => Self::leaf(text, at, environment),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| Self::compile(item, format!("{at}[{i}]"), environment))
                .collect::<Result<_, _>>()
                .map(Self::List),
            Value::Object(map) => Self::map(map, &at, environment),
            scalar => Ok(Self::Literal(Literal::new(scalar.clone()))),
        }
    }

    fn leaf(
        text: &str,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        let inner = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
        // `{{ a }}-{{ b }}` also begins and ends like one expression, but does not compile as one.
        if let Some(inner) = inner
            && environment.compile_expression_owned(inner.to_owned()).is_ok()
        {
            return Compiled::expression(inner, at, environment).map(Self::Expression);
        }
        Compiled::text(text, at, environment).map(Self::Text)
    }

    fn map(
        map: &Map<String, Value>,
        at: &str,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        let mut expression = |key: &str| {
            let path = format!("{at}.{key}");
            match map.get(key) {
                None => Ok(None),
                Some(Value::String(text)) => {
                    Compiled::expression(text, path, environment).map(Some)
                }
                Some(_) => Err((path, "expected an expression as a string".to_owned())),
            }
        };
        let condition = expression("$if")?;
        let each = expression("$each")?;
        let variable = map.get("$as").map_or(Some("item"), Value::as_str);
        let variable =
            variable.ok_or_else(|| (format!("{at}.$as"), "expected a name".to_owned()))?;
        let mut entries = Vec::new();
        for (key, value) in map {
            if ["$if", "$each", "$as"].contains(&key.as_str()) {
                continue;
            }
            if key.starts_with('$') || key.contains("{{") {
                let usage = "keys are literal; use $if, $each and $as".to_owned();
                return Err((format!("{at}.{key}"), usage));
            }
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            entries.push((key.clone(), Self::compile(value, path, environment)?));
        }
        let node = Self::Map(entries);
        if condition.is_none() && each.is_none() {
            return Ok(node);
        }
        let each = each.map(|list| (list, variable.to_owned()));
        Ok(Self::Guarded(Guarded { condition, each, node: Box::new(node) }))
    }

    /// The value of this node; `None` where it is omitted.
    pub(super) fn render<'t>(
        &'t self,
        place: &Place<'_, 't>,
    ) -> Result<Option<Content<'t>>, Problem> {
        match self {
            Self::Literal(literal) => Ok(Some(Content::Literal(literal))),
            Self::Expression(expression) => expression.leaf(place),
            Self::Text(text) => text.filled(place).map(|text| Some(text.into())),
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    item.render_into(place, &mut list)?;
                }
                Ok(Some(Content::List(list)))
            }
            Self::Map(entries) => {
                let mut members = Vec::with_capacity(entries.len());
                for (key, node) in entries {
                    if let Some(value) = node.render(place)? {
                        members.push((key.as_str().into(), value));
                    }
                }
                Ok(Some(Content::Object(members)))
            }
            Self::Guarded(guarded) => {
                if let Some((list, _)) = &guarded.each {
                    let usage = "stands only on the items of a list".to_owned();
                    return Err((list.at().to_owned(), usage));
                }
                if guarded.holds(place)? { guarded.node.render(place) } else { Ok(None) }
            }
        }
    }

    /// As an item of a list: `$each` makes any number of items.
    fn render_into<'t>(
        &'t self,
        place: &Place<'_, 't>,
        list: &mut Vec<Content<'t>>,
    ) -> Result<(), Problem> {
        let Self::Guarded(guarded @ Guarded { each: Some((over, variable)), .. }) = self else {
            list.extend(self.render(place)?);
            return Ok(());
        };
        let items = over.value(place)?;
        let items = items.try_iter().map_err(|e| (over.at().to_owned(), problem(&e)))?;
        for item in items {
            let inner = place.with(variable, item);
            if guarded.holds(&inner)? {
                list.extend(guarded.node.render(&inner)?);
            }
        }
        Ok(())
    }
}

impl Guarded {
    fn holds(&self, place: &Place<'_, '_>) -> Result<bool, Problem> {
        self.condition.as_ref().map_or(Ok(true), |condition| condition.is_true(place))
    }
}
