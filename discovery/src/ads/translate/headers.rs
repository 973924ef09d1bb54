//! Changes of headers.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{
    HeaderValueOption, header_value_option::HeaderAppendAction,
};
use http::{HeaderName, HeaderValue};
use mesh::virtual_host::{HeaderChange, HeaderChanges, Write};

use super::{Invalid, Unsupported};

/// What says how far a message goes, and to whom: a rule that changed it would have two readers see
/// two messages.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What one part of a resource says of them: first what goes, then what comes.
pub(super) fn changes(
    field: &str,
    add: &[HeaderValueOption],
    remove: &[String],
    unsupported: &mut Unsupported,
) -> Result<HeaderChanges, Invalid> {
    let mut changes = HeaderChanges::new();
    for header in remove {
        let name = name(header).map_err(|reason| {
            Invalid::new(field.replace("_to_add", "_to_remove"), format!("\"{header}\" {reason}"))
        })?;
        if is_framing(&name, unsupported) {
            continue;
        }
        changes.push(HeaderChange::Remove(name));
    }
    for (at, option) in add.iter().enumerate() {
        let wrong = |part: &str, reason: String| {
            let field = format!("{field}[{at}]{part}");
            Invalid::new(field, reason)
        };
        let header = option.header.as_ref();
        let header = header.ok_or_else(|| wrong(".header", "is missing".to_owned()))?;
        let key = &header.key;
        let name =
            name(key).map_err(|reason| wrong(".header.key", format!("\"{key}\" {reason}")))?;
        HeaderValue::from_str(&header.value)
            .map_err(|_| wrong(".header.value", "has a character that none may have".to_owned()))?;
        let how = match HeaderAppendAction::try_from(option.append_action) {
            Ok(HeaderAppendAction::AppendIfExistsOrAdd) => Write::Append,
            Ok(HeaderAppendAction::AddIfAbsent) => Write::IfAbsent,
            Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => Write::Set,
            Ok(HeaderAppendAction::OverwriteIfExists) => Write::IfPresent,
            Err(_) => return Err(wrong(".append_action", "is not known".to_owned())),
        };
        #[expect(deprecated, reason = "older control planes say it here")]
        let how = match option.append {
            Some(append) if !append.value => Write::Set,
            _ => how,
        };
        if is_framing(&name, unsupported) {
            continue;
        }
        match literal(&header.value) {
            Some(value) => changes.push(HeaderChange::Write { name, value: value.into(), how }),
            None => unsupported.note(format!("{field}.{name} with %…%")),
        }
    }
    Ok(changes)
}

fn name(text: &str) -> Result<Arc<str>, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes());
    name.map(|name| name.as_str().into()).map_err(|_| "is no name of a header")
}

fn is_framing(name: &str, unsupported: &mut Unsupported) -> bool {
    let framing = FRAMING.contains(&name);
    unsupported.note_if(framing, &format!("a change of {name}"));
    framing
}

/// A value without commands: `%REQ(x)%` is one, `%%` is how a percent sign is written.
fn literal(value: &str) -> Option<String> {
    let plain = value.replace("%%", "\0");
    (!plain.contains('%')).then(|| plain.replace('\0', "%"))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
    use mesh::virtual_host::{HeaderChange, Write};

    use super::super::Unsupported;
    use super::changes;

    fn add(key: &str, value: &str) -> HeaderValueOption {
        let header =
            HeaderValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() };
        HeaderValueOption { header: Some(header), ..Default::default() }
    }

    #[test]
    fn what_cannot_be_done_is_named_and_what_is_wrong_is_refused() {
        let mut unsupported = Unsupported::default();
        let field = "request_headers_to_add";
        let all = [add("X-A", "50%%"), add("x-b", "%REQ(x)%"), add("Content-Length", "0")];
        let found = changes(field, &all, &["X-Gone".to_owned()], &mut unsupported).unwrap();
        let (name, value) = ("x-a".into(), "50%".into());
        assert_eq!(
            found,
            [
                HeaderChange::Remove("x-gone".into()),
                HeaderChange::Write { name, value, how: Write::Append }
            ]
        );
        let named: Vec<&str> = unsupported.0.iter().map(|name| &**name).collect();
        assert_eq!(named, ["request_headers_to_add.x-b with %…%", "a change of content-length"]);
        for wrong in [add(":path", "/"), add("a b", "c"), add("", "c"), add("x", "a\nb")] {
            let told = changes(field, &[wrong], &[], &mut unsupported).unwrap_err().to_string();
            assert!(told.starts_with("request_headers_to_add[0].header"), "{told}");
        }
        assert!(changes(field, &[], &["a b".to_owned()], &mut unsupported).is_err());
    }
}
