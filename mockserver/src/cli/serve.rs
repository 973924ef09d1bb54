//! `mockserver` itself: the service.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use hyper::StatusCode;
use hyper::header::HeaderName;
use tracing_subscriber::filter::LevelFilter;

use super::duration;
use crate::Error;
use crate::chain::Bounds;
use crate::client::{Client, Protocol, Proxy};
use crate::server::{self, Answers, Calls, FailRate, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to serve HTTP/1.1 and HTTP/2 without TLS; may be given more than once
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:8080",
        help_heading = "Listening"
    )]
    listen_address: Vec<String>,
    /// Where to echo TCP; WHO is answered with Hostname: and more
    #[arg(long, value_name = "HOST:PORT", help_heading = "Listening")]
    echo_tcp: Vec<String>,
    /// Where to echo UDP; WHO is answered with Hostname: and more
    #[arg(long, value_name = "HOST:PORT", help_heading = "Listening")]
    echo_udp: Vec<String>,

    /// The service's name in the answers [default: the host name]
    #[arg(long, value_name = "NAME", env = "SERVICE_NAME", help_heading = "Answers")]
    service_name: Option<String>,
    /// This instance's name in the answers [default: host name and port]
    #[arg(long, value_name = "NAME", env = "POD_NAME", help_heading = "Answers")]
    instance: Option<String>,
    /// How long to wait before each answer, after the calls
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "300ms",
        value_parser = duration::parse,
        help_heading = "Answers"
    )]
    delay: Duration,
    /// The status of good answers
    #[arg(
        long,
        value_name = "STATUS",
        default_value = "200",
        value_parser = status,
        help_heading = "Answers"
    )]
    status: StatusCode,
    /// The share of requests that fail, from 0 to 1; they make no calls
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0",
        value_parser = share,
        help_heading = "Answers"
    )]
    fail_rate: f64,
    /// The status of those that fail
    #[arg(
        long,
        value_name = "STATUS",
        default_value = "503",
        value_parser = status,
        help_heading = "Answers"
    )]
    fail_status: StatusCode,
    /// Which ones fail: the same seed, the same ones, by their number [default: others each time]
    #[arg(long, value_name = "NUMBER", help_heading = "Answers")]
    seed: Option<u64>,
    /// Answer 502 when a call got no answer, or one from 500 on
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        hide_possible_values = true,
        help_heading = "Answers"
    )]
    fail_on_forward_error: bool,

    /// How long one call may take
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse,
        help_heading = "Calls"
    )]
    timeout: Duration,
    /// Make calls with HTTP/2 (prior knowledge) instead of HTTP/1.1
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        hide_possible_values = true,
        help_heading = "Calls"
    )]
    http2: bool,
    /// Headers to pass on beside those of tracing, for example end-user,x-cse-context
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Calls")]
    forward_headers: Vec<HeaderName>,
    /// How many services one behind the other a URL may ask for
    #[arg(long, value_name = "NUMBER", default_value_t = 32, help_heading = "Calls")]
    max_depth: u64,
    /// How many calls in all a URL may ask for, those of callees included
    #[arg(long, value_name = "NUMBER", default_value_t = 256, help_heading = "Calls")]
    max_calls: u64,

    /// How long to go on as before after SIGTERM; then the listeners close
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "0s",
        value_parser = duration::parse,
        help_heading = "Ending"
    )]
    drain_delay: Duration,
    /// How long what is under way may take once the listeners are closed
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse,
        help_heading = "Ending"
    )]
    grace_time: Duration,

    /// How much to log, on standard error; info: a line for each request
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Log")]
    log_level: Level,
    /// How to log
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Log")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    start_log(args.log_level, args.log_format);
    let protocol = if args.http2 { Protocol::Http2 } else { Protocol::Http1 };
    let fail_rate = FailRate::new(args.fail_rate, args.seed);
    if args.fail_rate > 0.0 {
        tracing::info!(seed = fail_rate.seed(), share = args.fail_rate, "requests fail");
    }
    server::run(Settings {
        listen: args.listen_address,
        echo_tcp: args.echo_tcp,
        echo_udp: args.echo_udp,
        service: args.service_name.unwrap_or_else(server::host_name),
        instance: args.instance,
        answers: Answers {
            delay: args.delay,
            status: args.status,
            fail_rate,
            fail_status: args.fail_status,
            fail_on_forward_error: args.fail_on_forward_error,
        },
        calls: Calls {
            client: Client::new(Proxy::from_environment()?, protocol),
            timeout: args.timeout,
            bounds: Bounds { depth: args.max_depth, calls: args.max_calls },
            forward_headers: args.forward_headers,
        },
        drain_delay: args.drain_delay,
        grace_time: args.grace_time,
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(level: Level, format: Format) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
}

/// A status that an answer can end with.
fn status(text: &str) -> Result<StatusCode, String> {
    text.parse()
        .ok()
        .filter(|status: &StatusCode| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| "write a status from 200 to 599".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "write a number from 0 to 1, for example 0.1".to_owned())
}
