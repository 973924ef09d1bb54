//! The configuration center.

use std::time::Duration;

use discovery::center::ApiVersion;

use super::Reader;
use crate::configuration::kind;
use crate::settings::{Center, CenterKind};

/// What there is between two questions, where nobody says otherwise.
const INTERVAL: Duration = Duration::from_secs(30);

/// Whom to ask for keys, if anybody.
pub(super) fn center(reader: &mut Reader<'_>) -> Option<Center> {
    let key = |name: &str| format!("servicecomb.config.client.{name}");
    let server = reader.entry(&[&key("serverUri")])?;
    if reader.flag(&[&key("enabled")]) == Some(false) {
        return None;
    }
    let named = reader.entry(&[&key("type")]);
    let kind = match named.and_then(|entry| entry.text()).map(str::to_ascii_lowercase).as_deref() {
        Some("config_center") => {
            let api = reader.text(&[&key("api.version")]).unwrap_or_default();
            let second = api.eq_ignore_ascii_case("v2");
            CenterKind::ConfigCenter {
                api: if second { ApiVersion::V2 } else { ApiVersion::V3 },
                tenant: reader.text(&[&key("tenantName")]).unwrap_or("default").to_owned(),
                dimension: reader.text(&[&key("dimensionsInfo")]).map(str::to_owned),
            }
        }
        Some("apollo") => {
            if let Some(entry) = named {
                let message = "apollo is not part of mesher, and nothing is asked: there are \
                               servicecomb-kie and config_center, and files, which are reread \
                               while it runs";
                reader.warning(entry, message);
            }
            return None;
        }
        _ => CenterKind::Kie,
    };
    let seconds = |text: &str| kind::whole(text).map(Duration::from_secs);
    Some(Center {
        kind,
        addresses: server.text().map(kind::urls).unwrap_or_default(),
        waits: reader.get(&[&key("refreshMode")], kind::whole) != Some(1),
        interval: reader.get(&[&key("refreshInterval")], seconds).unwrap_or(INTERVAL),
        project: reader.text(&["servicecomb.registry.project"]).unwrap_or("default").to_owned(),
    })
}
