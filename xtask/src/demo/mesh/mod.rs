//! The second act: services that call each other through their sidecars.

mod death;
mod istio;
mod place;
mod town;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testbed::kubelet::Place;
use testbed::network::{Door, Host};
use testbed::{Guard, Network};

use super::Left;
use super::backend::Backend;
use super::chain::{Answer, ROWS};
use super::screen::Screen;
use crate::cargo::{self, Programs};
use place::Loopback;
use town::{Member, Town};

const EXAMPLES: &str = "examples/chain/";
const REGISTRY: &str = "examples/registry/service-center.yaml";
/// Makes pods of the examples that ask for Istio.
const SED: &str = "sed 's/discoveryType: sc/discoveryType: pilot/'";
/// The ports of the applications.
const PORTS: [u16; 2] = [8080, 8081];
/// Who is asked first, and whose page is shown.
const FRONT: &str = "front-0";
/// Of how many pods the replaced values are all printed: the registry, and one with a sidecar.
const IN_FULL: usize = 2;
/// Of a sidecar's environment, what tells most.
const TELLING: [&str; 5] =
    ["DISCOVERY_TYPE", "SERVICE_PORTS", "MESHER_DEFAULT_SERVICE_NAME", "POD_NAME", "INSTANCE_IP"];

/// Plays it; it fails when something is not as it should be.
pub(super) fn play(
    screen: &Screen,
    programs: Programs,
    backend: Backend,
    keep: bool,
    loopback: bool,
) -> Result<Vec<Left>> {
    screen.title("Services that call each other through their sidecars: no cluster, no container.");

    screen.chapter("What the injector makes of the manifests");
    if backend == Backend::Pilot {
        crate::tools::ensure_named(&["etcd", "kubernetes", "istiod"])?;
    }
    let manifests = injected(screen, &programs, backend)?;

    let guard = Guard::new()?;
    let network =
        if loopback { Err("--loopback was asked for".to_owned()) } else { Network::start(&guard)? };
    screen.chapter(match network {
        Ok(_) => "Every pod in a network of its own",
        Err(_) => "Every pod on addresses of its own",
    });
    let network = network.map_err(|reason| shared(screen, &reason)).ok();
    if network.is_none() {
        Loopback::is_free(&PORTS)?;
    }
    if backend == Backend::Pilot {
        screen
            .say("istiod runs beside them, over an API server of this machine: there stands which");
        screen.say("services there are, and where.");
    }
    let started = Instant::now();
    let mut town = Town::plan(&guard, programs, network, &manifests, backend)?;
    town.start()?;
    let known = town.wait_until_up()?;
    screen
        .say(&format!("{known}, {:.1} s after the first began.", started.elapsed().as_secs_f64()));
    introduce(screen, &town, backend)?;

    screen.chapter("Calls that are written in a URL");
    let before = Carried::by(&town)?;
    let counts = walk(screen, &town)?;

    screen.chapter("Who carried them");
    prove(screen, &town, &before, &counts)?;

    screen.chapter("An instance dies");
    death::show(screen, &mut town)?;

    screen.chapter("Look inside");
    let door = look(screen, &town, &guard)?;
    if keep {
        by_hand(screen, &town, &guard)?;
        let left = town.leave()?;
        door.into_iter().for_each(Door::leave);
        return Ok(left);
    }
    screen.say("It is there while this runs; to look at it: cargo xtask demo --act 2 --keep");
    Ok(Vec::new())
}

/// Injects the examples, and returns all manifests: a registry's first.
fn injected(screen: &Screen, programs: &Programs, backend: Backend) -> Result<String> {
    let program = programs.get("sidecar-injector").context("no injector")?;
    let mut inject = Command::new(program);
    inject.current_dir(cargo::root()).stdin(Stdio::null());
    let mut manifests = String::new();
    match backend {
        Backend::ServiceCenter => {
            screen.typed(&format!("sidecar-injector inject -f {EXAMPLES}"));
            inject.args(["inject", "-f", EXAMPLES]);
            let registry = std::fs::read_to_string(cargo::root().join(REGISTRY))?;
            manifests = format!("{registry}\n---\n");
        }
        Backend::Pilot => {
            screen.typed(&format!("{SED} {EXAMPLES}*.yaml | sidecar-injector inject -f -"));
            inject = Command::new("bash");
            inject.current_dir(cargo::root()).stdin(Stdio::null());
            // Between files, YAML wants a line that says so.
            let asking =
                format!("for file in {EXAMPLES}*.yaml; do echo ---; cat $file; done | {SED}");
            inject.args(["-c", &format!("{asking} | \"$0\" inject -f -")]).arg(program);
        }
    }
    let output = inject.output()?;
    screen.printed(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "sidecar-injector does not inject {EXAMPLES}");
    Ok(manifests + &String::from_utf8(output.stdout)?)
}

fn shared(screen: &Screen, reason: &str) {
    screen.say(&format!("Networks of their own: {reason}."));
    screen.say("So the pods share the loopback interface: 127.0.1.N is the address of pod N, and");
    screen.say("127.0.2.N what would be 127.0.0.1 in it.");
}

/// Says who is there, and how its sidecars were started.
fn introduce(screen: &Screen, town: &Town<'_>, backend: Backend) -> Result<()> {
    for Member { pod, spot, containers, .. } in town.all() {
        let programs: Vec<_> = containers.iter().map(|one| one.program.as_str()).collect();
        screen.fact(&pod.name, &format!("{:<12} {}", spot.address(), programs.join(", ")));
    }
    let shown = town.member("service1-0")?;
    screen.say("Each process has the arguments and the environment of the injected manifest, and");
    screen.say("nothing else. The sidecar of service1, among others:");
    let sidecar = shown.sidecar().context("service1 has no sidecar")?;
    for (name, value) in &sidecar.environment {
        let address = match backend {
            Backend::ServiceCenter => "MESHER_DEFAULT_CSE_REGISTRY_ADDR",
            Backend::Pilot => "MESHER_DEFAULT_ISTIO_PILOT_ADDR",
        };
        if TELLING.contains(&name.as_str()) || name == address {
            screen.fact("", &format!("{name}={value}"));
        }
    }
    if backend == Backend::Pilot {
        let volumes = istio::FOR_TLS.join(" and ");
        screen.say(&format!("But {volumes} are not mounted: what is in them is for TLS."));
    }
    if town.all().all(|member| member.replaced.is_empty()) {
        screen.say("No value was replaced.");
        return Ok(());
    }
    screen.say("But these values, as one loopback interface has each port once:");
    for (index, Member { pod, spot, replaced, .. }) in town.all().enumerate() {
        let likewise = spot.likewise().filter(|_| index >= IN_FULL);
        let lines = likewise.map_or_else(
            || replaced.iter().map(ToString::to_string).collect(),
            |likewise| vec![likewise],
        );
        for (row, line) in lines.iter().enumerate() {
            screen.fact(if row == 0 { &pod.name } else { "" }, line);
        }
    }
    Ok(())
}

/// How often each service called another: caller, callee.
type Counts = BTreeMap<(String, String), u64>;

/// Asks front for every row, draws what came of it, and checks that it is what the row says.
fn walk(screen: &Screen, town: &Town<'_>) -> Result<Counts> {
    let front = town.member(FRONT)?;
    screen.say(
        "front is asked, in its pod. Whatever it calls, it calls by name through its sidecar.",
    );
    let mut counts = Counts::new();
    for row in &ROWS {
        screen.say("");
        let url = format!("http://{}{}", front.spot.application(), row.path);
        screen.typed(&format!("mockserver get '{url}'   # {}", row.about));
        // Elsewhere than in a pod of its own, the call would go to the sidecar first.
        let output = town.get(front, &["--no-proxy", &url])?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{url} was answered with this: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer = Answer::read(&said).with_context(|| format!("{url} was answered: {said}"))?;
        answer.draw(screen);
        let calls = answer.calls()?;
        ensure!(calls == row.calls, "{url} led to {calls:?}, and not to {:?}", row.calls);
        for (caller, call) in answer.all() {
            *counts.entry((caller.to_owned(), call.service().to_owned())).or_default() += 1;
        }
    }
    Ok(counts)
}

/// What the sidecars have carried so far.
#[derive(Debug)]
struct Carried {
    sent: Counts,
    handed_on: BTreeMap<String, u64>,
}

impl Carried {
    fn by(town: &Town<'_>) -> Result<Self> {
        let (mut sent, mut handed_on) = (Counts::new(), BTreeMap::new());
        for member in town.services() {
            let caller = &member.pod.owner;
            *handed_on.entry(caller.clone()).or_default() += town.handed_on(member)?;
            for callee in town.services() {
                let pair = (caller.clone(), callee.pod.owner.clone());
                sent.insert(pair, town.sent_by(caller, &callee.pod.owner)?);
            }
        }
        Ok(Self { sent, handed_on })
    }
}

/// Holds the calls against what the sidecars of both ends have counted.
fn prove(screen: &Screen, town: &Town<'_>, before: &Carried, counts: &Counts) -> Result<()> {
    screen.say("mesher_responses_total in /metrics of the sidecars at both ends:");
    let after = Carried::by(town)?;
    let mut received = BTreeMap::<&str, u64>::new();
    for (pair, calls) in counts {
        let (caller, callee) = pair;
        *received.entry(callee).or_default() += calls;
        let sent = after.sent.get(pair).unwrap_or(&0) - before.sent.get(pair).unwrap_or(&0);
        screen.fact(&format!("{caller} → {callee}"), &format!("{sent} sent by {caller}'s sidecar"));
        ensure!(sent == *calls, "{caller} made {calls} calls of {callee}, its sidecar saw {sent}");
    }
    for (service, calls) in received {
        let count = |carried: &Carried| carried.handed_on.get(service).copied().unwrap_or_default();
        let handed_on = count(&after) - count(before);
        let name = format!("→ {service}");
        screen.fact(&name, &format!("{handed_on} handed on by its own sidecar"));
        ensure!(
            handed_on == calls,
            "{service} was called {calls} times, its sidecar saw {handed_on}"
        );
    }
    Ok(())
}

/// Says where the page of front's sidecar is, and makes a way to it.
fn look(screen: &Screen, town: &Town<'_>, guard: &Guard) -> Result<Option<Door>> {
    let front = town.member(FRONT)?;
    let inside = front.spot.admin();
    let door = match front.spot.own() {
        Some(host) => Some(host.door(guard, town.program("testbed")?, inside)?),
        None => None,
    };
    let address = door.as_ref().map_or(inside, Door::address);
    let url = format!("http://{address}/");
    screen.say("The page of front's sidecar shows all this live, in a browser on this machine:");
    screen.lines(&[&url]);
    if door.is_some() {
        screen.say(&format!("It is {inside} in the pod; a door leads there from this machine."));
    }
    let mut get = Command::new(town.program("mockserver")?);
    get.args(["get", "--no-proxy", "-H", "accept: text/html", &url]).stdin(Stdio::null());
    let page = get.output()?;
    let is_page = String::from_utf8_lossy(&page.stdout).contains("<title>");
    ensure!(page.status.success() && is_page, "there is no page at {url}: {page:?}");
    Ok(door)
}

/// What one can do with what is left running.
fn by_hand(screen: &Screen, town: &Town<'_>, guard: &Guard) -> Result<()> {
    let front = town.member(FRONT)?;
    let enter = front.spot.own().map_or_else(String::new, Host::entrance);
    let programs = town.program("mockserver")?.parent().context("a program without a folder")?;
    let (application, admin) = (front.spot.application(), front.spot.admin());
    screen.chapter("Go on by hand");
    screen.lines(&[
        &format!("get='{enter} {}/mockserver get --no-proxy'", programs.display()),
        &format!("$get 'http://{application}/@service1|service2/@service4/'   # in front's pod"),
        &format!("$get http://{admin}/v1/mesher/services   # its sidecar"),
        &format!("tail -f {}/log/{FRONT}-sidecar-mesher.log", guard.folder().display()),
    ]);
    Ok(())
}
