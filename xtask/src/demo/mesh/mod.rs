//! The second act: services that call each other through their sidecars.

mod death;
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
use super::chain::{Answer, ROWS};
use super::screen::Screen;
use crate::cargo::{self, Programs};
use place::Loopback;
use town::{Member, Town};

const EXAMPLES: &str = "examples/chain/";
const REGISTRY: &str = "examples/registry/service-center.yaml";
/// The ports of the applications.
const PORTS: [u16; 2] = [8080, 8081];
/// Who is asked first, and whose page is shown.
const FRONT: &str = "front-0";
/// Of how many pods the replaced values are all printed: the registry, and one with a sidecar.
const IN_FULL: usize = 2;
/// Of a sidecar's environment, what tells most.
const TELLING: [&str; 6] = [
    "DISCOVERY_TYPE",
    "SERVICE_PORTS",
    "MESHER_DEFAULT_SERVICE_NAME",
    "MESHER_DEFAULT_CSE_REGISTRY_ADDR",
    "POD_NAME",
    "INSTANCE_IP",
];
/// Plays it; it fails when something is not as it should be.
pub(super) fn play(
    screen: &Screen,
    programs: Programs,
    keep: bool,
    loopback: bool,
) -> Result<Option<Left>> {
    screen.title("Services that call each other through their sidecars: no cluster, no container.");

    screen.chapter("What the injector makes of the manifests");
    let manifests = injected(screen, &programs)?;

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
    let started = Instant::now();
    let mut town = Town::plan(&guard, programs, network, &manifests)?;
    town.start()?;
    town.wait_until_up()?;
    introduce(screen, &town, started)?;

    screen.chapter("Calls that are written in a URL");
    let counts = walk(screen, &town)?;

    screen.chapter("Who carried them");
    prove(screen, &town, &counts)?;

    screen.chapter("An instance dies");
    death::show(screen, &mut town)?;

    screen.chapter("Look inside");
    let door = look(screen, &town, &guard)?;
    if keep {
        let supervisor = guard.supervisor_pid();
        by_hand(screen, &town, &guard)?;
        town.leave()?;
        door.into_iter().for_each(Door::leave);
        return Ok(Some(Left { what: "the mesh", supervisor }));
    }
    screen.say("It is there while this runs; to look at it: cargo xtask demo --act 2 --keep");
    Ok(None)
}

/// Injects the examples, and returns all manifests: the registry's first.
fn injected(screen: &Screen, programs: &Programs) -> Result<String> {
    screen.typed(&format!("sidecar-injector inject -f {EXAMPLES}"));
    let program = programs.get("sidecar-injector").context("no injector")?;
    let inject = ["inject", "-f", EXAMPLES];
    let output = Command::new(program).args(inject).current_dir(cargo::root()).output()?;
    screen.printed(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "sidecar-injector does not inject {EXAMPLES}");
    let registry = std::fs::read_to_string(cargo::root().join(REGISTRY))?;
    Ok(format!("{registry}\n---\n{}", String::from_utf8(output.stdout)?))
}

fn shared(screen: &Screen, reason: &str) {
    screen.say(&format!("Networks of their own: {reason}."));
    screen.say("So the pods share the loopback interface: 127.0.1.N is the address of pod N, and");
    screen.say("127.0.2.N what would be 127.0.0.1 in it.");
}

/// Says who is there, and how its sidecars were started.
fn introduce(screen: &Screen, town: &Town<'_>, started: Instant) -> Result<()> {
    for Member { pod, spot, containers, .. } in town.all() {
        let programs: Vec<_> = containers.iter().map(|one| one.program.as_str()).collect();
        screen.fact(&pod.name, &format!("{:<12} {}", spot.address(), programs.join(", ")));
    }
    screen.say(&format!(
        "All are UP in the registry, {:.1} s after the first began.",
        started.elapsed().as_secs_f64()
    ));
    let shown = town.member("service1-0")?;
    screen.say("Each process has the arguments and the environment of the injected manifest, and");
    screen.say("nothing else. The sidecar of service1, among others:");
    let sidecar = shown.sidecar().context("service1 has no sidecar")?;
    for (name, value) in &sidecar.environment {
        if TELLING.contains(&name.as_str()) {
            screen.fact("", &format!("{name}={value}"));
        }
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

/// Holds the calls against what the sidecars of both ends have counted.
fn prove(screen: &Screen, town: &Town<'_>, counts: &Counts) -> Result<()> {
    screen.say("requests_total in /metrics of the sidecars at both ends:");
    let counted = |service: &str, of: &str| -> Result<u64> {
        let label = format!("service_name=\"{of}\"");
        town.of(service).map(|member| town.counted(member, "requests_total", &label)).sum()
    };
    let mut received = BTreeMap::<&str, u64>::new();
    for ((caller, callee), calls) in counts {
        *received.entry(callee).or_default() += calls;
        let sent = counted(caller, callee)?;
        screen.fact(&format!("{caller} → {callee}"), &format!("{sent} sent by {caller}'s sidecar"));
        ensure!(sent == *calls, "{caller} made {calls} calls of {callee}, its sidecar saw {sent}");
    }
    for (service, calls) in received {
        let handed_on = counted(service, service)?;
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
