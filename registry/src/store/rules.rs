//! Which values are acceptable, and what is said of one that is not.
//!
//! Limits and sentences are those of a service-center, which clients quote to their users.

use super::refusal::Refusal;
use crate::model::{DataCenter, HealthCheck, Instance, Microservice, Status};

/// What a text may be: how long, in characters, and of what form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    shortest: usize,
    longest: Option<usize>,
    form: Option<Form>,
}

/// A form, with the text that describes it.
#[derive(Debug, Clone, Copy)]
struct Form {
    fits: fn(&str) -> bool,
    text: &'static str,
}

const NAME: Form = Form {
    fits: |text| is_name(text, "_-."),
    text: r"^[a-zA-Z0-9]*$|^[a-zA-Z0-9][a-zA-Z0-9_\-.]*[a-zA-Z0-9]$",
};
const NAME_OR_ALIAS: Form = Form {
    fits: |text| is_name(text, "_-.:"),
    text: r"^[a-zA-Z0-9]*$|^[a-zA-Z0-9][a-zA-Z0-9_\-.:]*[a-zA-Z0-9]$",
};
const SCHEMA: Form = Form {
    fits: |text| !text.is_empty() && text.len() <= 160 && is_name(text, "_-."),
    text: r"^[a-zA-Z0-9]{1,160}$|^[a-zA-Z0-9][a-zA-Z0-9_\-.]{0,158}[a-zA-Z0-9]$",
};
const SIMPLE: Form = Form { fits: |text| only(text, "_.-"), text: r"^[A-Za-z0-9_.-]*$" };
const ALIAS: Form = Form { fits: |text| only(text, "_-.:"), text: r"^[a-zA-Z0-9_\-.:]*$" };
const NO_SPACE: Form = Form { fits: |text| !text.contains(char::is_whitespace), text: r"^\S*$" };
const SOMETHING: Form =
    Form { fits: |text| text.contains(|c: char| !c.is_whitespace()), text: r"\S+" };
const VERSION: Form =
    Form { fits: is_version, text: "the form x[.y[.z]] where x y and z are 0-32767 range" };
const ENVIRONMENT: Form = Form {
    fits: |text| ["", "development", "testing", "acceptance", "production"].contains(&text),
    text: "^(development|testing|acceptance|production)*$",
};
const LEVEL: Form = Form {
    fits: |text| ["FRONT", "MIDDLE", "BACK"].contains(&text),
    text: "^(FRONT|MIDDLE|BACK)$",
};
const SERVICE_STATUS: Form =
    Form { fits: |text| ["", "UP", "DOWN"].contains(&text), text: "^(UP|DOWN)?$" };
const REGISTER_BY: Form = Form {
    fits: |text| ["", "SDK", "SIDECAR", "PLATFORM"].contains(&text),
    text: "^(SDK|SIDECAR|PLATFORM)*$",
};
const MODE: Form = Form { fits: |text| ["push", "pull"].contains(&text), text: "^(push|pull)$" };
const INSTANCE_STATUS: Form = Form {
    fits: |text| text.is_empty() || Status::parse(text).is_some(),
    text: "^(UP|DOWN|STARTING|TESTING|OUTOFSERVICE)?$",
};
const NEW_STATUS: Form = Form {
    fits: |text| Status::parse(text).is_some(),
    text: "^(UP|DOWN|STARTING|TESTING|OUTOFSERVICE)$",
};

const fn rule(shortest: usize, longest: usize, form: Form) -> Rule {
    Rule { shortest, longest: Some(longest), form: Some(form) }
}

const fn form(form: Form) -> Rule {
    Rule { shortest: 0, longest: None, form: Some(form) }
}

const fn longest(longest: usize) -> Rule {
    Rule { shortest: 0, longest: Some(longest), form: None }
}

/// What makes a version: at most four numbers, each below 32,768.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() <= 4
        && parts.iter().all(|part| {
            part.len() <= 5
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse::<u16>().is_ok_and(|number| number <= 32_767)
        })
}

fn only(text: &str, also: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// Letters and digits, and the characters of `between` where they are neither first nor last.
fn is_name(text: &str, between: &str) -> bool {
    only(text, between)
        && !text.starts_with(|c| between.contains(c))
        && !text.ends_with(|c| between.contains(c))
}

impl Rule {
    /// Accepts `value`, or says what is wrong with the field it stands in.
    fn check(self, field: &str, value: &str) -> Result<(), Refusal> {
        let length = value.chars().count();
        let fits = length >= self.shortest
            && self.longest.is_none_or(|longest| length <= longest)
            && self.form.is_none_or(|form| (form.fits)(value));
        if fits { Ok(()) } else { Err(self.refuse(field, value)) }
    }

    fn refuse(self, field: &str, value: &str) -> Refusal {
        let mut parts = Vec::new();
        if self.shortest > 0 {
            parts.push(format!("Min: {}", self.shortest));
        }
        if let Some(longest) = self.longest {
            parts.push(format!("Max: {longest}"));
        }
        if let Some(form) = self.form {
            parts.push(format!("Regexp: {}", form.text));
        }
        // A long value would drown what is said about it.
        let value: String = value.chars().take(200).collect();
        mismatch(field, &value, &parts.join(", "))
    }
}

fn mismatch(field: &str, value: &str, rule: &str) -> Refusal {
    Refusal::invalid(format!(
        "field '{field}' invalid value '{value}' does not match rule: {{{rule}}}"
    ))
}

/// The refusal of a list or object that is missing, empty or too long.
pub(super) fn size(field: &str, value: &str, shortest: usize, longest: Option<usize>) -> Refusal {
    let rule = match longest {
        Some(longest) => format!("Min: {shortest}, Max: {longest}"),
        None => format!("Min: {shortest}"),
    };
    mismatch(field, value, &rule)
}

/// A number between bounds.
fn number(field: &str, value: i64, least: i64, most: i64) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let least = if least > 0 { format!("Min: {least}, ") } else { String::new() };
    Err(mismatch(field, &value.to_string(), &format!("{least}Max: {most}")))
}

/// A service as a client sends it, with its defaults filled in.
pub(super) fn microservice(service: &Microservice) -> Result<(), Refusal> {
    let check =
        |field: &str, rule: Rule, value: &str| rule.check(&format!("MicroService.{field}"), value);
    check("ServiceName", rule(1, 128, NAME), &service.service_name)?;
    check("Version", rule(0, 64, VERSION), &service.version)?;
    check("Environment", form(ENVIRONMENT), &service.environment)?;
    check("AppId", rule(0, 160, NAME), &service.app_id)?;
    check("ServiceId", rule(0, 64, NO_SPACE), &service.service_id)?;
    check("Description", longest(256), &service.description)?;
    check("Level", form(LEVEL), &service.level)?;
    check("Status", form(SERVICE_STATUS), &service.status)?;
    check("Alias", rule(0, 128, ALIAS), &service.alias)?;
    check("RegisterBy", rule(0, 64, REGISTER_BY), &service.register_by)?;
    if service.schemas.len() > MOST_SCHEMAS {
        let count = format!("{} names", service.schemas.len());
        return Err(size("MicroService.Schemas", &count, 0, Some(MOST_SCHEMAS)));
    }
    service.schemas.iter().try_for_each(|schema| check("Schemas", form(SCHEMA), schema))?;
    if let Some(framework) = &service.framework {
        rule(0, 64, NAME).check("FrameWork.Name", &framework.name)?;
        longest(64).check("FrameWork.Version", &framework.version)?;
    }
    Ok(())
}

/// How many schemas, and how many tags, one service may have.
pub(super) const MOST_SCHEMAS: usize = 100;

/// An instance as a client sends it, but for its status.
pub(super) fn instance(instance: &Instance) -> Result<(), Refusal> {
    let check = |field: &str, rule: Rule, value: &str| {
        rule.check(&format!("MicroServiceInstance.{field}"), value)
    };
    check("InstanceId", rule(0, 64, SIMPLE), &instance.instance_id)?;
    check("HostName", rule(1, 64, SOMETHING), &instance.host_name)?;
    instance.endpoints.iter().try_for_each(|url| check("Endpoints", form(SOMETHING), url))?;
    health_check(&instance.health_check)?;
    instance.data_center_info.as_ref().map_or(Ok(()), data_center)
}

fn health_check(health: &HealthCheck) -> Result<(), Refusal> {
    form(MODE).check("HealthCheck.Mode", &health.mode)?;
    number("HealthCheck.Port", health.port, 0, u16::MAX.into())?;
    number("HealthCheck.Times", health.times, 0, i32::MAX.into())?;
    number("HealthCheck.Interval", health.interval, 1, i32::MAX.into())?;
    form(NO_SPACE).check("HealthCheck.Url", &health.url)
}

fn data_center(center: &DataCenter) -> Result<(), Refusal> {
    const PLACE: Rule = rule(1, 128, SIMPLE);
    PLACE.check("DataCenterInfo.Name", &center.name)?;
    PLACE.check("DataCenterInfo.Region", &center.region)?;
    PLACE.check("DataCenterInfo.AvailableZone", &center.available_zone)
}

/// The status in the record of a new instance; empty is `UP`.
pub(super) fn first_status(word: &str) -> Result<Status, Refusal> {
    form(INSTANCE_STATUS).check("MicroServiceInstance.Status", word)?;
    Ok(Status::parse(word).unwrap_or(Status::Up))
}

/// The status that an instance is to change to.
pub(super) fn next_status(word: &str) -> Result<Status, Refusal> {
    let rule = form(NEW_STATUS);
    Status::parse(word).ok_or_else(|| rule.refuse("UpdateInstanceStatusRequest.Status", word))
}

/// The names in a query for a service; `request` is what the query is called in the answer.
pub(super) fn query(
    request: &str,
    environment: &str,
    app: &str,
    service: &str,
) -> Result<(), Refusal> {
    let check =
        |field: &str, rule: Rule, value: &str| rule.check(&format!("{request}.{field}"), value);
    check("Environment", form(ENVIRONMENT), environment)?;
    check("AppId", rule(1, 160, NAME), app)?;
    check("ServiceName", rule(1, 289, NAME_OR_ALIAS), service)
}

/// The version in a question whether a service exists.
pub(super) fn existing_version(version: &str) -> Result<(), Refusal> {
    rule(1, 64, VERSION).check("GetExistenceRequest.Version", version)
}

/// A service that is named as the consumer of others.
pub(super) fn consumer_key(
    environment: &str,
    app: &str,
    service: &str,
    version: &str,
) -> Result<(), Refusal> {
    form(ENVIRONMENT).check("MicroServiceKey.Environment", environment)?;
    rule(1, 160, NAME).check("MicroServiceKey.AppId", app)?;
    rule(1, 128, NAME).check("MicroServiceKey.ServiceName", service)?;
    rule(1, 64, VERSION).check("MicroServiceKey.Version", version)
}

/// The name of a tag, and what it says.
pub(super) fn tag(key: &str, value: &str) -> Result<(), Refusal> {
    rule(1, 64, NAME).check("AddServiceTagsRequest.Key", key)?;
    rule(0, 64, NAME).check("AddServiceTagsRequest.Value", value)
}

/// A schema's id, text and summary.
pub(super) fn schema(id: &str, schema: &str, summary: &str) -> Result<(), Refusal> {
    form(SCHEMA).check("ModifySchemaRequest.SchemaId", id)?;
    if schema.is_empty() {
        return Err(size("ModifySchemaRequest.Schema", "", 1, None));
    }
    rule(0, 128, SIMPLE).check("ModifySchemaRequest.Summary", summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["0", "1", "1.0", "1.2.3", "1.2.3.4", "32767.0.0", "0.0.1"] {
            assert!(is_version(good), "{good}");
        }
        for bad in
            ["", "v1", "1.", ".1", "1..2", "1.2.3.4.5", "32768", "1.0+", "-1", "+1", "latest"]
        {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn names() {
        let fits = |text: &str| rule(1, 128, NAME).check("F", text).is_ok();
        for good in ["a", "A9", "a-b", "a.b_c", "0"] {
            assert!(fits(good), "{good}");
        }
        for bad in ["", "-", "a-", ".a", "a b/c", "ä", "a:b"] {
            assert!(!fits(bad), "{bad}");
        }
        let long = "a".repeat(129);
        assert!(fits(&long[..128]) && !fits(&long));
        assert!(rule(1, 289, NAME_OR_ALIAS).check("F", "app:name").is_ok());
    }

    #[test]
    fn a_refusal_names_field_value_and_rule() {
        let refusal = first_status("BUSY").expect_err("no such status");
        assert_eq!(
            refusal.detail,
            "field 'MicroServiceInstance.Status' invalid value 'BUSY' does not match rule: \
             {Regexp: ^(UP|DOWN|STARTING|TESTING|OUTOFSERVICE)?$}"
        );
        assert_eq!(first_status("").unwrap(), Status::Up);
        let long = rule(1, 64, SOMETHING).check("F", &"x".repeat(100_000)).expect_err("too long");
        assert!(long.detail.len() < 400, "a long value is not repeated");
    }
}
