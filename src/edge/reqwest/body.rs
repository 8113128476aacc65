use ::reqwest::Body;
use bytes::Bytes;

use crate::vocab::Replay;

/// One that is in memory can be sent again; a stream cannot, and every multipart form of reqwest's is one.
///
/// It is copied, as reqwest does not share its bytes out: for a call, as much again is held as its caller holds already.
impl Replay for Body {
    fn try_clone(&self) -> Option<Self> {
        self.as_bytes().map(|bytes| Self::from(Bytes::copy_from_slice(bytes)))
    }

    fn content(&self, limit: usize) -> Option<Bytes> {
        self.as_bytes().filter(|bytes| bytes.len() <= limit).map(Bytes::copy_from_slice)
    }

    fn without_content() -> Option<Self> {
        Some(Self::default())
    }
}
