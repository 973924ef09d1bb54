//! The command line: serving, and making calls.

mod duration;
mod get;
mod go_flags;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::Error;

const GRAMMAR: &str = "\
The calls of a URL
  GET /@reviews/@ratings:9080/now makes this service call http://reviews:8080/@ratings:9080/now,
  and that one http://ratings:9080/now. Only the first segment is a command, and only when it
  begins with @; what follows it is passed on unread, with the query.

  @a           call a, on port 8080             @a:81        on another port
  @a,b         a, then b                        @a|b         both side by side
  @a,b|c       a then b, beside them c          @a[x=1]      with the header x: 1, which stays
  @[::1]:81    an IPv6 address                               with the call to the end of the chain
  @a|b/@c|d/   a and b, and each of them c and d: six calls in all

  %7C and %2C stand for | and , where a tool does not let them through (and use curl -g for [ ]).
  The answer is JSON: what was received, and below each call what the callee answered.
  Any gRPC method is answered with its own messages. /health is always 200.

Examples
  Three services on this machine, and a chain through all of them:
    mockserver -listenAddress 127.0.0.1:8083 -serviceName ratings &
    mockserver -listenAddress 127.0.0.1:8082 -serviceName reviews &
    mockserver -listenAddress 127.0.0.1:8081 -serviceName front &
    mockserver get -w 5s 'http://127.0.0.1:8081/@127.0.0.1:8082/@127.0.0.1:8083/hello'
  A service that is slow and fails now and then, always for the same requests:
    mockserver -delay 2s -failRate 0.1 -seed 7
  Calls go through http_proxy, if it is set, but to what no_proxy names; also those to 127.0.0.1:
    http_proxy=http://127.0.0.1:30101 mockserver get http://reviews:8080/@ratings/

Flags may be written with one dash or two, and as -listenAddress or --listen-address.
SIGTERM closes the listeners (after -drainDelay), and what is under way may finish (-graceTime).
";

/// A service whose calls are written in its URL, to try a mesh with.
#[derive(Debug, Parser)]
#[command(
    name = "mockserver",
    version,
    max_term_width = 100,
    after_help = GRAMMAR,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(Box<get::Args>),
}

/// Reads the command line and does what it says.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Error> {
    let mut command = Cli::command();
    command.build();
    let arguments = go_flags::respell(&command, arguments);
    let cli = command
        .try_get_matches_from_mut(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures, and go to standard output.
            let _ = error.print();
            return Ok(if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS });
        }
    };
    // One thread: a mock should be small, and does not compute.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System { what: "a runtime", source })?;
    match cli.command {
        Some(Command::Get(args)) => runtime.block_on(get::run(*args)),
        None => runtime.block_on(serve::run(cli.serve)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
