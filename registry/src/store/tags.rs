//! Tags: words about a service that consumers may ask for.

use super::change::What;
use super::services::check_tags;
use super::{Code, Now, Refusal, Store, rules, weight};
use crate::model::{Properties, Tenant};

impl Store {
    /// The tags of a service.
    pub fn tags(&self, tenant: &Tenant, service: &str) -> Result<Properties, Refusal> {
        Ok(self.known_service(tenant, service)?.tags.clone())
    }

    /// Adds tags to those that are there.
    pub fn add_tags(
        &mut self,
        tenant: &Tenant,
        service: &str,
        tags: Properties,
        now: Now,
    ) -> Result<(), Refusal> {
        if tags.is_empty() {
            return Err(rules::size("AddServiceTagsRequest.Tags", "map[]", 1, None));
        }
        let mut all = self.tags(tenant, service)?;
        all.extend(tags);
        self.set_tags(tenant, service, all, now)
    }

    /// Changes a tag that is there.
    pub fn update_tag(
        &mut self,
        tenant: &Tenant,
        service: &str,
        key: &str,
        value: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        let mut all = self.tags(tenant, service)?;
        let Some(tag) = all.get_mut(key) else {
            let detail = "Tag does not exist, please add one first.";
            return Err(Refusal::new(Code::NoTag, detail));
        };
        value.clone_into(tag);
        self.set_tags(tenant, service, all, now)
    }

    /// Deletes tags, all of them or none.
    pub fn delete_tags(
        &mut self,
        tenant: &Tenant,
        service: &str,
        keys: &[&str],
        now: Now,
    ) -> Result<(), Refusal> {
        let mut all = self.tags(tenant, service)?;
        for key in keys {
            if all.remove(*key).is_none() {
                let detail = format!("Tag[{key}] does not exist.");
                return Err(Refusal::new(Code::NoTag, detail));
            }
        }
        self.set_tags(tenant, service, all, now)
    }

    fn set_tags(
        &mut self,
        tenant: &Tenant,
        service: &str,
        tags: Properties,
        now: Now,
    ) -> Result<(), Refusal> {
        check_tags(&tags)?;
        self.room(0, 0, weight::of(&tags))?;
        self.commit(tenant, What::Tags { service: service.to_owned(), tags }, now);
        Ok(())
    }
}
