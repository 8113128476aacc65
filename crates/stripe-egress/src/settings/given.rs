//! What a file says, key by key: to print it, and to tell what another one says differently.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// The keys of a file with their values, both as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given(BTreeMap<String, String>);

impl Given {
    pub(super) fn of(table: &Table) -> Self {
        let mut given = BTreeMap::new();
        flatten("", table, &mut given);
        Self(given)
    }

    /// The keys that are not the same in both.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<String> {
        let keys = self.0.keys().chain(other.0.keys());
        keys.filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect()
    }

    /// Whether this key is given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Says of this key what `other` says.
    pub(crate) fn adopt(&mut self, key: &str, other: &Self) {
        match other.0.get(key) {
            Some(value) => self.0.insert(key.to_owned(), value.clone()),
            None => self.0.remove(key),
        };
    }
}

fn flatten(at: &str, table: &Table, given: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        match value {
            Value::Table(table) => flatten(&path, table, given),
            value => {
                given.insert(path, value.to_string());
            }
        }
    }
}
