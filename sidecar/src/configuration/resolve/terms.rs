//! On which terms requests are sent: load_balancing.yaml, circuit_breaker.yaml, rate_limiting.yaml
//! and fault.yaml, in general and of single services.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh::balance::{HashOn, Outliers, Stickiness, Strategy, SuccessRate};
use mesh::{
    Backoff, BreakerScope, BreakerTerms, BudgetTerms, Fault, GrpcStatus, GrpcStatuses, Rate,
    Retries,
};

use super::Reader;
use super::handlers::Chains;
use crate::configuration::kind;
use crate::configuration::values::Entry;
use crate::settings::{Balancing, Fallback, Terms};

const BALANCING: &str = "servicecomb.loadbalance";
const BREAKER: &str = "servicecomb.circuitBreaker";
const ISOLATION: &str = "servicecomb.isolation";
const LIMITS: &str = "servicecomb.flowcontrol.Consumer.qps.limit";
const FAULTS: &str = "servicecomb.governance.Consumer";
/// Between a service's name and its faults.
const POLICY: &str = "policy.fault.protocols.rest";

/// Keys that a service may have of its own, below its name.
const OWN: [(&str, &[&str]); 5] = [
    (
        BALANCING,
        &[
            "strategy.name",
            "strategy.hashOn",
            "strategy.sessionTimeoutInSeconds",
            "SessionStickinessRule.sessionTimeoutInSeconds",
            "SessionStickinessRule.successiveFailedTimes",
            "retryEnabled",
            "retryOnNext",
            "retryOnSame",
            "retryAnyMethod",
            "retryGrpcStatuses",
            "retryTimeoutMs",
            "retryBudgetPercent",
            "backoff.kind",
            "backoff.minMs",
            "backoff.maxMs",
            "outlier.consecutiveErrors",
            "outlier.consecutiveGatewayErrors",
            "outlier.ejectionSeconds",
            "outlier.maxEjectionPercent",
            "outlier.successRateDeviation",
            "outlier.successRateHosts",
            "outlier.successRateVolume",
            "panicPercent",
            "slowStartSeconds",
        ],
    ),
    (
        "servicecomb.circuitBreaker.Consumer",
        &[
            "enabled",
            "forceOpen",
            "forceClosed",
            "sleepWindowInMilliseconds",
            "requestVolumeThreshold",
            "errorThresholdPercentage",
        ],
    ),
    ("servicecomb.isolation.Consumer", &["timeoutInMilliseconds", "maxConcurrentRequests"]),
    ("servicecomb.fallback.Consumer", &["enabled", "force"]),
    ("servicecomb.fallbackpolicy.Consumer", &["policy"]),
];

/// The services that anything is said of.
pub(super) fn services(reader: &Reader<'_>) -> BTreeSet<String> {
    let values = reader.values;
    let mut services = BTreeSet::new();
    for (prefix, ends) in OWN {
        for (rest, _) in values.below(prefix) {
            let name = ends.iter().find_map(|end| rest.strip_suffix(end)?.strip_suffix('.'));
            services.extend(name.map(str::to_owned));
        }
    }
    services.extend(values.below(LIMITS).map(|(name, _)| name.to_owned()));
    let faulty = values.below(FAULTS).filter_map(|(rest, _)| rest.split_once(".policy."));
    services.extend(faulty.map(|(name, _)| name.to_owned()).filter(|name| name != "_global"));
    services
}

/// Reads the terms of one service, or the general ones.
struct Scoped<'a, 'r> {
    reader: &'a mut Reader<'r>,
    service: Option<&'a str>,
}

/// The terms of requests to `service`; `None`: to all that has none of its own.
pub(super) fn consumer(
    reader: &mut Reader<'_>,
    chains: &Chains<'_>,
    service: Option<&str>,
) -> Terms {
    let mut scoped = Scoped { reader, service };
    let limited = scoped.reader.flag(&["servicecomb.flowcontrol.Consumer.qps.enabled"]);
    let limited = limited.unwrap_or(true) && chains.calls_pass("ratelimiter-consumer");
    Terms {
        connect: None,
        breaker: scoped.breaker("Consumer", chains.calls_pass("bizkeeper-consumer")),
        balancing: scoped.balancing(),
        retries: scoped.retries(),
        failing: failing(scoped.reader),
        // The general one is among the limits.
        timeout: service.and_then(|_| scoped.own_timeout()),
        rate: scoped.rate().filter(|_| limited),
        concurrency: scoped.number(&format!("{ISOLATION}.Consumer"), "maxConcurrentRequests"),
        fallback: scoped.fallback(chains.calls_pass("bizkeeper-consumer")),
        fault: if chains.calls_pass("fault-inject") { scoped.fault() } else { Fault::default() },
    }
}

/// The terms of requests to the application behind us.
pub(super) fn provider(reader: &mut Reader<'_>, chains: &Chains<'_>) -> Terms {
    let scoped = Scoped { reader, service: None };
    let limited = scoped.reader.flag(&["servicecomb.flowcontrol.Provider.qps.enabled"]);
    let limited = limited.unwrap_or(true) && chains.requests_pass("ratelimiter-provider");
    let global = "servicecomb.flowcontrol.Provider.qps.global.limit";
    let rate = scoped.reader.get(&[global], rate).filter(|_| limited);
    Terms {
        breaker: scoped.breaker("Provider", chains.requests_pass("bizkeeper-provider")),
        failing: failing(scoped.reader),
        rate,
        concurrency: scoped.number(&format!("{ISOLATION}.Provider"), "maxConcurrentRequests"),
        ..Terms::default()
    }
}

/// So many a second.
pub(super) fn rate(text: &str) -> Option<Rate> {
    kind::whole(text).and_then(|limit| u32::try_from(limit).ok()).map(Rate::per_second)
}

/// `transport.failure.rest`: `http_500,http_502`.
fn failing(reader: &mut Reader<'_>) -> Vec<u16> {
    let Some(entry) = reader.entry(&["servicecomb.transport.failure.rest"]) else {
        return Vec::new();
    };
    let mut statuses = Vec::new();
    for word in entry.words() {
        let status = word.strip_prefix("http_").and_then(|digits| digits.parse::<u16>().ok());
        if let Some(status) = status.filter(|status| (100..600).contains(status)) {
            statuses.push(status);
        } else {
            let word = kind::short(word);
            reader.error(entry, format!("\"{word}\" is not allowed here: write http_500"));
        }
    }
    statuses
}

impl<'r> Scoped<'_, 'r> {
    /// What was said of the service, or else in general.
    fn entry(&self, root: &str, name: &str) -> Option<&'r Entry> {
        let own = self
            .service
            .and_then(|service| self.reader.values.get(&format!("{root}.{service}.{name}")));
        own.or_else(|| self.reader.values.get(&format!("{root}.{name}")))
    }

    fn text(&self, root: &str, name: &str) -> Option<&'r str> {
        self.entry(root, name).and_then(Entry::text)
    }

    fn flag(&self, root: &str, name: &str) -> Option<bool> {
        self.text(root, name).and_then(kind::flag)
    }

    fn number<T: TryFrom<u64>>(&self, root: &str, name: &str) -> Option<T> {
        self.text(root, name).and_then(kind::whole).and_then(|number| number.try_into().ok())
    }

    fn millis(&self, root: &str, name: &str) -> Option<Duration> {
        self.number(root, name).map(Duration::from_millis)
    }

    fn seconds(&self, root: &str, name: &str) -> Option<Duration> {
        self.number(root, name).map(Duration::from_secs)
    }

    fn breaker(&self, role: &str, in_chain: bool) -> BreakerTerms {
        let (root, built_in) = (format!("{BREAKER}.{role}"), BreakerTerms::default());
        // The application behind us is one instance.
        let scope = self.text(BREAKER, "scope").filter(|_| role == "Consumer");
        BreakerTerms {
            scope: match scope.map(str::to_ascii_lowercase).as_deref() {
                Some("instance" | "instance-api") => BreakerScope::Instance,
                _ => BreakerScope::Service,
            },
            // The handler has to be in the chain too, as it always had.
            enabled: self.flag(&root, "enabled").unwrap_or(built_in.enabled) && in_chain,
            force_open: self.flag(&root, "forceOpen").unwrap_or(built_in.force_open),
            force_closed: self.flag(&root, "forceClosed").unwrap_or(built_in.force_closed),
            volume: self.number(&root, "requestVolumeThreshold").unwrap_or(built_in.volume),
            error_percent: self
                .number(&root, "errorThresholdPercentage")
                .unwrap_or(built_in.error_percent),
            sleep: self.millis(&root, "sleepWindowInMilliseconds").unwrap_or(built_in.sleep),
        }
    }

    fn fallback(&self, in_chain: bool) -> Fallback {
        let (root, policy) =
            ("servicecomb.fallback.Consumer", "servicecomb.fallbackpolicy.Consumer");
        if !in_chain || !self.flag(root, "enabled").unwrap_or(true) {
            return Fallback::default();
        }
        let policy = self.text(policy, "policy").unwrap_or_default();
        Fallback {
            empty: policy.eq_ignore_ascii_case("returnnull"),
            forced: self.flag(root, "force").unwrap_or(false),
        }
    }

    fn balancing(&mut self) -> Balancing {
        let built_in = Outliers::default();
        let seconds = |name| self.seconds(BALANCING, name);
        Balancing {
            outliers: Outliers {
                errors: self.number(BALANCING, "outlier.consecutiveErrors").unwrap_or(0),
                gateway_errors: self
                    .number(BALANCING, "outlier.consecutiveGatewayErrors")
                    .unwrap_or(0),
                success_rate: SuccessRate {
                    deviation: self.number(BALANCING, "outlier.successRateDeviation").unwrap_or(0),
                    hosts: self
                        .number(BALANCING, "outlier.successRateHosts")
                        .unwrap_or(built_in.success_rate.hosts),
                    volume: self
                        .number(BALANCING, "outlier.successRateVolume")
                        .unwrap_or(built_in.success_rate.volume),
                },
                first: seconds("outlier.ejectionSeconds").unwrap_or(built_in.first),
                longest: built_in.longest,
                most_percent: self
                    .number(BALANCING, "outlier.maxEjectionPercent")
                    .unwrap_or(built_in.most_percent),
            },
            panic_percent: self.number(BALANCING, "panicPercent").unwrap_or(0),
            slow_start: seconds("slowStartSeconds").unwrap_or_default(),
            strategy: self.strategy(),
        }
    }

    fn strategy(&mut self) -> Strategy {
        let Some(name) = self.entry(BALANCING, "strategy.name") else {
            return Strategy::default();
        };
        match name.text().unwrap_or_default().to_ascii_lowercase().as_str() {
            "random" => Strategy::Random,
            "weightedresponse" => Strategy::WeightedResponse,
            "leastloaded" => Strategy::LeastLoaded,
            "sessionstickiness" => {
                let built_in = Stickiness::default();
                let timeout = self
                    .seconds(BALANCING, "SessionStickinessRule.sessionTimeoutInSeconds")
                    .or_else(|| self.seconds(BALANCING, "strategy.sessionTimeoutInSeconds"));
                Strategy::SessionStickiness(Stickiness {
                    timeout: timeout.unwrap_or(built_in.timeout),
                    failures: self
                        .number(BALANCING, "SessionStickinessRule.successiveFailedTimes")
                        .unwrap_or(built_in.failures),
                })
            }
            "ringhash" => self.hash_on(name).map_or_else(Strategy::default, Strategy::RingHash),
            "maglev" => self.hash_on(name).map_or_else(Strategy::default, Strategy::Maglev),
            _ => Strategy::RoundRobin,
        }
    }

    /// What a request is hashed on.
    fn hash_on(&mut self, strategy: &'r Entry) -> Option<HashOn> {
        let entry = self.entry(BALANCING, "strategy.hashOn");
        let text = entry.and_then(Entry::text).unwrap_or_default();
        let found = match text.split_once(':') {
            None if text.eq_ignore_ascii_case("client") => Some(HashOn::Client),
            Some(("header", name)) if !name.trim().is_empty() => {
                Some(HashOn::Header(name.trim().to_ascii_lowercase().into()))
            }
            Some(("cookie", name)) if !name.trim().is_empty() => {
                Some(HashOn::Cookie(name.trim().into()))
            }
            _ => None,
        };
        if found.is_none() {
            let wanted = "strategy.hashOn has to say what of a request decides: header:NAME, \
                          cookie:NAME or client";
            self.reader.error(entry.unwrap_or(strategy), wanted);
        }
        found
    }

    fn retries(&mut self) -> Retries {
        let built_in = Retries::default();
        if !self.flag(BALANCING, "retryEnabled").unwrap_or(false) {
            return built_in;
        }
        let count = |name| self.number(BALANCING, name).unwrap_or(0);
        let [least, most] = ["backoff.minMs", "backoff.maxMs"].map(|it| self.millis(BALANCING, it));
        let some = least.or(most).unwrap_or_default();
        let (least, most) = (least.unwrap_or(some), most.unwrap_or(some));
        let kind = self.text(BALANCING, "backoff.kind").map(str::to_ascii_lowercase);
        Retries {
            next: count("retryOnNext"),
            same: count("retryOnSame"),
            backoff: match kind.as_deref() {
                Some("constant") => Backoff::Constant(least),
                Some("zero") => Backoff::Zero,
                None if some.is_zero() => Backoff::Zero,
                _ => Backoff::Exponential(least, most.max(least)),
            },
            any_method: self.flag(BALANCING, "retryAnyMethod").unwrap_or(false),
            calls: self.call_statuses(),
            try_timeout: self.millis(BALANCING, "retryTimeoutMs"),
            budget: BudgetTerms {
                percent: self
                    .number(BALANCING, "retryBudgetPercent")
                    .unwrap_or(built_in.budget.percent),
                ..built_in.budget
            },
        }
    }

    /// `retryGrpcStatuses`.
    fn call_statuses(&mut self) -> GrpcStatuses {
        let Some(entry) = self.entry(BALANCING, "retryGrpcStatuses") else {
            return GrpcStatuses::default();
        };
        let mut statuses = Vec::new();
        for word in entry.words() {
            if let Some(status) = GrpcStatus::of_word(word).filter(|it| *it != GrpcStatus::OK) {
                statuses.push(status);
                continue;
            }
            let word = kind::short(word);
            let message = format!(
                "\"{word}\" is not allowed here: write statuses of gRPC, as in unavailable, \
                 resource-exhausted"
            );
            self.reader.error(entry, message);
        }
        statuses.into_iter().collect()
    }

    fn own_timeout(&self) -> Option<Duration> {
        let key = format!("{ISOLATION}.Consumer.{}.timeoutInMilliseconds", self.service?);
        self.reader.get(&[&key], kind::whole).map(Duration::from_millis)
    }

    fn rate(&self) -> Option<Rate> {
        self.reader.get(&[&format!("{LIMITS}.{}", self.service?)], rate)
    }

    fn fault(&mut self) -> Fault {
        let delay =
            self.share("delay.percent").zip(self.fault_number("delay.fixedDelay", 0, u64::MAX));
        let abort =
            self.share("abort.percent").zip(self.fault_number("abort.httpStatus", 200, 599));
        Fault {
            delay: delay.map(|(share, wait)| (share, Duration::from_millis(wait))),
            abort: abort.and_then(|(share, status)| Some((share, status.try_into().ok()?))),
        }
    }

    /// A share of all requests, if it is any.
    fn share(&mut self, name: &str) -> Option<u32> {
        let percent = self.fault_number(name, 0, 100)?;
        let share = u32::try_from(percent).unwrap_or(0) * (Fault::WHOLE / 100);
        (share > 0).then_some(share)
    }

    fn fault_number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let values = self.reader.values;
        let of = |service: &str| values.get(&format!("{FAULTS}.{service}.{POLICY}.{name}"));
        let entry = self.service.and_then(of).or_else(|| of("_global"))?;
        let allowed = kind::Kind::Whole(least, most);
        if let Some(refusal) = allowed.refusal(&entry.content) {
            self.reader.error(entry, refusal);
            return None;
        }
        entry.text().and_then(kind::whole)
    }
}
