//! What a small request on kept connections costs: system calls, allocations and instructions. Time
//! depends on the machine; these do not, or hardly.
//!
//! Sixteen connections send a request each, then read their responses, over and over. The clients
//! and the application are threads that block and allocate nothing, so what is counted is the
//! proxy's.

mod allocations;
mod instructions;
mod load;
mod stream;
mod syscalls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use discovery::Fixed;
use mesh::route::{Condition, HeaderMatch, Pattern, RequestMatch, Rule, Subset, Target, Test};
use mesh::trace::{Formats, Ratio, SpanNames};
use mesh::{
    Endpoint, Instance, InstanceId, Protocol, Rate, Retries, Service, ServiceKey, Status, Tags,
};
use sidecar::Proxy;
use sidecar::settings::{
    AccessLog, Export, Governance, LimitGroup, LogTarget, Settings, SpanProtocol, Terms, Tracing,
};
use tokio::runtime::Runtime;

/// Per request; of the four that move data and the share of one that waits.
const SYSCALLS: f64 = 4.4;
/// Per request.
const ALLOCATIONS: f64 = 8.1;

/// Per request, of a build for debugging: what the compiler makes of it for a release is fewer by an
/// order of magnitude, and takes as long to build. A change of the way shows in either. The C
/// library picks its own by the processor: that is worth one or two in a hundred.
const INSTRUCTIONS: f64 = 335_000.0;

/// Bytes, of a long body on its way; the most that hyper reads ahead on either side is a tenth.
const HELD: usize = 5 << 20;

/// Bytes, for a tunnel that idles: its task, which was one for requests before, and no buffer.
const TUNNEL: usize = 5 << 10;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Per request that begins a trace which is not collected: for the headers that say so, which are
/// in one piece of memory, and for their room among the others.
const UNSAMPLED: f64 = 4.1;

/// A proxy with one worker, before a service whose one instance is at `instance`.
fn start(instance: SocketAddr) -> (Runtime, Proxy, SocketAddr) {
    start_with(instance, Settings::default())
}

fn start_with(instance: SocketAddr, mut settings: Settings) -> (Runtime, Proxy, SocketAddr) {
    settings.listeners.http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.listeners.grpc = None;
    settings.listeners.admin_port = 0;
    settings.workers = NonZeroUsize::new(1);
    let endpoint =
        Endpoint { protocol: Protocol::Rest, address: instance, tls: false, service_port: None };
    let instance = Instance {
        id: InstanceId("one".into()),
        version: "1.0.0".parse().expect("a version"),
        status: Status::Up,
        endpoints: vec![endpoint],
        tags: Tags::new(),
    };
    let service = Service::new(ServiceKey::new("default", "ServiceB"), [instance]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let started =
        runtime.block_on(async { Proxy::start(settings, Arc::new(Fixed::new([service]))) });
    let proxy = started.expect("the proxy starts");
    let address = proxy.addresses().consumer.expect("a consumer side");
    (runtime, proxy, address)
}

/// Allocations for each small request.
fn allocated(settings: Settings) -> f64 {
    let application = load::application();
    let (_runtime, _proxy, address) = start_with(application, settings);
    let mut clients = load::Clients::connect(address);
    clients.rounds(50);
    let before = allocations::count();
    clients.rounds(500);
    let counted = allocations::count() - before;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = counted as f64 / load::requests(500) as f64;
    println!("{each:.2} allocations for each request");
    each
}

#[test]
fn a_small_request_allocates_little() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let each = allocated(Settings::default());
    assert!(each <= ALLOCATIONS, "{each} allocations for each request");
}

#[test]
fn rules_that_are_not_about_a_request_allocate_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let each = allocated(Settings { governance: governed(), ..Settings::default() });
    assert!(each <= ALLOCATIONS, "{each} allocations for each request");
}

/// Ten rules, a limit for requests that look alike, another for all, a breaker, a bound, retries and
/// outliers, none of which a request meets.
fn governed() -> Governance {
    let about = |number: usize| {
        let test = |text: &str| Condition { test: Test::Is(text.into()), any_case: false };
        let pattern = Pattern::new("^rose", false).expect("a pattern");
        let header =
            |name: &str, condition| HeaderMatch { name: name.into(), condition, inverted: false };
        RequestMatch {
            mark: None,
            methods: vec!["GET".into()],
            path: Some(Condition { test: Test::Begins("/hello".into()), any_case: true }),
            headers: vec![
                header("x-user", Condition { test: Test::Matches(pattern), any_case: false }),
                header("x-tester", test(&number.to_string())),
            ],
        }
    };
    let rule = |number| Rule {
        matches: vec![about(number)],
        targets: vec![Target { weight: 100, subset: Subset::default() }],
        ..Rule::default()
    };
    let any = Rate::per_second(1_000_000);
    let group =
        LimitGroup { name: String::new(), matches: vec![about(0)], inverted: false, rate: any };
    let mut consumer = Terms {
        rate: Some(any),
        concurrency: Some(1000),
        failing: vec![500],
        retries: Retries { next: 2, ..Retries::default() },
        ..Terms::default()
    };
    consumer.breaker.enabled = true;
    consumer.balancing.outliers.errors = 5;
    Governance {
        rules: BTreeMap::from([("ServiceB".to_owned(), (0..10).map(rule).collect())]),
        consumer_groups: vec![group],
        consumer,
        ..Governance::default()
    }
}

#[test]
fn a_request_that_might_have_been_logged_allocates_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let to = LogTarget::File("/dev/null".into());
    let access_log = AccessLog { to, sample: 0, errors: true, ..AccessLog::default() };
    let each = allocated(Settings { access_log, ..Settings::default() });
    assert!(each <= ALLOCATIONS, "{each} allocations for each request");
}

#[test]
fn a_request_that_is_not_sampled_allocates_little_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let each = allocated(Settings { tracing: Some(no_trace()), ..Settings::default() });
    assert!(each <= ALLOCATIONS + UNSAMPLED, "{each} allocations for each request");
}

/// Tracing that is on, and collects nothing.
fn no_trace() -> Tracing {
    let export = Export {
        protocol: SpanProtocol::OtlpProtobuf,
        endpoint: "http://127.0.0.1:1".parse().expect("an address"),
        headers: Vec::new(),
        service: "test".to_owned(),
        address: None,
        attributes: BTreeMap::new(),
        batch_size: 1,
        batch_interval: Duration::from_secs(1),
        queue: 1,
        timeout: Duration::from_secs(1),
    };
    Tracing {
        consumer: true,
        provider: true,
        ratio: Ratio::NONE,
        formats: Formats { b3_multi: true, b3_single: false, w3c: true },
        names: SpanNames::Path,
        export,
    }
}

#[test]
fn a_long_body_is_passed_on_and_not_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let length = 256 << 20;
    let (_runtime, _proxy, address) = start(stream::application(length));
    for (name, go) in [
        ("down", stream::download as fn(SocketAddr, usize)),
        ("up", stream::upload as fn(SocketAddr, usize)),
        ("down a tunnel", stream::tunnel_down as fn(SocketAddr, usize)),
        ("up a tunnel", stream::tunnel_up as fn(SocketAddr, usize)),
    ] {
        let held = allocations::most_held(|| go(address, length));
        println!("{held} bytes held of {length}, {name}");
        assert!(held < HELD, "{held} bytes held of {length}, {name}");
    }
}

#[test]
fn a_tunnel_that_idles_holds_little() {
    const TUNNELS: usize = 400;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_runtime, _proxy, address) = start(stream::idler());
    // What is made once is made.
    let mut tunnels = Vec::with_capacity(TUNNELS + 1);
    tunnels.push(stream::tunnel(address, "/"));
    let held = allocations::most_held(|| {
        for _ in 0..TUNNELS {
            tunnels.push(stream::tunnel(address, "/"));
        }
    });
    let each = held / TUNNELS;
    println!("{each} bytes held for each tunnel");
    assert!(each <= TUNNEL, "{each} bytes held for each tunnel");
}

#[test]
fn a_small_request_takes_few_system_calls() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let application = load::application();
    let (child, address) = syscalls::spawn(application);
    let mut clients = load::Clients::connect(address);
    clients.rounds(50);
    let counted = syscalls::count(&child, move || clients.rounds(200));
    let counted = match counted {
        Ok(counted) => counted,
        Err(reason) => return testbed::skip(&reason),
    };
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = counted.calls as f64 / load::requests(200) as f64;
    println!("{each:.2} system calls for each request");
    assert!(each <= SYSCALLS, "{each} system calls for each request");
    match counted.wakes {
        // Some are once a second, and none is for a request.
        Some(wakes) => assert!(wakes < counted.calls / 100, "{wakes} times a thread was woken"),
        None => testbed::skip("which calls wake a thread is known of x86-64 only"),
    }
}

#[test]
fn a_small_request_takes_few_instructions() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !cfg!(debug_assertions) {
        return testbed::skip("what is held is the count of a debug build");
    }
    let application = load::application();
    // What is there besides the requests is in both.
    let taken = [20, 80].map(|rounds| {
        instructions::count(application, |address| load::Clients::connect(address).rounds(rounds))
    });
    let (few, many) = match taken {
        [Ok(few), Ok(many)] => (few, many),
        [Err(reason), _] | [_, Err(reason)] => return testbed::skip(&reason),
    };
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let each = (many - few) as f64 / load::requests(60) as f64;
    println!("{each:.0} instructions for each request");
    assert!(each <= INSTRUCTIONS, "{each} instructions for each request");
}

/// No test: the process that the one above counts in.
#[test]
fn serve() {
    syscalls::serve_if_asked();
}
