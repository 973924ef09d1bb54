//! `mockserver get`: a client, for a pod that has no shell.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use tokio::time::{sleep, timeout};

use super::duration;
use crate::Error;
use crate::client::{Client, NoAnswer, Protocol, Proxy};

const EXAMPLES: &str = "\
Examples
  mockserver get http://server:8080/@ratings/       in the pod: kubectl exec POD -- mockserver get …
  mockserver get -v -n 100 -c 10 -q http://server:8080/
  mockserver get -d @order.json -H 'content-type: application/json' http://server:8080/orders
  mockserver get --proxy http://127.0.0.1:30101 http://server:8080/

Exit status: 0 when every answer was complete and below 400, 1 when one was not, 2 for a command
line that cannot be used.";

/// Make requests and print the answers; through `http_proxy`, if it is set
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whom to ask; http:// may be left out
    url: String,
    /// How many requests to make
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// How many at a time
    #[arg(short, long, value_name = "NUMBER", default_value_t = 1, value_parser = concurrency)]
    concurrency: usize,
    /// The method [default: GET, and POST with --data]
    #[arg(short = 'X', long)]
    method: Option<Method>,
    /// The body: text, @FILE, or @- for standard input
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// A header, NAME: VALUE; may be given more than once
    #[arg(short = 'H', long)]
    header: Vec<String>,
    /// HTTP/2 with prior knowledge instead of HTTP/1.1
    #[arg(long)]
    http2: bool,
    /// The proxy, instead of what http_proxy and no_proxy say
    #[arg(short = 'x', long, value_name = "URL", conflicts_with = "no_proxy")]
    proxy: Option<String>,
    /// No proxy, whatever http_proxy says
    #[arg(long)]
    no_proxy: bool,
    /// How long one request may take, answer included
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
    /// How long to go on trying while nobody can be reached, as when the server still starts
    #[arg(short, long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    wait: Duration,
    /// Print the requests' way, status and headers of the answers to standard error
    #[arg(short, long)]
    verbose: bool,
    /// Do not print the answers' bodies
    #[arg(short, long)]
    quiet: bool,
}

/// How long to leave a server alone that could not be reached.
const PAUSE: Duration = Duration::from_millis(50);

/// What all requests have in common.
struct Job {
    client: Client,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    wait: Duration,
    verbose: bool,
    /// Whether bodies are printed as they arrive, or whole, or not.
    print: Print,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Print {
    AsItComes,
    Whole,
    Nothing,
}

/// How one request ended.
enum End {
    Answer(StatusCode),
    NoAnswer,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let (number, concurrency) = (args.number, args.concurrency);
    let job = Job::new(args)?;
    let started = Instant::now();
    let mut ends = stream::iter(0..number).map(|_| job.request()).buffer_unordered(concurrency);
    let mut statuses: BTreeMap<Option<u16>, u64> = BTreeMap::new();
    let mut failed: u64 = 0;
    while let Some(end) = ends.next().await {
        let status = match end? {
            End::Answer(status) => Some(status),
            End::NoAnswer => None,
        };
        *statuses.entry(status.map(|status| status.as_u16())).or_default() += 1;
        failed += u64::from(status.is_none_or(|status| status.as_u16() >= 400));
    }
    if number > 1 {
        eprintln!("{}", summary(number, failed, &statuses, started.elapsed()));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Job {
    fn new(args: Args) -> Result<Self, Error> {
        let proxy = match &args.proxy {
            Some(proxy) => Proxy::new("--proxy", proxy, "")?,
            None if args.no_proxy => Proxy::none(),
            None => Proxy::from_environment()?,
        };
        let protocol = if args.http2 { Protocol::Http2 } else { Protocol::Http1 };
        let with_body = args.data.is_some();
        Ok(Self {
            client: Client::new(proxy, protocol),
            uri: uri(&args.url)?,
            method: args.method.unwrap_or(if with_body { Method::POST } else { Method::GET }),
            headers: headers(&args.header)?,
            body: args.data.map(body).transpose()?.unwrap_or_default(),
            timeout: args.timeout,
            wait: args.wait,
            verbose: args.verbose,
            print: match (args.quiet, args.concurrency) {
                (true, _) => Print::Nothing,
                (false, 1) => Print::AsItComes,
                (false, _) => Print::Whole,
            },
        })
    }

    /// Makes one request and prints what came; only standard output can fail here.
    async fn request(&self) -> Result<End, Error> {
        if self.verbose {
            let way = self.client.proxy_for(&self.uri);
            let way = way.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
            eprintln!("> {} {}{way}", self.method, self.uri);
        }
        let started = Instant::now();
        loop {
            let exchange = timeout(self.timeout, self.exchange()).await;
            match exchange.unwrap_or(Err(NoAnswer::Late(self.timeout))) {
                Ok(end) => return end,
                Err(NoAnswer::NotReached(_)) if started.elapsed() < self.wait => {
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    eprintln!("error: {}: {error}", self.uri);
                    return Ok(End::NoAnswer);
                }
            }
        }
    }

    /// The inner error is about standard output, the outer about the peer.
    async fn exchange(&self) -> Result<Result<End, Error>, NoAnswer> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (parts, mut body) = self.client.send(request).await?.into_parts();
        if self.verbose {
            eprint!("{}", described(&parts));
        }
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| NoAnswer::broken_off(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            match self.print {
                Print::Nothing => {}
                Print::Whole => whole.extend_from_slice(&data),
                Print::AsItComes => {
                    if let Err(error) = print(&data) {
                        return Ok(Err(error));
                    }
                }
            }
        }
        if let Err(error) = print(&whole) {
            return Ok(Err(error));
        }
        let status = parts.status;
        if status.as_u16() >= 400 {
            let reason = parts.headers.get("x-mesher-error").and_then(|value| value.to_str().ok());
            let reason = reason.map(|reason| format!(" (x-mesher-error: {reason})"));
            eprintln!("error: {}: {status}{}", self.uri, reason.unwrap_or_default());
        }
        Ok(Ok(End::Answer(status)))
    }
}

fn uri(url: &str) -> Result<Uri, Error> {
    let wrong = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full.parse().map_err(|_| wrong("this is no URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong("only http is spoken, TLS is the mesh's part"));
    }
    match uri.host() {
        None | Some("") => Err(wrong("it names no host")),
        Some(_) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            Err(wrong("a user in a URL is not sent"))
        }
        Some(_) => Ok(uri),
    }
}

fn headers(given: &[String]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let ourselves = concat!("mockserver-get/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(ourselves));
    let mut read = HeaderMap::new();
    for header in given {
        let wrong = || Error::Header { header: header.clone() };
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        headers.remove(&name);
        read.append(name, value);
    }
    headers.extend(read);
    Ok(headers)
}

fn body(data: String) -> Result<Bytes, Error> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(data.into());
    };
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    bytes.map(Bytes::from).map_err(|source| Error::Data { file: file.to_owned(), source })
}

fn concurrency(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| "write a number from 1 to 10000".to_owned())
}

/// Status and headers, a line each.
fn described(parts: &Parts) -> String {
    let mut lines = vec![format!("< {:?} {}\n", parts.version, parts.status)];
    lines.extend(
        parts.headers.iter().map(|(name, value)| {
            format!("< {name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
        }),
    );
    lines.concat()
}

fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::Output)
}

/// `100 requests in 1.234 s: 98 good, 2 failed; 97 × 200, 1 × 204, 1 × 503, 1 × no answer`
fn summary(
    number: u64,
    failed: u64,
    statuses: &BTreeMap<Option<u16>, u64>,
    took: Duration,
) -> String {
    let mut kinds: Vec<String> = statuses
        .iter()
        .filter_map(|(status, count)| status.map(|status| format!("{count} × {status}")))
        .collect();
    kinds.extend(statuses.get(&None).map(|count| format!("{count} × no answer")));
    format!(
        "{number} requests in {:.3} s: {} good, {failed} failed; {}",
        took.as_secs_f64(),
        number - failed,
        kinds.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, read) in [
            ("http://a:8080/@b|c/?x=1", "http://a:8080/@b|c/?x=1"),
            ("a:8080/x", "http://a:8080/x"),
            ("a", "http://a/"),
            ("[::1]:81", "http://[::1]:81/"),
        ] {
            assert_eq!(uri(url).unwrap().to_string(), read);
        }
        for url in ["", "https://a/", "http://", "/x", "http://u:p@a/", "http://a b/"] {
            assert!(uri(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_summary_counts() {
        let statuses = [(None, 1), (Some(200), 97), (Some(204), 1), (Some(503), 1)].into();
        assert_eq!(
            summary(100, 2, &statuses, Duration::from_millis(1234)),
            "100 requests in 1.234 s: 98 good, 2 failed; \
             97 × 200, 1 × 204, 1 × 503, 1 × no answer"
        );
    }
}
