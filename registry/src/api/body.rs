//! Reading the JSON that clients send.
//!
//! Clients are written in many languages: what they leave out, send as `null` or add of their own
//! is all the same to us, and so is their `Content-Type`.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use super::Service;
use super::reply::refused;
use crate::store::Refusal;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Response> {
        let longest = service.longest_body;
        let too_long = || {
            let detail = format!("the body is longer than {longest} bytes (--max-body)");
            refused(StatusCode::PAYLOAD_TOO_LARGE, detail)
        };
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let announced: Option<usize> = announced.and_then(|length| length.parse().ok());
        if announced.is_some_and(|length| length > longest) {
            return Err(too_long());
        }
        // Counted as it arrives: who only announces much, or is slow, takes room from nobody.
        let (mut body, mut bytes) = (request.into_body(), Vec::new());
        let mut room: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let broken =
                |_| refused(StatusCode::BAD_REQUEST, "the body did not arrive whole".into());
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > longest {
                return Err(too_long());
            }
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let Ok(taken) = service.bodies.try_acquire_many(length) else {
                let detail = "too many bodies are being read: try again";
                return Err(refused(StatusCode::SERVICE_UNAVAILABLE, detail.into()));
            };
            match &mut room {
                Some(room) => room.merge(taken),
                None => room = Some(taken),
            }
            bytes.extend_from_slice(&data);
        }
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let no_json = |error: serde_json::Error| {
        Refusal::invalid(format!("the body is not the JSON that is expected here: {error}"))
    };
    let mut value: Value = serde_json::from_slice(bytes).map_err(no_json)?;
    if !value.is_object() {
        return Err(Refusal::invalid("the body must be a JSON object"));
    }
    remove_nulls(&mut value);
    serde_json::from_value(value).map_err(no_json)
}

/// Removes the fields that are `null`, at every depth (the parser bounds it).
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Code, NewService};

    #[test]
    fn what_is_null_was_not_sent() {
        let new: NewService = parse(
            br#"{"service":{"serviceName":"a","properties":null,"schemas":null,"framework":
            {"name":null,"version":"1"},"other":{"of":["its",null,"own"]}},"tags":null}"#,
        )
        .unwrap();
        let service = new.service.unwrap();
        assert_eq!(service.service_name, "a");
        assert_eq!(service.framework.unwrap().version, "1");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in ["", "{", "[]", "null", "3", r#"{"service":[1]}"#, r#"{"tags":{"a":1}}"#, "{} x"]
        {
            let refusal = parse::<NewService>(bad.as_bytes()).expect_err(bad);
            assert_eq!(refusal.code, Code::InvalidParameters, "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse::<NewService>(deep.as_bytes()).is_err());
    }
}
