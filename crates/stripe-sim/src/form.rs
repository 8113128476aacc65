//! Form-encoded parameters with bracket nesting, as v1 takes them.
//!
//! Parameters are kept under their full name, `metadata[order]`, in one sorted map: two bodies that say the same thing
//! in another order are then equal, which is how the key store compares them. `list[]` becomes `list[0]`, `list[1]`, ….
//! A name that is given twice keeps its last value.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

/// The parameters of a request.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body or a query. Every input reads as something: there is no malformed form.
    pub(crate) fn read(encoded: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        let mut pushed: BTreeMap<String, usize> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            let name = if name.contains("[]") {
                let count = pushed.entry(name.to_string()).or_default();
                let indexed = name.replacen("[]", &format!("[{count}]"), 1);
                *count += 1;
                indexed
            } else {
                name.into_owned()
            };
            fields.insert(name, value.into_owned());
        }
        Self(fields)
    }

    /// Of fields that are known already.
    pub(crate) fn of(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of all parameters, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The direct members of `parent`: `metadata` gives `("order", "8812")` for `metadata[order]=8812`.
    pub(crate) fn members<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| {
            let member = name.strip_prefix(parent)?.strip_prefix('[')?.strip_suffix(']')?;
            (!member.contains(['[', ']'])).then_some((member, value.as_str()))
        })
    }

    /// One text for everything that says the same.
    pub(crate) fn canonical(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            // The lengths keep a value that looks like another field from being taken for one. A string takes every
            // write.
            let _ = write!(text, "{}:{name}={}:{value};", name.len(), value.len());
            text
        })
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be card numbers.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_encoding_do_not_matter() {
        let one = Form::read(b"amount=10&metadata[order]=a+b&expand[]=x&expand[]=y");
        let other = Form::read(b"expand%5B%5D=x&metadata%5Border%5D=a%20b&expand[1]=y&amount=10");
        assert_eq!(one, other);
        assert_eq!(one.canonical(), other.canonical());
        assert_eq!(one.get("metadata[order]"), Some("a b"));
    }

    #[test]
    fn the_order_of_a_list_matters() {
        assert_ne!(Form::read(b"a[]=x&a[]=y").canonical(), Form::read(b"a[]=y&a[]=x").canonical());
    }

    #[test]
    fn a_value_cannot_pose_as_a_field() {
        assert_ne!(Form::read(b"a=1%3B1%3Ab%3D1%3A2").canonical(), Form::read(b"a=1&b=2").canonical());
    }

    #[test]
    fn members_are_one_level_deep() {
        let form = Form::read(b"m[a]=1&m[b]=2&m[c][d]=3&mm[e]=4");
        assert_eq!(form.members("m").collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    }
}
