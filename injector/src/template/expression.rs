//! An expression in a template: what it says of one pod.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Value as Jinja, context};
use serde_json::Number;

use super::{Scope, Variable};
use crate::content::Content;

/// Path of a node and what is wrong there.
pub(super) type Problem = (String, String);

/// An expression or text with expressions.
pub(super) struct Compiled {
    /// Path of the node.
    at: String,
    /// What needs no engine, as most do not.
    simple: Option<Simple>,
}

/// An expression that is worked out without the engine, to the same value.
#[derive(Debug)]
enum Simple {
    /// `variable`
    Variable(Variable),
    /// `variable or omit`
    OrOmit(Variable),
    /// `omit if variable else 'text'`
    OmitIf(Variable, String),
}

/// The engine has something to say.
struct NotSimple;

/// Where expressions are worked out: what they can name there, and the engine for those that are not
/// simple.
pub(super) struct Place<'a, 't> {
    environment: &'a Environment<'static>,
    /// `None` within `$each`, where `all` holds the item besides.
    scope: Option<&'a dyn Scope<'t>>,
    /// What the engine is given, made when it is first needed.
    all: OnceCell<Jinja>,
}

impl<'a, 't> Place<'a, 't> {
    pub(super) fn new(environment: &'a Environment<'static>, scope: &'a dyn Scope<'t>) -> Self {
        Self { environment, scope: Some(scope), all: OnceCell::new() }
    }

    /// The same place, and `item` named `variable` besides.
    pub(super) fn with(&self, variable: &str, item: Jinja) -> Self {
        let bound = Jinja::from_pairs([(variable, item)]);
        let all = context! { ..bound, ..self.all().clone() };
        Self { environment: self.environment, scope: None, all: all.into() }
    }

    fn all(&self) -> &Jinja {
        self.all.get_or_init(|| {
            let scope = self.scope.into_iter();
            Jinja::from_pairs(scope.flat_map(|scope| {
                Variable::ALL
                    .iter()
                    .map(|variable| (variable.name(), scope.get(*variable).to_jinja()))
            }))
        })
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

impl Compiled {
    /// An expression becomes a template, named by the path of its node, that sets a variable: so it
    /// is compiled once, not for every pod, and its value is read back with its type.
    pub(super) fn expression(
        source: &str,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        let compiled = environment.compile_expression_owned(source.to_owned()).map(drop);
        compiled.map_err(|e| (at.clone(), problem(&e)))?;
        let text = format!("{{% set value = ({source}) %}}");
        let compiled = Self::text(&text, at, environment)?;
        Ok(Self { simple: Simple::read(source.trim()), ..compiled })
    }

    /// Text with expressions in it.
    pub(super) fn text(
        text: &str,
        at: String,
        environment: &mut Environment<'static>,
    ) -> Result<Self, Problem> {
        let added = environment.add_template_owned(at.clone(), text.to_owned());
        added.map_err(|e| (at.clone(), problem(&e)))?;
        Ok(Self { at, simple: None })
    }

    /// Path of the node.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// What the engine makes of it.
    pub(super) fn value(&self, place: &Place<'_, '_>) -> Result<Jinja, Problem> {
        let captured = place
            .environment
            .get_template(&self.at)
            .and_then(|t| t.render_captured(place.all().clone()))
            .map_err(|e| (self.at.clone(), problem(&e)))?;
        Ok(captured.state().lookup("value").unwrap_or_default())
    }

    /// The text, filled in.
    pub(super) fn filled(&self, place: &Place<'_, '_>) -> Result<String, Problem> {
        place
            .environment
            .get_template(&self.at)
            .and_then(|t| t.render(place.all().clone()))
            .map_err(|e| (self.at.clone(), problem(&e)))
    }

    /// Whether it holds, as a condition.
    pub(super) fn is_true(&self, place: &Place<'_, '_>) -> Result<bool, Problem> {
        if let (Some(Simple::Variable(variable)), Some(scope)) = (&self.simple, place.scope) {
            return Ok(scope.get(*variable).is_true());
        }
        self.value(place).map(|value| value.is_true())
    }

    /// The value of a leaf, `None` where it is omitted. Only a scalar may come out of one: a list or
    /// map of the pod's would add structure.
    pub(super) fn leaf<'t>(
        &'t self,
        place: &Place<'_, 't>,
    ) -> Result<Option<Content<'t>>, Problem> {
        if let (Some(simple), Some(scope)) = (&self.simple, place.scope)
            && let Ok(leaf) = simple.leaf(scope)
        {
            return Ok(leaf);
        }
        let value = self.value(place)?;
        let wrong = |what: &str| Err((self.at.clone(), what.to_owned()));
        match value.kind() {
            _ if value.downcast_object_ref::<Omit>().is_some() => Ok(None),
            ValueKind::String => Ok(value.as_str().map(|text| text.to_owned().into())),
            ValueKind::Bool => Ok(Some(Content::Bool(value.is_true()))),
            ValueKind::Number => match (value.as_i64(), f64::try_from(value)) {
                (Some(integer), _) => Ok(Some(Content::Number(integer.into()))),
                (None, Ok(float)) => Ok(Number::from_f64(float).map(Content::Number)),
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
        let variable = |text: &str| Variable::named(text.trim());
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

    /// The value of a leaf, `None` where it is omitted.
    fn leaf<'t>(&'t self, scope: &dyn Scope<'t>) -> Result<Option<Content<'t>>, NotSimple> {
        let (Self::Variable(variable) | Self::OrOmit(variable) | Self::OmitIf(variable, _)) = self;
        let fact = scope.get(*variable);
        match self {
            Self::Variable(_) => fact.leaf().map(Some).ok_or(NotSimple),
            Self::OrOmit(_) if fact.is_true() => fact.leaf().map(Some).ok_or(NotSimple),
            Self::OmitIf(_, text) if !fact.is_true() => Ok(Some(Content::Text(text.into()))),
            Self::OrOmit(_) | Self::OmitIf(..) => Ok(None),
        }
    }
}

/// The engine's message with what it adds of detail.
pub(super) fn problem(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::super::Fact;
    use super::*;

    /// A kind of fact for each of some variables.
    struct Facts;

    impl<'t> Scope<'t> for Facts {
        fn get(&self, variable: Variable) -> Fact<'_, 't> {
            match variable {
                Variable::Image => Fact::Found("".into()),
                Variable::Native => Fact::Flag(false),
                Variable::Pilot => Fact::Flag(true),
                Variable::Version => Fact::Found("x".into()),
                Variable::Cpu => Fact::Fixed("y"),
                Variable::Labels => Fact::Map(crate::content::Node::Null),
                _ => Fact::Nothing,
            }
        }
    }

    #[test]
    fn simple_expressions_have_the_value_that_the_engine_gives() {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.add_global("omit", omit());
        let variables = ["image", "appId", "native", "pilot", "version", "cpu", "labels"];
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
            let place = Place::new(&environment, &Facts);
            let leaves = [&quick, &slow].map(|c| c.leaf(&place).map_err(|(at, _)| at));
            assert_eq!(leaves[0], leaves[1], "{source}");
            let conditions = [&quick, &slow].map(|c| c.is_true(&place));
            assert_eq!(conditions[0], conditions[1], "{source}");
        }
        let others = ["a or b", "omit if a.b else 'c'", "omit if a else 'b' ~ 'c'", "a | upper"];
        for other in others.into_iter().chain(["absent", "absent or omit", "omit", "true"]) {
            assert!(Simple::read(other).is_none(), "{other}");
        }
    }
}
