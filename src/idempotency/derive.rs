//! Keys made of something: of the caller's ids, or of chance.

use sha2::{Digest, Sha256};

use crate::vocab::{IdempotencyKey, Refusal};

impl IdempotencyKey {
    /// A key that is the same whenever it is derived from the same ids.
    ///
    /// `namespace` says what the call does, so that a capture and a refund of one order have different keys. Put nothing
    /// into `parts` that may differ when the same order is tried again: no date, no counter of tries. The ids cannot be
    /// read from the key.
    ///
    /// ```
    /// use tower_stripe::IdempotencyKey;
    ///
    /// let key = IdempotencyKey::derive("capture", &["order-8812", "1"]);
    /// assert_eq!(key, IdempotencyKey::derive("capture", &["order-8812", "1"]));
    /// assert_ne!(key, IdempotencyKey::derive("refund", &["order-8812", "1"]));
    /// assert_ne!(key, IdempotencyKey::derive("capture", &["order-88121", ""]));
    /// ```
    #[must_use]
    pub fn derive(namespace: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&namespace).chain(parts) {
            // With its length, so that no two lists of parts run together to the same text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        let key = join("dk", digest);
        Self::new(key).expect("hexadecimal digits are a valid key")
    }
}

/// A key of 128 random bits, which nobody used before.
pub(super) fn generate(prefix: &str) -> Result<IdempotencyKey, Refusal> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::NoRandomness)?;
    Ok(IdempotencyKey::new(join(prefix, random)).map_err(Refusal::InvalidKey)?.generated())
}

/// The prefix, and 128 bits in hexadecimal.
fn join(prefix: &str, bits: [u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut key = String::with_capacity(prefix.len() + 1 + 32);
    key.push_str(prefix);
    key.push('_');
    for byte in bits {
        key.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_keys_never_repeat_and_have_128_bits() {
        let keys: HashSet<_> = (0..100_000).map(|_| generate("ts").unwrap().as_str().to_owned()).collect();
        assert_eq!(keys.len(), 100_000);
        assert!(keys.iter().all(|key| key.len() == 35 && key.starts_with("ts_")));
    }

    #[test]
    fn a_derived_key_stays_the_same_from_version_to_version() {
        let key = IdempotencyKey::derive("capture", &["order-8812", "1"]);
        assert_eq!(key.as_str(), EXPECTED);
    }

    /// Computed by another implementation, Python's `hashlib`.
    const EXPECTED: &str = "dk_14621441df4153f9d4edd91845be9f39";
}
