//! Handler chains: their order is fixed here, but what is not in one does not happen.

use super::Reader;
use crate::configuration::keys::{self, distance};
use crate::configuration::kind;
use crate::configuration::values::Entry;

/// Handlers of go-chassis and mesher.
const KNOWN: [&str; 14] = [
    "router",
    "loadbalance",
    "ratelimiter-consumer",
    "ratelimiter-provider",
    "rate-limiter",
    "traffic-marker",
    "bizkeeper-consumer",
    "bizkeeper-provider",
    "fault-inject",
    "tracing-consumer",
    "tracing-provider",
    "monitoring",
    "port-selector",
    "transport",
];

/// Handlers that there are no more, and what to do.
const GONE: [(&str, &str); 5] = [
    ("local-selection", "take it out: instances are chosen by loadbalance"),
    ("x-forward", "take it out: X-Forwarded-Host is always set"),
    ("skywalking-consumer", "use tracing-consumer, with Zipkin"),
    ("skywalking-provider", "use tracing-provider, with Zipkin"),
    ("oauth2", "take it out: check tokens in the application, or at an ingress gateway"),
];

/// What the chains decide.
pub(super) struct Chains<'a> {
    /// What calls of the application pass.
    outgoing: Vec<&'a str>,
    /// What requests of others to it pass.
    incoming: Vec<&'a str>,
    /// Chains that were written out, and leave one side without tracing.
    pub(super) untraced: [Option<&'a Entry>; 2],
}

/// The chains that say whether a side is traced, and by which word: the consumer's, the provider's.
const TRACED: [(&str, &str); 2] =
    [("Consumer.outgoing", "tracing-consumer"), ("Provider.incoming", "tracing-provider")];

pub(super) fn chains<'a>(reader: &mut Reader<'a>) -> Chains<'a> {
    let keys = reader.values.below("servicecomb.handler.chain");
    let entries: Vec<(String, &'a Entry)> =
        keys.map(|(key, entry)| (key.to_owned(), entry)).collect();
    let mut chains = Chains {
        outgoing: built_in("servicecomb.handler.chain.Consumer.outgoing"),
        incoming: built_in("servicecomb.handler.chain.Provider.incoming"),
        untraced: [None, None],
    };
    for (key, entry) in entries {
        let words: Vec<&str> =
            entry.text().map_or_else(Vec::new, |text| kind::words(text).collect());
        for word in &words {
            check(reader, entry, word);
        }
        match key.as_str() {
            "Consumer.outgoing" => chains.outgoing.clone_from(&words),
            "Provider.incoming" => chains.incoming.clone_from(&words),
            _ => {}
        }
        for (side, (of, word)) in chains.untraced.iter_mut().zip(TRACED) {
            if key == of && !words.is_empty() && !words.contains(&word) {
                *side = Some(entry);
            }
        }
    }
    chains
}

impl Chains<'_> {
    /// Whether calls of the application pass this handler.
    pub(super) fn calls_pass(&self, handler: &str) -> bool {
        self.outgoing.contains(&handler)
    }

    /// Whether requests of others to it do.
    pub(super) fn requests_pass(&self, handler: &str) -> bool {
        self.incoming.contains(&handler)
    }
}

/// The chain that nobody has written out.
fn built_in(key: &str) -> Vec<&'static str> {
    keys::find(key).map_or_else(Vec::new, |row| kind::words(row.default).collect())
}

fn check(reader: &mut Reader<'_>, entry: &Entry, word: &str) {
    if KNOWN.contains(&word) {
        return;
    }
    if let Some((_, what_to_do)) = GONE.iter().find(|(gone, _)| *gone == word) {
        return reader.warning(entry, format!("handler \"{word}\" has no effect: {what_to_do}"));
    }
    let meant =
        KNOWN.iter().map(|known| (distance(known, word), known)).filter(|(n, _)| *n <= 3).min();
    let hint = match meant {
        Some((_, known)) => format!("did you mean \"{known}\"?"),
        None => format!("there are {}", KNOWN.join(", ")),
    };
    reader.error(entry, format!("there is no handler \"{}\": {hint}", kind::short(word)));
}
