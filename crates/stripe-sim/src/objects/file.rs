//! Files.

use serde_json::{Value, json};

/// A file that was uploaded; its content is not kept.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) purpose: String,
    pub(crate) filename: String,
    pub(crate) size: u64,
}

impl File {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "file",
            "created": self.created,
            "expires_at": null,
            "filename": self.filename,
            "purpose": self.purpose,
            "size": self.size,
            "title": null,
            "type": self.filename.rsplit_once('.').map(|(_, ending)| ending),
        })
    }
}
