//! `expand[]`: which ids in an answer are replaced by the objects they name.

use serde_json::Value;

use crate::{api_error::ApiError, form::Form};

/// How deep an expansion may go.
const DEEPEST: usize = 4;

/// The fields of the simulated objects that hold ids.
const EXPANDABLE: [&str; 4] = ["charge", "customer", "latest_charge", "payment_intent"];

/// The paths that are to be expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expansions(Vec<Vec<String>>);

impl Expansions {
    pub(crate) fn read(parameters: &Form) -> Result<Self, ApiError> {
        let mut paths = Vec::new();
        for (_, path) in parameters.members("expand") {
            let path: Vec<_> = path.split('.').map(str::to_owned).collect();
            let fields = path.iter().enumerate().skip_while(|(at, name)| *at == 0 && *name == "data");
            if path.len() > DEEPEST || !fields.clone().all(|(_, name)| EXPANDABLE.contains(&name.as_str())) {
                return Err(ApiError::bad_parameter("expand", "up to four fields that name an object"));
            }
            paths.push(path);
        }
        Ok(Self(paths))
    }

    /// Puts the objects that `find` knows in place of their ids.
    pub(crate) fn apply(&self, value: &mut Value, find: &impl Fn(&str) -> Option<Value>) {
        for path in &self.0 {
            expand(value, path, find);
        }
    }
}

fn expand(value: &mut Value, path: &[String], find: &impl Fn(&str) -> Option<Value>) {
    match (value, path) {
        (Value::Array(values), _) => values.iter_mut().for_each(|value| expand(value, path, find)),
        (Value::Object(fields), [name, rest @ ..]) => {
            if let Some(field) = fields.get_mut(name) {
                expand(field, rest, find);
                if let Some(object) = field.as_str().and_then(find) {
                    *field = object;
                    expand(field, rest, find);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_become_objects_along_the_path() {
        let find = |id: &str| match id {
            "ch_1" => Some(json!({ "id": "ch_1", "customer": "cus_1" })),
            "cus_1" => Some(json!({ "id": "cus_1" })),
            _ => None,
        };
        let expanded = |query: &str, mut value: Value| {
            let expansions = Expansions::read(&Form::read(query.as_bytes())).expect("the paths are fine");
            expansions.apply(&mut value, &find);
            value
        };
        let intent = json!({ "latest_charge": "ch_1", "customer": null });
        let deep =
            json!({ "latest_charge": { "id": "ch_1", "customer": { "id": "cus_1" } }, "customer": null });
        assert_eq!(expanded("expand[]=latest_charge.customer&expand[]=customer", intent.clone()), deep);
        assert_eq!(expanded("expand[]=charge", intent.clone()), intent);
        let list = json!({ "data": [{ "customer": "cus_1" }, { "customer": "cus_2" }] });
        let wide = json!({ "data": [{ "customer": { "id": "cus_1" } }, { "customer": "cus_2" }] });
        assert_eq!(expanded("expand[]=data.customer", list), wide);
    }

    #[test]
    fn what_holds_no_id_cannot_be_expanded() {
        for path in ["amount", "customer.name", "charge.charge.charge.charge.charge", "customer.data", ""] {
            assert!(Expansions::read(&Form::read(format!("expand[]={path}").as_bytes())).is_err(), "{path}");
        }
    }
}
