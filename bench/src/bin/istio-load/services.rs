//! The services of the mesh.

use std::fmt::Write;
use std::net::SocketAddr;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use testbed::Cluster;

/// The one that answers.
pub(crate) const ECHO: &str = "echo.shop.svc.cluster.local";
/// kubectl bounds its own pace, so several of them share the work.
const WRITERS: usize = 6;
/// Where nobody listens, so that connections are refused at once.
const DISCARD: u16 = 9;

/// The host of one that nobody serves.
pub(crate) fn host(number: usize) -> String {
    format!("s{number}.shop.svc.cluster.local")
}

/// Writes them to the API server, each with an address and endpoints of its own; the one that answers
/// last.
pub(crate) fn apply(
    cluster: &Cluster,
    services: usize,
    endpoints: usize,
    echo: SocketAddr,
) -> Result<()> {
    ensure!(services < 1 << 14 && endpoints < 1 << 8, "there are not as many addresses");
    let share = services.div_ceil(WRITERS).max(1);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..services)
            .step_by(share)
            .map(|from| {
                scope.spawn(move || {
                    let numbers = from..services.min(from + share);
                    create(
                        cluster,
                        &numbers.map(|number| unserved(number, endpoints)).collect::<String>(),
                    )
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    create(cluster, &entry("echo", ECHO, [240, 255, 0, 1], &[echo]))
}

fn create(cluster: &Cluster, objects: &str) -> Result<()> {
    let output = cluster.run_with_input(&["create", "--filename=-"], objects)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn unserved(number: usize, endpoints: usize) -> String {
    // Below 2^14 and 2^8, as was looked at.
    let [low, high, ..] = number.to_le_bytes();
    let address = |endpoint: usize| {
        let [last, ..] = endpoint.to_le_bytes();
        SocketAddr::from(([127, 64 + high, low, last], DISCARD))
    };
    let endpoints: Vec<SocketAddr> = (0..endpoints).map(address).collect();
    entry(&format!("s{number}"), &host(number), [240, 240, high, low], &endpoints)
}

fn entry(name: &str, host: &str, own: [u8; 4], endpoints: &[SocketAddr]) -> String {
    let own = std::net::Ipv4Addr::from(own);
    let mut text = format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{host}]
  addresses: [{own}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:
"
    );
    for at in endpoints {
        let (ip, port) = (at.ip(), at.port());
        let labels = format!("{{app: {name}, version: v1}}");
        let _ = writeln!(text, "  - {{address: {ip}, ports: {{http: {port}}}, labels: {labels}}}");
    }
    text
}
