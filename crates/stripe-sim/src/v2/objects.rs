//! The v2 objects of one account, which are little more than the JSON they were made from.

use serde_json::{Map, Value, json};

use super::{
    command::{Command, Paging},
    route::{Action, Kind},
};
use crate::{api_error::ApiError, chance::Ids, clock::iso_8601, shelf::Shelf, world::Outcome};

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    kind: Kind,
    pub(crate) id: String,
    created: u64,
    updated: u64,
    livemode: bool,
    deleted: bool,
    fields: Map<String, Value>,
}

/// What a request was about: enough to answer a replay with how things stand by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    kind: Kind,
    pub(crate) id: String,
    /// The request deleted it, so that its absence is no surprise.
    deleted: bool,
}

/// All v2 objects of one account.
#[derive(Default)]
pub(crate) struct Objects(Shelf<Object>);

impl Objects {
    /// What `command` comes to; changes nothing.
    pub(crate) fn run(
        &self,
        command: Command,
        ids: &mut Ids,
        now: u64,
        livemode: bool,
    ) -> Result<Outcome, ApiError> {
        Ok(match command {
            Command::Create(kind, fields) => {
                let id = ids.object(kind.prefix(livemode));
                done(Object::new(kind, id, now, livemode, fields))
            }
            Command::Retrieve(kind, id) => Outcome::Read(self.living(kind, &id)?.json()),
            Command::Update(kind, id, fields) => {
                let mut object = self.living(kind, &id)?.clone();
                object.updated = now;
                merge(&mut object.fields, fields);
                done(object)
            }
            Command::List(kind, paging) => Outcome::Read(self.page(kind, &paging)?),
            Command::Delete(kind, id) => done(Object { deleted: true, ..self.living(kind, &id)?.clone() }),
            Command::Act(action, id) => self.act(action, &id, now)?,
        })
    }

    fn act(&self, action: Action, id: &str, now: u64) -> Result<Outcome, ApiError> {
        let kind = if action == Action::Close { Kind::Account } else { Kind::Destination };
        let mut object = self.living(kind, id)?.clone();
        object.updated = now;
        match action {
            Action::Close => {
                object.fields.insert("closed".to_owned(), Value::Bool(true));
            }
            Action::Enable | Action::Disable => {
                let status = if action == Action::Enable { "enabled" } else { "disabled" };
                object.fields.insert("status".to_owned(), Value::from(status));
            }
            Action::Ping if object.fields.get("status").is_some_and(|status| status == "enabled") => {}
            Action::Ping => return Ok(Outcome::Refused(ApiError::cannot_proceed("the destination is off"))),
        }
        Ok(done(object))
    }

    /// How things stand with what a request once changed. It is an error if there is nothing to show any more.
    pub(crate) fn show(&self, subject: &Subject) -> Result<Value, ApiError> {
        match self.0.get(&subject.id) {
            Some(object) if !object.deleted || subject.deleted => Ok(object.json()),
            _ => Err(ApiError::gone(subject.kind.object(), &subject.id)),
        }
    }

    pub(crate) fn put(&mut self, object: Object, now: u64) {
        self.0.put(object.id.clone(), object, now);
    }

    fn living(&self, kind: Kind, id: &str) -> Result<&Object, ApiError> {
        let known = self.0.get(id).filter(|object| object.kind == kind && !object.deleted);
        known.ok_or_else(|| ApiError::missing_object(kind.object(), id, "id"))
    }

    fn page(&self, kind: Kind, paging: &Paging) -> Result<Value, ApiError> {
        let mut all = self.0.newest_first().filter(|object| object.kind == kind && !object.deleted);
        if let Some(after) = &paging.after
            && !all.any(|object| object.id == *after)
        {
            return Err(ApiError::bad_parameter("page", "taken from a page's URL"));
        }
        let data: Vec<_> = all.by_ref().take(paging.limit).collect();
        let next = data.last().filter(|_| all.next().is_some());
        let url = |after: &str| format!("{}?limit={}&page=page_{after}", kind.path(), paging.limit);
        Ok(json!({
            "data": data.iter().map(|object| object.json()).collect::<Vec<_>>(),
            "next_page_url": next.map(|last| url(&last.id)),
            // The way back is not simulated: nothing that this crate is for walks it.
            "previous_page_url": null,
        }))
    }
}

impl Object {
    fn new(kind: Kind, id: String, now: u64, livemode: bool, fields: Map<String, Value>) -> Self {
        let mut object =
            Self { kind, id, created: now, updated: now, livemode, deleted: false, fields: Map::new() };
        match kind {
            Kind::Destination => {
                object.fields.insert("status".to_owned(), Value::from("enabled"));
            }
            Kind::MeterEvent => {
                object.fields.insert("identifier".to_owned(), Value::from(object.id.as_str()));
                object.fields.insert("timestamp".to_owned(), Value::from(iso_8601(now)));
            }
            Kind::Account => {
                object.fields.insert("closed".to_owned(), Value::Bool(false));
            }
        }
        merge(&mut object.fields, fields);
        object
    }

    /// What stands for this object in the key store.
    pub(crate) fn subject(&self) -> Subject {
        Subject { kind: self.kind, id: self.id.clone(), deleted: self.deleted }
    }

    fn json(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": self.kind.object() });
        }
        let mut json = self.fields.clone();
        json.insert("object".to_owned(), Value::from(self.kind.object()));
        json.insert("created".to_owned(), Value::from(iso_8601(self.created)));
        json.insert("livemode".to_owned(), Value::from(self.livemode));
        // A meter event goes by the identifier that its sender gave it.
        if self.kind != Kind::MeterEvent {
            json.insert("id".to_owned(), Value::from(self.id.as_str()));
        }
        if self.kind == Kind::Destination {
            json.insert("updated".to_owned(), Value::from(iso_8601(self.updated)));
        }
        Value::Object(json)
    }
}

fn done(object: Object) -> Outcome {
    Outcome::done_v2(object.json(), object)
}

/// Sets what `from` has, object by object; null unsets.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (_, Value::Null) => {
                into.remove(&name);
            }
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_merge_and_null_unsets() {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        let mut fields = object(json!({ "a": { "b": 1, "c": 2 }, "d": 3 }));
        merge(&mut fields, object(json!({ "a": { "b": null, "e": [4] }, "d": null, "f": 5 })));
        assert_eq!(Value::Object(fields), json!({ "a": { "c": 2, "e": [4] }, "f": 5 }));
    }
}
