//! Reading JSON objects field by field, so that a field that nobody asked for is an error.

use std::{error::Error, fmt, ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

/// What is wrong with settings, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub(crate) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for SettingsError {}

pub(crate) type Read<T> = Result<T, SettingsError>;

/// The fields of an object, of which each has to be asked for before the end.
pub(crate) struct Fields {
    at: String,
    left: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(value: &Value, at: &str) -> Read<Self> {
        match value {
            Value::Object(fields) => Ok(Self { at: at.to_owned(), left: fields.clone() }),
            _ => Err(SettingsError(format!("{at} must be an object"))),
        }
    }

    pub(crate) fn wrong<T>(&self, name: &str, rule: &str) -> Read<T> {
        Err(SettingsError(format!("{}.{name} must be {rule}", self.at)))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    pub(crate) fn number(&mut self, name: &str) -> Read<Option<f64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => self.wrong(name, "a number"),
            },
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Read<Option<u32>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
                Some(count) => Ok(Some(count)),
                None => self.wrong(name, "a whole number"),
            },
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Read<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.wrong(name, "a string"),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Read<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => self.wrong(name, "true or false"),
        }
    }

    /// A duration in milliseconds.
    pub(crate) fn time(&mut self, name: &str) -> Read<Option<Duration>> {
        match self.number(name)?.map(|ms| Duration::try_from_secs_f64(ms / 1000.0)) {
            None => Ok(None),
            Some(Ok(time)) => Ok(Some(time)),
            Some(Err(_)) => self.wrong(name, "milliseconds"),
        }
    }

    pub(crate) fn table(&mut self, name: &str) -> Read<Map<String, Value>> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(table)) => Ok(table),
            Some(_) => self.wrong(name, "an object"),
        }
    }

    pub(crate) fn times(&mut self, name: &str) -> Read<Option<RangeInclusive<Duration>>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let bounds: Option<Vec<_>> = value.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
        match bounds.as_deref() {
            Some([from, to]) if from <= to => {
                Ok(Some(Duration::from_millis(*from)..=Duration::from_millis(*to)))
            }
            _ => self.wrong(name, "two numbers of milliseconds, the smaller one first"),
        }
    }

    pub(crate) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value, &str) -> Read<T>,
    ) -> Read<Option<T>> {
        let at = format!("{}.{name}", self.at);
        self.take(name).map(|value| read(&value, &at)).transpose()
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value, &str) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let at = format!("{}.{name}", self.at);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(all)) => {
                let all = all.iter().enumerate().map(|(nth, value)| read(value, &format!("{at}[{nth}]")));
                Ok(Some(all.collect::<Read<_>>()?))
            }
            Some(_) => self.wrong(name, "an array"),
        }
    }

    pub(crate) fn need<T>(&self, name: &str, found: Option<T>) -> Read<T> {
        found.ok_or_else(|| SettingsError(format!("{}.{name} is missing", self.at)))
    }

    pub(crate) fn end(self) -> Read<()> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(SettingsError(format!("{}.{name} is not known", self.at))),
        }
    }
}
