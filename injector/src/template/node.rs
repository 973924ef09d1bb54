//! The compiled tree of a template.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Value as Jinja, context};
use serde_json::{Map, Number, Value};

use super::Scope;
use crate::content::Content;

/// Path of a node and what is wrong there.
type Problem = (String, String);

/// One node of the tree.
pub(super) enum Node {
    Literal(Value),
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

/// An expression or text with expressions.
pub(super) struct Compiled {
    /// Path of the node.
    at: String,
    /// What needs no engine, as most do not.
    simple: Option<Simple>,
}

/// An expression that is worked out without the engine, to the same value.
enum Simple {
    /// `variable`
    Variable(String),
    /// `variable or omit`
    OrOmit(String),
    /// `omit if variable else 'text'`
    OmitIf(String, Jinja),
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

/// Where expressions are worked out: what they can name there, and the engine for those that are not
/// simple.
pub(super) struct Place<'a> {
    environment: &'a Environment<'static>,
    /// `None` within `$each`, where `all` holds the item besides.
    scope: Option<&'a dyn Scope>,
    /// What the engine is given, made when it is first needed.
    all: OnceCell<Jinja>,
}

impl<'a> Place<'a> {
    pub(super) fn new(environment: &'a Environment<'static>, scope: &'a dyn Scope) -> Self {
        Self { environment, scope: Some(scope), all: OnceCell::new() }
    }

    /// The same place, and `item` named `variable` besides.
    fn with(&self, variable: &str, item: Jinja) -> Self {
        let bound = Jinja::from_pairs([(variable, item)]);
        let all = context! { ..bound, ..self.all().clone() };
        Self { environment: self.environment, scope: None, all: all.into() }
    }

    fn all(&self) -> &Jinja {
        self.all.get_or_init(|| self.scope.map(Scope::all).unwrap_or_default())
    }

    /// The value of one variable; undefined where there is no such.
    fn get(&self, variable: &str) -> Jinja {
        match self.scope {
            Some(scope) => scope.get(variable),
            None => self.all().get_attr(variable).ok(),
        }
        .unwrap_or_default()
    }
}

/// What `omit` is: removes the key or item that it is the value of.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("omit")
    }
}

pub(super) fn omit() -> Jinja {
    Jinja::from_object(Omit)
}

/// Writes a value inside text: true and false as YAML spells them, and only scalars.
pub(super) fn format(
    out: &mut minijinja::Output,
    state: &mut minijinja::State,
    value: &Jinja,
) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Bool => {
            out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Into::into)
        }
        ValueKind::String | ValueKind::Number => minijinja::escape_formatter(out, state, value),
        kind => Err(minijinja::Error::new(
            minijinja::ErrorKind::BadSerialization,
            format!("a {kind} cannot stand inside text"),
        )),
    }
}

impl Node {
    pub(super) fn compile(
        value: &Value,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        match value {
            value if is_literal(value) => Ok(Self::Literal(value.clone())),
            Value::String(text) => Self::leaf(text, at, environment),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| Self::compile(item, format!("{at}[{i}]"), environment))
                .collect::<Result<_, _>>()
                .map(Self::List),
            Value::Object(map) => Self::map(map, &at, environment),
            scalar => Ok(Self::Literal(scalar.clone())),
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
        let added = environment.add_template_owned(at.clone(), text.to_owned());
        added.map_err(|e| (at.clone(), problem(&e)))?;
        Ok(Self::Text(Compiled { at, simple: None }))
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
    pub(super) fn render(&self, place: &Place<'_>) -> Result<Option<Content<'_>>, Problem> {
        match self {
            Self::Literal(value) => Ok(Some(Content::Same(value))),
            Self::Expression(expression) => Ok(expression.scalar(place)?.map(Content::Own)),
            Self::Text(text) => text.text(place).map(|text| Some(Content::Text(text.into()))),
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
                    return Err((list.at.clone(), usage));
                }
                if guarded.holds(place)? { guarded.node.render(place) } else { Ok(None) }
            }
        }
    }

    /// As an item of a list: `$each` makes any number of items.
    fn render_into<'a>(
        &'a self,
        place: &Place<'_>,
        list: &mut Vec<Content<'a>>,
    ) -> Result<(), Problem> {
        let Self::Guarded(guarded @ Guarded { each: Some((over, variable)), .. }) = self else {
            list.extend(self.render(place)?);
            return Ok(());
        };
        let items = over.value(place)?;
        let items = items.try_iter().map_err(|e| (over.at.clone(), problem(&e)))?;
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
    fn holds(&self, place: &Place<'_>) -> Result<bool, Problem> {
        match &self.condition {
            None => Ok(true),
            Some(condition) => Ok(condition.value(place)?.is_true()),
        }
    }
}

impl Compiled {
    /// An expression becomes a template, named by the path of its node, that sets a variable: so it
    /// is compiled once, not for every pod, and its value is read back with its type.
    fn expression(
        source: &str,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        let compiled = environment.compile_expression_owned(source.to_owned()).map(drop);
        compiled.map_err(|e| (at.clone(), problem(&e)))?;
        let text = format!("{{% set value = ({source}) %}}");
        let added = environment.add_template_owned(at.clone(), text);
        added.map_err(|e| (at.clone(), problem(&e)))?;
        Ok(Self { at, simple: Simple::read(source.trim()) })
    }

    fn value(&self, place: &Place<'_>) -> Result<Jinja, Problem> {
        if let Some(simple) = &self.simple
            && let Some(value) = simple.value(place)
        {
            return Ok(value);
        }
        let captured = place
            .environment
            .get_template(&self.at)
            .and_then(|t| t.render_captured(place.all().clone()))
            .map_err(|e| (self.at.clone(), problem(&e)))?;
        Ok(captured.state().lookup("value").unwrap_or_default())
    }

    fn text(&self, place: &Place<'_>) -> Result<String, Problem> {
        place
            .environment
            .get_template(&self.at)
            .and_then(|t| t.render(place.all().clone()))
            .map_err(|e| (self.at.clone(), problem(&e)))
    }

    /// Only a scalar may come out of a leaf: a list or map of the pod's would add structure.
    fn scalar(&self, place: &Place<'_>) -> Result<Option<Value>, Problem> {
        let value = self.value(place)?;
        let wrong = |what: &str| Err((self.at.clone(), what.to_owned()));
        match value.kind() {
            _ if value.downcast_object_ref::<Omit>().is_some() => Ok(None),
            ValueKind::String => Ok(value.as_str().map(Value::from)),
            ValueKind::Bool => Ok(Some(Value::Bool(value.is_true()))),
            ValueKind::Number => match (value.as_i64(), f64::try_from(value)) {
                (Some(integer), _) => Ok(Some(Value::from(integer))),
                (None, Ok(float)) => Ok(Number::from_f64(float).map(Value::Number)),
                _ => wrong("is a number no pod can hold"),
            },
            ValueKind::Undefined => wrong("is undefined: check the name, or write `else omit`"),
            ValueKind::None => wrong("is none: write `or omit` behind it, or guard it with $if"),
            kind => wrong(&format!("is a {kind}: a leaf holds text, a number or true and false")),
        }
    }
}

impl Simple {
    /// Reads an expression that compiles.
    fn read(expression: &str) -> Option<Self> {
        let variable = |text: &str| Some(text.trim()).filter(|t| is_variable(t)).map(str::to_owned);
        if let Some(name) = expression.strip_suffix(" or omit") {
            return variable(name).map(Self::OrOmit);
        }
        if let Some((name, text)) =
            expression.strip_prefix("omit if ").and_then(|rest| rest.split_once(" else "))
        {
            let text = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            let plain = !text.contains(['\'', '\\']);
            return variable(name).filter(|_| plain).map(|name| Self::OmitIf(name, text.into()));
        }
        variable(expression).map(Self::Variable)
    }

    /// `None` where the engine has something to say: about a name that there is not.
    fn value(&self, place: &Place<'_>) -> Option<Jinja> {
        let (Self::Variable(name) | Self::OrOmit(name) | Self::OmitIf(name, _)) = self;
        let value = place.get(name);
        match self {
            Self::Variable(_) => Some(value),
            _ if value.is_undefined() => None,
            Self::OrOmit(_) => Some(if value.is_true() { value } else { omit() }),
            Self::OmitIf(_, text) => Some(if value.is_true() { omit() } else { text.clone() }),
        }
    }
}

/// Whether an expression that compiles is the name of a variable: not a word of the language, and
/// not `omit`, which the engine knows and the pod's variables do not.
fn is_variable(expression: &str) -> bool {
    let words = ["omit", "true", "false", "none", "True", "False", "None"];
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && expression.chars().all(name)
        && !words.contains(&expression)
}

/// The engine's message with what it adds of detail.
fn problem(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_expressions_have_the_value_that_the_engine_gives() {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.add_global("omit", omit());
        let all = context! { empty => "", nothing => (), no => false, yes => true, text => "x" };
        let variables = ["empty", "nothing", "no", "yes", "text", "absent"];
        for (number, (form, variable)) in ["NAME or omit", "omit if NAME else 'a b'", " NAME "]
            .into_iter()
            .flat_map(|form| variables.map(|variable| (form, variable)))
            .enumerate()
        {
            let source = form.replace("NAME", variable);
            let at = number.to_string();
            let quick = Compiled::expression(&source, at.clone(), &mut environment).unwrap();
            assert!(quick.simple.is_some(), "{source}");
            let slow = Compiled { at, simple: None };
            let [quick, slow] = [quick, slow].map(|c| {
                let all = all.clone().into();
                let place = Place { environment: &environment, scope: None, all };
                c.scalar(&place).map_err(|(at, _)| at)
            });
            assert_eq!(quick, slow, "{source}");
        }
        for other in ["a or b", "omit if a.b else 'c'", "omit if a else 'b' ~ 'c'", "a | upper"] {
            assert!(Simple::read(other).is_none(), "{other}");
        }
    }
}
