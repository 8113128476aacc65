//! Keeping a request, to send it again.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::vocab::{Recorder, Replay};

/// A request that can be sent again, byte for byte.
///
/// Nearly no call is sent again, but every call pays for the possibility: so the headers are one buffer, and are parsed
/// only when they are needed. (To clone the `HeaderMap` instead takes an allocation for almost every value: 22 instead of 15
/// for the whole call in `benches/overhead.rs`.)
#[derive(Debug)]
pub(super) struct Saved<B> {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Headers,
    /// `None` where there is nothing in them but our own recorder, which can be put in again.
    extensions: Option<Extensions>,
    body: B,
}

impl<B: Replay> Saved<B> {
    /// `None` where the body cannot be had again.
    pub(super) fn of(request: &Request<B>) -> Option<Self> {
        let body = request.body().try_clone()?;
        let extensions = request.extensions();
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: Headers::write(request.headers()),
            extensions: (extensions.len() > 1).then(|| extensions.clone()),
            body,
        })
    }

    /// The request once more.
    pub(super) fn request(&self, recorder: &Recorder) -> Option<Request<B>> {
        let mut request = Request::new(self.body.try_clone()?);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.read()?;
        match &self.extensions {
            Some(extensions) => *request.extensions_mut() = extensions.clone(),
            None => recorder.put_into(&mut request),
        }
        Some(request)
    }
}

/// Headers as one buffer: for each, the lengths of name and value, whether it is sensitive, name, and value.
struct Headers {
    count: usize,
    buffer: Vec<u8>,
}

const LENGTH: usize = size_of::<usize>();

impl Headers {
    fn write(headers: &HeaderMap) -> Self {
        let size =
            headers.iter().map(|(name, value)| 2 * LENGTH + 1 + name.as_str().len() + value.len()).sum();
        let mut buffer = Vec::with_capacity(size);
        for (name, value) in headers {
            buffer.extend_from_slice(&name.as_str().len().to_ne_bytes());
            buffer.extend_from_slice(&value.len().to_ne_bytes());
            buffer.push(u8::from(value.is_sensitive()));
            buffer.extend_from_slice(name.as_str().as_bytes());
            buffer.extend_from_slice(value.as_bytes());
        }
        Self { count: headers.keys_len(), buffer }
    }

    /// `None` if a header was none to begin with, as one that was made without a check.
    fn read(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::try_with_capacity(self.count).ok()?;
        let mut rest = &*self.buffer;
        while !rest.is_empty() {
            let name = usize::from_ne_bytes(*take(&mut rest, LENGTH)?.first_chunk()?);
            let value = usize::from_ne_bytes(*take(&mut rest, LENGTH)?.first_chunk()?);
            let sensitive = take(&mut rest, 1)? == [1];
            let name = HeaderName::from_bytes(take(&mut rest, name)?).ok()?;
            let mut value = HeaderValue::from_bytes(take(&mut rest, value)?).ok()?;
            value.set_sensitive(sensitive);
            headers.try_append(name, value).ok()?;
        }
        Some(headers)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// Never shows a value.
impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} headers", self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_come_back_as_they_were(
            headers in prop::collection::vec(("[a-z][a-z0-9-]{0,30}", "[ -~]{0,80}", any::<bool>()), 0..20),
        ) {
            let mut map = HeaderMap::new();
            for (name, value, sensitive) in headers {
                let mut value = HeaderValue::from_str(&value).unwrap();
                value.set_sensitive(sensitive);
                map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
            let read = Headers::write(&map).read().unwrap();
            prop_assert_eq!(&read, &map);
            let sensitive = |map: &HeaderMap| map.values().map(HeaderValue::is_sensitive).collect::<Vec<_>>();
            prop_assert_eq!(sensitive(&read), sensitive(&map));
        }
    }

    #[test]
    fn a_request_comes_back_whole() {
        let recorder = Recorder::default();
        let request = Request::post("https://api.stripe.com/v1/refunds?expand[]=charge")
            .version(Version::HTTP_2)
            .header("x-a", "1")
            .header("x-a", "2")
            .extension(recorder.clone())
            .extension(7_u32)
            .body("amount=1".to_owned())
            .unwrap();
        let again = Saved::of(&request).unwrap().request(&recorder).unwrap();
        assert_eq!(again.method(), request.method());
        assert_eq!(again.uri(), request.uri());
        assert_eq!(again.version(), request.version());
        assert_eq!(again.headers(), request.headers());
        assert_eq!(again.extensions().get::<u32>(), Some(&7));
        assert!(again.extensions().get::<Recorder>().is_some());
        assert_eq!(again.body(), request.body());
    }
}
