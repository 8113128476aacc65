//! Reading a TOML table key by key, so that every problem is told at once, and a key that nobody asked for is one.

use std::{num::NonZeroU32, time::Duration};

use toml::{Table, Value};
use tower_stripe::vocab::Ratio;

/// How unlike a known key an unknown one may be to be taken for a slip.
const ALIKE: f64 = 0.7;

/// The keys of a table, of which each has to be asked for before the end.
pub(super) struct Fields<'a> {
    problems: &'a mut Vec<String>,
    at: String,
    left: Table,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(table: Table, problems: &'a mut Vec<String>) -> Self {
        Self { problems, at: String::new(), left: table, asked: Vec::new() }
    }

    /// The keys of the table under `name`; of an empty one where there is none.
    pub(super) fn table(&mut self, name: &'static str) -> Fields<'_> {
        let left = match self.take(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(value) => {
                self.wrong(name, &value, "a table");
                Table::new()
            }
        };
        self.within(name, left)
    }

    /// The tables under `name`, by their keys, which may be anything.
    pub(super) fn tables(&mut self, name: &'static str, mut read: impl FnMut(&str, Fields<'_>)) {
        let all = match self.take(name) {
            None => return,
            Some(Value::Table(all)) => all,
            Some(value) => return self.wrong(name, &value, "a table of tables"),
        };
        let mut all_of = self.within(name, Table::new());
        for (key, value) in all {
            match value {
                Value::Table(table) => read(&key, all_of.within(&key, table)),
                value => all_of.wrong(&key, &value, "a table"),
            }
        }
    }

    fn within(&mut self, name: &str, left: Table) -> Fields<'_> {
        let at = self.path(name);
        Fields { problems: self.problems, at, left, asked: Vec::new() }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, "true or false", Value::as_bool)
    }

    pub(super) fn count(&mut self, name: &'static str) -> Option<u32> {
        self.read(name, "a whole number", |value| value.as_integer()?.try_into().ok())
    }

    pub(super) fn some(&mut self, name: &'static str) -> Option<NonZeroU32> {
        let at_least_one = |value: &Value| NonZeroU32::new(value.as_integer()?.try_into().ok()?);
        self.read(name, "a whole number of at least 1", at_least_one)
    }

    /// A number of bytes.
    pub(super) fn bytes(&mut self, name: &'static str) -> Option<u64> {
        self.read(name, "a whole number of bytes", |value| value.as_integer()?.try_into().ok())
    }

    /// `"500ms"`.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Duration> {
        let time = |value: &Value| humantime::parse_duration(value.as_str()?).ok();
        self.read(name, r#"a time with its unit, as "500ms" or "2s""#, time)
    }

    /// `"50%"`.
    pub(super) fn ratio(&mut self, name: &'static str) -> Option<Ratio> {
        let ratio = |value: &Value| {
            let percent: f64 = value.as_str()?.strip_suffix('%')?.trim().parse().ok()?;
            let permille = (percent * 10.0).round();
            (0.0..=10_000.0).contains(&permille).then(|| Ratio::permille(permille as u16))
        };
        self.read(name, r#"a share, as "50%""#, ratio)
    }

    /// The value under `name` as `of` makes it, if it is `rule`.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        of: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let read = of(&value);
        if read.is_none() {
            self.wrong(name, &value, rule);
        }
        read
    }

    /// What is here besides the other problems.
    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The full name of a key.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.left.remove(name)
    }

    fn wrong(&mut self, name: &str, value: &Value, rule: &str) {
        // A secret that got into the wrong place must not be printed with it.
        let shown = if matches!(value, Value::String(text) if text.len() > 32) || value.is_table() {
            String::new()
        } else {
            format!(" = {value}")
        };
        let problem = format!("{}{shown} must be {rule}", self.path(name));
        self.problem(problem);
    }

    /// Every key that was not asked for is a problem.
    pub(super) fn end(self) {
        for name in self.left.keys() {
            let nearest = self
                .asked
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
            let meant = match nearest {
                Some(nearest) if strsim::jaro_winkler(name, nearest) >= ALIKE => {
                    format!("; did you mean {}?", self.path(nearest))
                }
                _ => format!("; known here: {}", self.asked.join(", ")),
            };
            self.problems.push(format!("{} is not known{meant}", self.path(name)));
        }
    }
}
