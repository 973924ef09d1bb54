//! Schemas: the contracts of a service, texts that nothing here reads.

use serde::Deserialize;

use super::change::{Schema, What};
use super::{Code, Now, Refusal, Store, rules, weight};
use crate::model::Tenant;

/// A schema as a client sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SchemaChange {
    /// The text.
    pub schema: String,
    /// A digest of it.
    pub summary: String,
}

impl Store {
    /// One schema.
    pub fn schema(&self, tenant: &Tenant, service: &str, id: &str) -> Result<Schema, Refusal> {
        let service = self.known_service(tenant, service)?;
        let found = service.schemas.get(id).cloned();
        found.ok_or_else(|| Refusal::new(Code::NoSchema, "schema ref not found."))
    }

    /// All schemas of a service.
    pub fn schemas(&self, tenant: &Tenant, service: &str) -> Result<Vec<Schema>, Refusal> {
        self.known_service(tenant, service)?;
        Ok(self.schemas_of(tenant, service))
    }

    /// Adds a schema or replaces it.
    pub fn put_schema(
        &mut self,
        tenant: &Tenant,
        service: &str,
        id: &str,
        change: SchemaChange,
        now: Now,
    ) -> Result<(), Refusal> {
        let SchemaChange { schema, summary } = change;
        let schema = Schema { schema_id: id.to_owned(), schema, summary };
        self.put_schemas(tenant, service, vec![schema], now)
    }

    /// Adds several schemas or replaces them: all or none.
    pub fn put_schemas(
        &mut self,
        tenant: &Tenant,
        service: &str,
        schemas: Vec<Schema>,
        now: Now,
    ) -> Result<(), Refusal> {
        for Schema { schema_id, schema, summary } in &schemas {
            rules::schema(schema_id, schema, summary)?;
        }
        let known = &self.known_service(tenant, service)?.schemas;
        let new = schemas.iter().filter(|schema| !known.contains_key(&schema.schema_id)).count();
        if known.len() + new > rules::MOST_SCHEMAS {
            let detail = format!("a service has at most {} schemas", rules::MOST_SCHEMAS);
            return Err(Refusal::new(Code::Quota, detail));
        }
        self.room(0, 0, schemas.iter().map(weight::of).sum())?;
        for schema in schemas {
            let what = What::Schema { service: service.to_owned(), schema: Box::new(schema) };
            self.commit(tenant, what, now);
        }
        Ok(())
    }

    /// Deletes a schema.
    pub fn delete_schema(
        &mut self,
        tenant: &Tenant,
        service: &str,
        id: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        self.schema(tenant, service, id)?;
        let what = What::SchemaGone { service: service.to_owned(), schema: id.to_owned() };
        self.commit(tenant, what, now);
        Ok(())
    }
}
