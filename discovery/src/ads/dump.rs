//! What a control plane would send, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::channel;
use super::error::Error;
use super::options::Options;
use super::protocol::{Kind, Subscriptions, Variant};
use super::stream::{Heard, Stream};
use super::translate::{Found, Resource};
use super::{HTTP_PROXY, ended};

/// All that a node is sent.
#[derive(Debug)]
pub struct Dump {
    /// How it was asked for.
    pub variant: Variant,
    /// What came, as it was read.
    pub resources: Vec<Resource>,
    /// What could not be read: of which kind it is, and why.
    pub faults: Vec<(Kind, String)>,
    /// Whether everything that was asked for came in time.
    pub complete: bool,
}

/// Asks for all clusters, all of their endpoints and the routes of an HTTP proxy, and listens for so
/// long at the most.
pub async fn dump(options: &Options, patience: Duration) -> Result<Dump, Error> {
    match listen(options, Variant::Delta, patience).await {
        Err(Failed::Variant) => match listen(options, Variant::Whole, patience).await {
            Ok(dump) => Ok(dump),
            Err(Failed::Variant) => Err(Error::Ended {
                address: options.address.clone(),
                code: Code::Unimplemented.description().to_owned(),
                message: "it speaks no variant of ADS v3".to_owned(),
            }),
            Err(Failed::Other(error)) => Err(error),
        },
        Err(Failed::Other(error)) => Err(error),
        Ok(dump) => Ok(dump),
    }
}

enum Failed {
    /// This variant is not spoken.
    Variant,
    Other(Error),
}

async fn listen(options: &Options, variant: Variant, patience: Duration) -> Result<Dump, Failed> {
    let status = |status: tonic::Status| match status.code() {
        Code::Unimplemented => Failed::Variant,
        _ => Failed::Other(ended(&options.address, &status)),
    };
    let deadline = Instant::now() + patience;
    let channel = channel::connect(options).await.map_err(Failed::Other)?;
    let mut subscriptions = Subscriptions::default();
    let _ = subscriptions.want(Kind::Routes, [Arc::from(HTTP_PROXY)].into());
    let mut first = vec![subscriptions.open(Kind::Clusters, std::iter::empty())];
    first[0].first = true;
    first.push(subscriptions.open(Kind::Routes, std::iter::empty()));
    let mut stream = Stream::open(channel, options, variant, first).await.map_err(status)?;

    let mut dump = Dump { variant, resources: Vec::new(), faults: Vec::new(), complete: false };
    let mut missing: BTreeSet<Kind> = [Kind::Clusters, Kind::Routes].into();
    let mut endpoints: BTreeSet<Arc<str>> = BTreeSet::new();
    while !missing.is_empty() || !endpoints.is_empty() {
        let Ok(heard) = timeout_at(deadline, stream.hear()).await else { return Ok(dump) };
        let Some(heard) = heard.map_err(status)? else { return Ok(dump) };
        let Heard { type_url, version, nonce, resources, .. } = heard;
        let Some(kind) = Kind::of_type_url(&type_url) else { continue };
        let mut faults = Vec::new();
        let mut told = BTreeSet::new();
        for bytes in resources {
            match Resource::read(&type_url, &bytes) {
                Ok(resource) => {
                    match &resource {
                        Resource::Cluster(cluster) => {
                            if let Found::Told(name) = &cluster.found {
                                told.insert(Arc::clone(name));
                            }
                        }
                        Resource::Assignment(it) => drop(endpoints.remove(&it.cluster)),
                        Resource::Routes(_) => {}
                    }
                    dump.resources.push(resource);
                }
                Err((name, invalid)) => faults.push(format!("{name}: {invalid}")),
            }
        }
        let error = (!faults.is_empty()).then(|| faults.join("; "));
        dump.faults.extend(faults.into_iter().map(|fault| (kind, fault)));
        stream.say(subscriptions.answer(kind, &version, &nonce, error, SystemTime::now()));
        missing.remove(&kind);
        if kind == Kind::Clusters && !told.is_empty() && !subscriptions.is_open(Kind::Endpoints) {
            endpoints.clone_from(&told);
            let _ = subscriptions.want(Kind::Endpoints, told);
            stream.say(subscriptions.open(Kind::Endpoints, std::iter::empty()));
        }
    }
    dump.complete = true;
    Ok(dump)
}
