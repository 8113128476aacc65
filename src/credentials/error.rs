//! Why there is no API key to be had.

use std::{fmt, io, path::Path};

use super::InvalidApiKey;
use crate::vocab::{BoxError, Mode};

/// Why a provider gave no API key, or why one that it gave is not used. It never shows a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialError {
    /// What was given is no API key that calls can be made under.
    Invalid(InvalidApiKey),
    /// The environment variable is not set, or is not text.
    Variable {
        /// Its name.
        name: Box<str>,
    },
    /// The file cannot be read.
    File {
        /// Where it is.
        path: Box<Path>,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be an API key.
    TooLarge {
        /// Where it is.
        path: Box<Path>,
        /// How many bytes it may have.
        limit: usize,
    },
    /// The file was being written while it was read.
    Changing {
        /// Where it is.
        path: Box<Path>,
    },
    /// The API key is of another mode than the one that it would replace, or than is expected.
    WrongMode {
        /// The mode that is expected.
        expected: Mode,
        /// The mode of the key.
        found: Mode,
    },
    /// The API key was declared to be of another account than the one that it would replace.
    WrongAccount,
    /// The provider did not answer in time.
    TimedOut,
    /// A provider of the program's own failed.
    Provider(BoxError),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => fmt::Display::fmt(why, f),
            Self::Variable { name } => {
                write!(f, "the environment variable {name} is not set, or is not text")
            }
            Self::File { path, source } => {
                write!(f, "the file {} cannot be read ({})", path.display(), source.kind())
            }
            Self::TooLarge { path, limit } => {
                write!(f, "the file {} has more than {limit} bytes", path.display())
            }
            Self::Changing { path } => {
                write!(f, "the file {} was being written while it was read", path.display())
            }
            Self::WrongMode { expected, found } => {
                write!(f, "the api key is of {found} mode, where {expected} is expected")
            }
            Self::WrongAccount => f.write_str("the api key was declared to be of another account"),
            Self::TimedOut => f.write_str("the provider of api keys did not answer in time"),
            Self::Provider(_) => f.write_str("the provider of api keys failed"),
        }
    }
}

impl std::error::Error for CredentialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(why) => Some(why),
            Self::File { source, .. } => Some(source),
            Self::Provider(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<InvalidApiKey> for CredentialError {
    fn from(why: InvalidApiKey) -> Self {
        Self::Invalid(why)
    }
}
