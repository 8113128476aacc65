//! Bodies of `multipart/form-data`, as uploads are sent.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderValue;

/// The boundary between the parts of a body of this content type, if it has parts.
pub(crate) fn boundary(content_type: &HeaderValue) -> Option<String> {
    let kind = content_type.to_str().ok()?;
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"').to_owned())
}

/// The fields of a body. Of a file there are its name and, as `file[size]` and `file[digest]`, what its content was: enough
/// for the key store to tell it from another one.
pub(crate) fn fields(body: &[u8], boundary: &str) -> Vec<(String, String)> {
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter has no line before it.
    let body = [b"\r\n", body].concat();
    let mut rest = body.as_slice();
    let mut fields = Vec::new();
    while let Some(at) = find(rest, &delimiter) {
        rest = &rest[at + delimiter.len()..];
        let end = find(rest, &delimiter).unwrap_or(rest.len());
        if let Some(part) = rest[..end].strip_prefix(b"\r\n") {
            read(part, &mut fields);
        }
    }
    fields
}

fn read(part: &[u8], fields: &mut Vec<(String, String)>) {
    let Some(end) = find(part, b"\r\n\r\n") else { return };
    let (head, content) = (String::from_utf8_lossy(&part[..end]), &part[end + 4..]);
    let disposition = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
        .unwrap_or_default();
    let Some(name) = parameter(disposition, "name") else { return };
    match parameter(disposition, "filename") {
        None => fields.push((name, String::from_utf8_lossy(content).into_owned())),
        Some(filename) => {
            let mut digest = DefaultHasher::new();
            content.hash(&mut digest);
            fields.push((format!("{name}[digest]"), format!("{:x}", digest.finish())));
            fields.push((format!("{name}[size]"), content.len().to_string()));
            fields.push((name, filename));
        }
    }
}

/// `name="purpose"`: the value, without its quotes.
fn parameter(disposition: &str, name: &str) -> Option<String> {
    let all = disposition.split(';').map(str::trim);
    let value = all
        .filter_map(|one| one.split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))?;
    Some(value.trim_matches('"').to_owned())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n\
        --xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        one\r\ntwo\r\n--xyz--\r\n";

    #[test]
    fn fields_and_files_are_read() {
        let fields = fields(BODY, "xyz");
        let get = |name: &str| fields.iter().find_map(|(n, value)| (n == name).then_some(value.as_str()));
        assert_eq!(get("purpose"), Some("dispute_evidence"));
        assert_eq!((get("file"), get("file[size]")), (Some("a.txt"), Some("8")));
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn what_is_no_multipart_has_no_boundary_and_no_fields() {
        let of = |kind: &'static str| boundary(&HeaderValue::from_static(kind));
        assert_eq!(of("multipart/form-data; boundary=xyz").as_deref(), Some("xyz"));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; boundary=\"x y\"").as_deref(), Some("x y"));
        assert_eq!(
            (of("multipart/mixed; boundary=a"), of("application/json"), of("multipart/form-data")),
            (None, None, None)
        );
        assert!(fields(b"no parts", "xyz").is_empty() && fields(b"", "xyz").is_empty());
        assert!(fields(b"--xyz\r\nno head", "xyz").is_empty());
    }
}
