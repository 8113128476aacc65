//! Lists and searches: which objects a request asks for, newest first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{api_error::ApiError, form::Form};

/// What every list takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    starting_after: Option<String>,
    ending_before: Option<String>,
    /// Inclusive bounds of `created`.
    from: Option<u64>,
    to: Option<u64>,
}

impl Page {
    pub(crate) fn read(query: &Form) -> Result<Self, ApiError> {
        let mut page = Self {
            limit: read_limit(query)?,
            starting_after: query.get("starting_after").map(str::to_owned),
            ending_before: query.get("ending_before").map(str::to_owned),
            from: None,
            to: None,
        };
        for (name, shift) in [("created", 0), ("created[gte]", 0), ("created[gt]", 1)] {
            if let Some(at) = read_seconds(query, name)? {
                page.from = page.from.max(Some(at.saturating_add(shift)));
            }
        }
        for (name, shift) in [("created", 0), ("created[lte]", 0), ("created[lt]", 1)] {
            if let Some(at) = read_seconds(query, name)? {
                // Before the beginning there is nothing, which no inclusive bound can say: an empty range does.
                let Some(last) = at.checked_sub(shift) else {
                    page.from = Some(u64::MAX);
                    continue;
                };
                page.to = Some(page.to.map_or(last, |to| to.min(last)));
            }
        }
        Ok(page)
    }

    /// The page of `all`, which comes newest first as id, creation time and JSON.
    pub(crate) fn of<'a, T>(
        &self,
        url: &str,
        all: impl Iterator<Item = (&'a str, u64, T)>,
        render: impl Fn(T) -> Value,
    ) -> Result<Value, ApiError> {
        let mut all = all;
        if let Some(after) = &self.starting_after
            && !all.any(|(id, _, _)| id == after)
        {
            return Err(ApiError::missing_reference("object", after, "starting_after"));
        }
        let wanted = |created: u64| {
            self.from.is_none_or(|from| created >= from) && self.to.is_none_or(|to| created <= to)
        };
        let mut rest = all.filter(|(_, created, _)| wanted(*created));
        if let Some(before) = &self.ending_before {
            return self.up_to(url, before, rest, render);
        }
        let data: Vec<_> = rest.by_ref().take(self.limit).map(|(_, _, object)| render(object)).collect();
        let has_more = rest.next().is_some();
        Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": url }))
    }
}

impl Page {
    /// The page that ends right before the object `before`.
    fn up_to<'a, T>(
        &self,
        url: &str,
        before: &str,
        all: impl Iterator<Item = (&'a str, u64, T)>,
        render: impl Fn(T) -> Value,
    ) -> Result<Value, ApiError> {
        let mut newer = Vec::new();
        let mut found = false;
        for (id, _, object) in all {
            if id == before {
                found = true;
                break;
            }
            newer.push(object);
        }
        if !found {
            return Err(ApiError::missing_reference("object", before, "ending_before"));
        }
        let skipped = newer.len().saturating_sub(self.limit);
        let data: Vec<_> = newer.into_iter().skip(skipped).map(render).collect();
        Ok(json!({ "object": "list", "data": data, "has_more": skipped > 0, "url": url }))
    }
}

/// A search by metadata: `metadata['order']:'8812' AND metadata['shop']:'3'`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    limit: usize,
    page: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Search {
    pub(crate) fn read(query: &Form) -> Result<Self, ApiError> {
        let limit = read_limit(query)?;
        let page = query.get("page").map(str::to_owned);
        let text = query.get("query").ok_or_else(|| ApiError::missing_parameter("query"))?;
        let mut rest = text.trim();
        let mut metadata = Vec::new();
        while let Some((name, value, after)) = clause(rest) {
            metadata.push((name, value));
            rest = after.trim_start();
            if rest.is_empty() {
                return Ok(Self { limit, page, metadata });
            }
            // Two clauses are joined by AND; anything else ends in the error below.
            let Some(after) = rest.strip_prefix("AND ") else {
                break;
            };
            rest = after.trim_start();
        }
        Err(ApiError::bad_parameter(
            "query",
            "of the form metadata['name']:'value' [AND …]; the simulator knows no other",
        ))
    }

    /// Whether an object with this metadata is wanted.
    pub(crate) fn matches(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.metadata.iter().all(|(name, value)| metadata.get(name) == Some(value))
    }

    /// The result of the search: a page of `found`, which has everything that matches.
    pub(crate) fn of(
        &self,
        url: &str,
        mut found: impl Iterator<Item = (String, Value)>,
    ) -> Result<Value, ApiError> {
        if let Some(page) = &self.page
            && !found.any(|(id, _)| page.strip_prefix("page_") == Some(&id))
        {
            return Err(ApiError::bad_parameter("page", "the next_page of a search"));
        }
        let data: Vec<_> = found.by_ref().take(self.limit).collect();
        let has_more = found.next().is_some();
        let next = data.last().filter(|_| has_more).map(|(id, _)| format!("page_{id}"));
        let data: Vec<_> = data.into_iter().map(|(_, object)| object).collect();
        Ok(
            json!({ "object": "search_result", "data": data, "has_more": has_more, "next_page": next, "url": url }),
        )
    }
}

/// Reads one `metadata['name']:'value'`; either kind of quote does.
fn clause(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = quoted(text.strip_prefix("metadata")?.strip_prefix('[')?)?;
    let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
    Some((name, value, rest))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        if !escaped && letter == '\\' {
            escaped = true;
        } else if !escaped && letter == quote {
            return Some((value, &text[at + 1..]));
        } else {
            escaped = false;
            value.push(letter);
        }
    }
    None
}

fn read_limit(query: &Form) -> Result<usize, ApiError> {
    match query.get("limit") {
        None => Ok(10),
        Some(text) => match text.parse() {
            Ok(limit @ 1..=100) => Ok(limit),
            _ => Err(ApiError::not_an_integer("limit", "an integer from 1 to 100")),
        },
    }
}

fn read_seconds(query: &Form, name: &str) -> Result<Option<u64>, ApiError> {
    let read = |text: &str| {
        text.parse().map_err(|_| ApiError::not_an_integer(name, "an integer of seconds since 1970"))
    };
    query.get(name).map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: [(&str, u64, u64); 4] = [("d", 40, 40), ("c", 30, 30), ("b", 20, 20), ("a", 10, 10)];

    fn list(query: &str) -> Value {
        let page = Page::read(&Form::read(query.as_bytes())).expect("the query is fine");
        page.of("/v1/x", OBJECTS.into_iter(), Value::from).expect("the cursor exists")
    }

    #[test]
    fn pages_are_cut_and_say_whether_there_is_more() {
        for (query, data, more) in [
            ("", json!([40, 30, 20, 10]), false),
            ("limit=2", json!([40, 30]), true),
            ("limit=2&starting_after=c", json!([20, 10]), false),
            ("limit=2&ending_before=a", json!([30, 20]), true),
            ("limit=2&ending_before=c", json!([40]), false),
            ("created[gte]=20&created[lt]=40", json!([30, 20]), false),
            ("created[gt]=20&created[lte]=40", json!([40, 30]), false),
            ("created=20", json!([20]), false),
            ("created[lt]=0", json!([]), false),
        ] {
            let page = list(query);
            assert_eq!((&page["data"], &page["has_more"]), (&data, &Value::from(more)), "{query}");
        }
    }

    #[test]
    fn bad_pages_are_refused_by_parameter() {
        for (query, param) in
            [("limit=0", "limit"), ("limit=x", "limit"), ("created[gte]=soon", "created[gte]")]
        {
            let error = Page::read(&Form::read(query.as_bytes())).expect_err("it is bad");
            assert_eq!(error.body()["error"]["param"], param);
        }
        let page = Page::read(&Form::read(b"starting_after=zz")).expect("the query is fine");
        let error = page.of("/v1/x", OBJECTS.into_iter(), Value::from).expect_err("there is no zz");
        assert_eq!(error.body()["error"]["code"], "resource_missing");
    }

    #[test]
    fn searches_read_metadata_clauses() {
        let read = |query: &str| {
            let encoded =
                form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
            Search::read(&Form::read(encoded.as_bytes())).map(|search| search.metadata)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("metadata['order']:'8812'").ok(), Some(vec![pair("order", "8812")]));
        assert_eq!(
            read(r#"metadata["a"]:"it\"s" AND metadata['b']:'ü'"#).ok(),
            Some(vec![pair("a", "it\"s"), pair("b", "ü")])
        );
        for bad in
            ["", "amount>100", "metadata['a']", "metadata['a']:'b' OR metadata['a']:'c'", "metadata['a':'b'"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
