//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use crate::server::{self, Config, LogFormat, Tls};
use crate::store::Limits;

const EXAMPLES: &str = "\
Examples:
  On a laptop, in memory:
    service-registry
    curl http://127.0.0.1:30100/health
  Surviving restarts, reachable from other machines, IPv4 and IPv6:
    service-registry --listen '[::]:30100' --data /var/lib/registry/data
  With TLS; renewed files are taken over while it runs:
    service-registry --tls-cert tls.crt --tls-key tls.key

Clients: anything that speaks to ServiceComb service-center (go-chassis, java-chassis, mesher).
There is no login: whoever reaches the port may register and delete. GET /health, /version and
/metrics on the same port. Stop it with SIGTERM: it finishes what is under way and exits with 0.";

/// A registry for services with the API of ServiceComb service-center, in one process
#[derive(Debug, Parser)]
#[command(name = "service-registry", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:30100")]
    #[arg(env = "SERVICE_REGISTRY_LISTEN")]
    listen: SocketAddr,

    /// File that keeps services and instances over a restart; without it they are in memory only
    ///
    /// An answer to a change means that it is on the disk. Beside the file are FILE.lock and, for
    /// moments, FILE.new. After a restart every instance has its whole lease to report again.
    #[arg(long, value_name = "FILE", env = "SERVICE_REGISTRY_DATA")]
    data: Option<PathBuf>,

    /// Certificate chain in PEM, leaf first; then only HTTPS is served
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "SERVICE_REGISTRY_TLS_CERT")]
    tls_cert: Option<PathBuf>,

    /// Its private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "SERVICE_REGISTRY_TLS_KEY")]
    tls_key: Option<PathBuf>,

    /// A file with the password of an encrypted key, in plain text
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    #[arg(env = "SERVICE_REGISTRY_TLS_KEY_PASSWORD_FILE")]
    tls_key_password_file: Option<PathBuf>,

    /// How many versions of services may be registered
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().services)]
    max_services: usize,

    /// How many instances may be registered
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().instances)]
    max_instances: usize,

    /// How many bytes of JSON all records may be; memory is about three times as much
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    max_bytes: usize,

    /// How many connections may be open; beyond, the one that was idle longest is closed
    #[arg(long, value_name = "NUMBER", default_value_t = 10_240)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,

    /// How many bytes the body of a request may have
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1024..=(16 << 20)))]
    max_body: u32,

    /// How long a request may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    request_timeout: Duration,

    /// How long a connection may wait for its next request
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    idle_timeout: Duration,

    /// How often watchers are pinged
    ///
    /// Clients that know the service-center take a watch for dead that is silent for some 40 s.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    ping: Duration,

    /// How much to log: off, error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "SERVICE_REGISTRY_LOG")]
    log_level: LevelFilter,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than nothing".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}: write it like 500ms, 30s or 2m")),
    }
}

/// Runs the registry until it is told to stop.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    server::start_logging(cli.log_level, cli.log_format);
    let password = cli.tls_key_password_file;
    let pair = cli.tls_cert.zip(cli.tls_key);
    let config = Config {
        listen: cli.listen,
        data: cli.data,
        tls: pair.map(|(certificate, key)| Tls { certificate, key, password }),
        limits: Limits {
            services: cli.max_services,
            instances: cli.max_instances,
            bytes: cli.max_bytes,
        },
        connections: cli.max_connections as usize,
        longest_body: cli.max_body as usize,
        longest_request: cli.request_timeout,
        idle: cli.idle_timeout,
        ping: cli.ping,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(server::run(config))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["service-registry"]).unwrap();
        assert_eq!(cli.listen.to_string(), "127.0.0.1:30100");
        for bad in [
            &["service-registry", "--tls-cert", "a"][..],
            &["service-registry", "--tls-key-password-file", "a"],
            &["service-registry", "--ping", "0s"],
            &["service-registry", "--ping", "30"],
            &["service-registry", "--max-connections", "0"],
            &["service-registry", "--listen", "30100"],
        ] {
            assert!(Cli::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
