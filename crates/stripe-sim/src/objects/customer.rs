//! Customers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::merge;
use crate::command::{CUSTOMER_TEXTS, CustomerFields};

/// A customer.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) deleted: bool,
    livemode: bool,
    fields: CustomerFields,
}

impl Customer {
    pub(crate) fn new(id: String, created: u64, livemode: bool, fields: CustomerFields) -> Self {
        let blank = Self { id, created, deleted: false, livemode, fields: CustomerFields::default() };
        blank.updated(fields)
    }

    /// The customer with `fields` set; an empty value unsets.
    pub(crate) fn updated(mut self, fields: CustomerFields) -> Self {
        for (name, value) in fields.texts {
            self.fields.texts.insert(name, value);
        }
        self.fields.texts.retain(|_, value| !value.is_empty());
        merge(&mut self.fields.metadata, fields.metadata);
        self
    }

    /// What stays of the customer after it was deleted.
    pub(crate) fn gone(self) -> Self {
        Self { deleted: true, ..self }
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.fields.metadata
    }

    pub(crate) fn json(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": "customer", "deleted": true });
        }
        let mut json = json!({
            "id": self.id,
            "object": "customer",
            "balance": 0,
            "created": self.created,
            "livemode": self.livemode,
            "metadata": self.fields.metadata,
        });
        for name in CUSTOMER_TEXTS {
            json[name] = self.fields.texts.get(name).map_or(Value::Null, |value| Value::from(value.as_str()));
        }
        json
    }
}
