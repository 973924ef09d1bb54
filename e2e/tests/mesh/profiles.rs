//! `/debug/pprof/`: a profile of a proxy under load, and what is refused.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Application, Client, Load, Mesh, Sidecar, eventually, loopback};
use e2e::wire::Reply;
use rpprof::protos::{Message, Profile, Sample};
use testbed::{free_ports, skip};

/// A proxy that is called without a pause, and where its profiles are. Its folder for temporary
/// files is none, as in a container with a read-only file system.
struct Busy {
    profiles: SocketAddr,
    load: Load,
    _proxies: [Sidecar; 2],
    _application: Application,
    mesh: Mesh,
}

impl Busy {
    async fn start() -> Result<Self> {
        let mesh = Mesh::start()?;
        let application = mesh.mockserver("orders", &[])?;
        let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
        let [port] = free_ports()?;
        let profiles = loopback(port);
        let caller = mesh
            .sidecar("caller")
            .variable("TMPDIR", "/nowhere")
            .key("pprof.enable", "true")
            .key("pprof.listen", &profiles.to_string())
            .start()?;
        mesh.registry.wait_for("orders", &["UP"]).await?;
        let load = Load::start(caller.consumer, "http://orders/", 4);
        load.more(1).await?;
        Ok(Self { profiles, load, _proxies: [orders, caller], _application: application, mesh })
    }

    async fn get(&self, path: &str) -> Result<Reply> {
        Client::once(self.profiles, "GET", path, "").await
    }

    /// No request may have noticed.
    async fn finish(self) -> Result<()> {
        let tally = self.load.finish().await;
        ensure!(tally.failures.is_empty(), "{:?}", tally.failures);
        Ok(())
    }
}

fn text(profile: &Profile, index: i64) -> &str {
    usize::try_from(index).ok().and_then(|at| profile.string_table.get(at)).map_or("", |s| s)
}

/// The thread that a sample was taken of.
fn thread<'a>(profile: &'a Profile, sample: &Sample) -> &'a str {
    let label = sample.label.iter().find(|label| text(profile, label.key) == "thread");
    label.map_or("", |label| text(profile, label.str))
}

/// What its stack is made of, the innermost first.
fn stack<'a>(profile: &'a Profile, sample: &Sample) -> Vec<&'a str> {
    let locations = sample.location_id.iter();
    let locations = locations.filter_map(|id| profile.location.iter().find(|l| l.id == *id));
    let functions = locations.flat_map(|location| &location.line);
    let functions = functions
        .filter_map(|line| profile.function.iter().find(|f| f.id == line.function_id))
        .map(|function| text(profile, function.name));
    functions.collect()
}

#[tokio::test]
async fn a_profile_shows_the_workers_and_one_is_taken_at_a_time() -> Result<()> {
    let busy = Busy::start().await?;
    // Whichever comes first is taken, and the other refused.
    let path = "/debug/pprof/profile?seconds=3";
    let (reply, refused) = eventually("one taken and one refused", async || {
        let (one, other) = tokio::try_join!(busy.get(path), busy.get(path))?;
        Ok(match (one.status, other.status) {
            (200, 429) => Ok((one, other)),
            (429, 200) => Ok((other, one)),
            statuses => Err(format!("{statuses:?}")),
        })
    })
    .await?;
    let refused = refused.text();
    assert!(refused.contains("another profile is being taken"), "{refused}");

    let profile = Profile::decode(reply.body.as_slice())?;
    let of_worker = |sample: &&Sample| thread(&profile, sample).starts_with("worker-");
    let workers: Vec<_> = profile.sample.iter().filter(of_worker).collect();
    assert!(!workers.is_empty(), "{:?}", profile.string_table);
    let through = workers.iter().map(|sample| stack(&profile, sample));
    let known = through.clone().any(|stack| stack.iter().any(|name| name.contains("sidecar::")));
    assert!(known, "{:?}", through.take(5).collect::<Vec<_>>());
    let types: Vec<_> = profile.sample_type.iter().map(|kind| text(&profile, kind.ty)).collect();
    assert!(types.contains(&"cpu"), "{types:?}");
    busy.finish().await
}

#[tokio::test]
async fn go_tool_pprof_reads_it() -> Result<()> {
    if Command::new("go").arg("version").output().is_err() {
        skip("there is no go on the PATH");
        return Ok(());
    }
    let busy = Busy::start().await?;
    let reply = busy.get("/debug/pprof/profile?seconds=2").await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let file = busy.mesh.guard().folder().join("profile.pb");
    std::fs::write(&file, &reply.body)?;
    let top = Command::new("go")
        .args(["tool", "pprof", "-top", "-symbolize=none", "-nodecount=100", "-cum"])
        .arg(&file)
        .output()
        .context("go tool pprof")?;
    let (said, wrong) =
        (String::from_utf8_lossy(&top.stdout), String::from_utf8_lossy(&top.stderr));
    assert!(top.status.success(), "{wrong}");
    assert!(said.contains("Type: cpu") && said.contains("sidecar::"), "{said}\n{wrong}");
    busy.finish().await
}

#[tokio::test]
async fn what_is_not_there_is_said() -> Result<()> {
    let mesh = Mesh::start()?;
    let [port] = free_ports()?;
    let at = loopback(port);
    let caller = mesh.sidecar("caller").key("pprof.listen", &at.to_string()).start()?;
    assert!(std::net::TcpStream::connect(at).is_err(), "profiles are off");
    drop(caller);

    let _caller = mesh
        .sidecar("profiled")
        .key("pprof.enable", "true")
        .key("pprof.listen", &at.to_string())
        .start()?;
    let get = async |path: &str| Client::once(at, "GET", path, "").await;
    let index = get("/debug/pprof/").await?;
    assert_eq!(index.status, 200);
    assert!(index.text().contains("profile"), "{}", index.text());
    for (path, status, word) in [
        ("/debug/pprof/heap", 501, "there is no heap here"),
        ("/debug/pprof/goroutine?debug=2", 501, "there is no goroutine here"),
        ("/debug/pprof/colours", 404, "/debug/pprof/profile"),
        ("/debug/pprof/profile?seconds=0", 400, "from 1 to 120"),
        ("/debug/pprof/profile?seconds=121", 400, "from 1 to 120"),
        ("/debug/pprof/profile?seconds=soon", 400, "from 1 to 120"),
    ] {
        let reply = get(path).await?;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.text().contains(word), "{path}: {}", reply.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_profile_ends_with_its_client() -> Result<()> {
    let mesh = Mesh::start()?;
    let [port] = free_ports()?;
    let at = loopback(port);
    let caller = mesh
        .sidecar("caller")
        .key("pprof.enable", "true")
        .key("pprof.listen", &at.to_string())
        .start()?;
    let long = Client::once(at, "GET", "/debug/pprof/profile?seconds=120", "");
    let long = tokio::spawn(long);
    eventually("begun", async || {
        let log = caller.server.log();
        Ok(if log.contains("seconds=120") { Ok(()) } else { Err(log) })
    })
    .await?;
    let short = async || Client::once(at, "GET", "/debug/pprof/profile?seconds=1", "").await;
    assert_eq!(short().await?.status, 429);
    long.abort();
    eventually("taken", async || {
        let reply = short().await?;
        Ok(if reply.status == 200 { Ok(()) } else { Err(reply.text()) })
    })
    .await
}
