//! The calls of the v4 API that a proxy makes, typed.

use http::{Method, StatusCode};
use mesh::{ServiceKey, Status};

use super::client::{Call, Client};
use super::error::Error;
use super::options::{OwnInstance, OwnService};
use super::wire::{
    BatchFind, BatchFound, FindKey, FindOne, Framework, HealthCheck, InstanceBody, InstanceRecord,
    Instances, NewInstance, NewService, Properties, ServiceBody, ServiceId,
};

/// Any version: service-center answers with all of them whatever it is asked for.
const ANY_VERSION: &str = "0+";

/// The API of one project.
pub(super) struct Api {
    pub(super) client: Client,
    /// `/v4/default/registry`.
    base: String,
    environment: String,
}

/// What is known of a service already.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) key: ServiceKey,
    /// Empty when nothing is.
    pub(super) revision: String,
}

/// What service-center says of one service.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    /// As of that revision.
    Instances { revision: String, instances: Vec<InstanceRecord> },
    /// The same as at the revision named in the question.
    NotModified,
    /// No such service, or no such consumer: the two can't be told apart.
    NoSuchService,
}

impl Api {
    pub(super) fn new(client: Client, project: &str, environment: &str) -> Self {
        let base = format!("/v4/{}/registry", escape(project));
        Self { client, base, environment: environment.to_owned() }
    }

    /// Registers the service; one that exists keeps what it was first registered with, so the
    /// properties are sent once more by themselves.
    pub(super) async fn register_service(&self, own: &OwnService) -> Result<String, Error> {
        let body = NewService {
            service: ServiceBody {
                app_id: &own.app,
                service_name: &own.name,
                version: &own.version,
                environment: &own.environment,
                level: "BACK",
                status: "UP",
                properties: &own.properties,
                framework: Framework { name: "Mesher", version: env!("CARGO_PKG_VERSION") },
                register_by: "SIDECAR",
            },
        };
        let path = format!("{}/microservices", self.base);
        let call = Call::new("register service", Method::POST, path).with(&body);
        let ServiceId { service_id } = self.client.ask(call).await?.json()?;
        if !own.properties.is_empty() {
            let path = format!("{}/microservices/{service_id}/properties", self.base);
            let body = Properties { properties: &own.properties };
            self.client.ask(Call::new("set properties", Method::PUT, path).with(&body)).await?;
        }
        Ok(service_id)
    }

    /// Registers the instance and says its status: a registration of an id that is known already
    /// changes nothing.
    pub(super) async fn register_instance(
        &self,
        service_id: &str,
        own: &OwnInstance,
        status: Status,
        heartbeat_seconds: u64,
    ) -> Result<(), Error> {
        let instance = InstanceBody {
            instance_id: &own.id,
            service_id,
            host_name: &own.host_name,
            endpoints: &own.endpoints,
            status: status.as_str(),
            properties: &own.properties,
            health_check: HealthCheck { mode: "push", interval: heartbeat_seconds, times: 3 },
            data_center_info: own.place.as_ref(),
        };
        let path = format!("{}/microservices/{service_id}/instances", self.base);
        let call = Call::new("register instance", Method::POST, path);
        self.client.ask(call.with(&NewInstance { instance })).await?;
        self.set_status(service_id, &own.id, status).await
    }

    pub(super) async fn set_status(
        &self,
        service_id: &str,
        instance_id: &str,
        status: Status,
    ) -> Result<(), Error> {
        let value = status.as_str();
        let path = format!("{}/status?value={value}", self.instance(service_id, instance_id));
        self.client.ask(Call::new("set status", Method::PUT, path)).await.map(drop)
    }

    pub(super) async fn heartbeat(&self, service_id: &str, id: &str) -> Result<(), Error> {
        let path = format!("{}/heartbeat", self.instance(service_id, id));
        self.client.ask(Call::new("heartbeat", Method::PUT, path)).await.map(drop)
    }

    pub(super) async fn unregister(&self, service_id: &str, id: &str) -> Result<(), Error> {
        let path = self.instance(service_id, id);
        self.client.ask(Call::new("unregister instance", Method::DELETE, path)).await.map(drop)
    }

    /// Whether a service of that id is known.
    pub(super) async fn service_exists(&self, service_id: &str) -> Result<(), Error> {
        let path = format!("{}/microservices/{service_id}", self.base);
        self.client.ask(Call::new("get service", Method::GET, path)).await.map(drop)
    }

    /// Asks for one service. With a consumer, its changes are pushed to that from now on.
    pub(super) async fn find(
        &self,
        consumer: Option<&str>,
        question: &Question,
    ) -> Result<Finding, Error> {
        let ServiceKey { scope, name } = &question.key;
        let mut path = format!(
            "{}/instances?appId={}&serviceName={}&version=0%2B&rev={}",
            self.base,
            escape(scope),
            escape(name),
            escape(&question.revision)
        );
        if consumer.is_none() && !self.environment.is_empty() {
            path.push_str("&env=");
            path.push_str(&escape(&self.environment));
        }
        let call = Call::new("find", Method::GET, path).by(consumer);
        let reply = match self.client.ask(call).await {
            Ok(reply) => reply,
            Err(error) if error.is_no_such_service() => return Ok(Finding::NoSuchService),
            Err(error) => return Err(error),
        };
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(Finding::NotModified);
        }
        let Instances { instances } = reply.json()?;
        Ok(Finding::Instances { revision: reply.revision, instances })
    }

    /// Asks for many services in one call. A service without a finding failed for a reason of its
    /// own, and is asked for again the next time.
    pub(super) async fn find_all(
        &self,
        consumer: Option<&str>,
        questions: &[Question],
    ) -> Result<Vec<Option<Finding>>, Error> {
        let services = questions.iter().map(|question| self.find_one(question)).collect();
        let body = BatchFind { consumer_service_id: consumer.unwrap_or_default(), services };
        let path = format!("{}/instances/action?type=query", self.base);
        let call = Call::new("find all", Method::POST, path).by(consumer).with(&body);
        let found: BatchFound = self.client.ask(call).await?.json()?;
        let mut findings = vec![None; questions.len()];
        let mut set = |index: usize, finding| {
            if let Some(slot) = findings.get_mut(index) {
                *slot = Some(finding);
            }
        };
        for updated in found.services.updated {
            let (revision, instances) = (updated.rev, updated.instances);
            set(updated.index, Finding::Instances { revision, instances });
        }
        for index in found.services.not_modified {
            set(index, Finding::NotModified);
        }
        for failed in found.services.failed {
            if failed.error.error_code == "400012" {
                failed.indexes.into_iter().for_each(|index| set(index, Finding::NoSuchService));
            }
        }
        Ok(findings)
    }

    fn find_one<'a>(&'a self, question: &'a Question) -> FindOne<'a> {
        FindOne {
            service: FindKey {
                app_id: &question.key.scope,
                service_name: &question.key.name,
                version: ANY_VERSION,
                environment: &self.environment,
            },
            rev: &question.revision,
        }
    }

    /// The path that changes are pushed on.
    pub(super) fn watcher(&self, service_id: &str) -> String {
        format!("{}/microservices/{service_id}/watcher", self.base)
    }

    fn instance(&self, service_id: &str, instance_id: &str) -> String {
        format!("{}/microservices/{service_id}/instances/{}", self.base, escape(instance_id))
    }
}

/// Percent-encodes what is not unreserved (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    use std::fmt::Write;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
