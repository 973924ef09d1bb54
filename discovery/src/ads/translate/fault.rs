//! Faults on purpose.

use envoy_types::pb::envoy::extensions::filters::common::fault::v3::fault_delay::FaultDelaySecifier;
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{
    HttpFault, fault_abort::ErrorType,
};
use mesh::virtual_host::{Abort, Delay, Fault, Share};

use super::matching::header_match;
use super::{Invalid, Unsupported, share, span};

pub(super) fn fault(wire: &HttpFault, unsupported: &mut Unsupported) -> Result<Fault, Invalid> {
    let mut fault = Fault::default();
    for header in &wire.headers {
        let Some(read) = header_match(header)? else {
            // About fewer requests than could be told here: none is safe.
            unsupported.note("fault.headers");
            return Ok(Fault::default());
        };
        fault.headers.push(read);
    }
    if !wire.upstream_cluster.is_empty() || !wire.downstream_nodes.is_empty() {
        unsupported.note("fault.upstream_cluster");
        return Ok(Fault::default());
    }
    unsupported.note_if(wire.response_rate_limit.is_some(), "fault.response_rate_limit");
    unsupported.note_if(wire.max_active_faults.is_some(), "fault.max_active_faults");
    if let Some(delay) = &wire.delay {
        match &delay.fault_delay_secifier {
            Some(FaultDelaySecifier::FixedDelay(time)) => {
                let time = span("delay.fixed_delay", Some(time))?.unwrap_or_default();
                let share = share(delay.percentage.as_ref()).unwrap_or(Share::NONE);
                fault.delay = Some(Delay { time, share });
            }
            Some(FaultDelaySecifier::HeaderDelay(_)) => unsupported.note("fault.header_delay"),
            None => return Err(Invalid::new("delay", "says no time")),
        }
    }
    if let Some(abort) = &wire.abort {
        let share = share(abort.percentage.as_ref()).unwrap_or(Share::NONE);
        match abort.error_type {
            Some(ErrorType::HttpStatus(status)) => {
                let known = u16::try_from(status).ok().filter(|it| (200..600).contains(it));
                let status = known.ok_or_else(|| {
                    Invalid::new("abort.http_status", format!("{status} is not from 200 to 599"))
                })?;
                fault.abort = Some(Abort { status, grpc_status: None, share });
            }
            Some(ErrorType::GrpcStatus(status)) => {
                fault.abort = Some(Abort { status: 200, grpc_status: Some(status), share });
            }
            Some(ErrorType::HeaderAbort(_)) => unsupported.note("fault.header_abort"),
            None => return Err(Invalid::new("abort", "says no status")),
        }
    }
    Ok(fault)
}
