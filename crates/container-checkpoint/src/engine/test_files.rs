//! A set of files in memory, for tests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::files::FileSet;

/// Files by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(pub(super) BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds or replaces a file.
    pub(super) fn with(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.0.insert(name.to_owned(), bytes.as_ref().to_vec());
        self
    }
}

impl FileSet for Files {
    fn file(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(|bytes| Cow::Borrowed(bytes.as_slice()))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
