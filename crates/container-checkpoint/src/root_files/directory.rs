//! A root file system in a directory of this machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::resolve::{Node, resolve};
use super::{Found, RootFile};
use crate::error::{Error, Result};
use crate::evidence::Bytes;
use crate::evidence::mapping::{map, open_regular_file};

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    top: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self> {
        // Said now, not for each file.
        fs::read_dir(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Ok(Self { top: path.to_owned() })
    }

    pub(super) fn files(&self, paths: &[Vec<u8>]) -> Found {
        let find = |path: &Vec<u8>| {
            let resolved = resolve(path, |at| self.look(at))?;
            let mapping = open_regular_file(&self.at(&resolved)).and_then(|file| map(&file));
            let file =
                mapping.map(|mapping| RootFile { bytes: Bytes::new(Arc::new(mapping)), path: resolved });
            let file = file.map_err(|error| error.to_string());
            Some((path.clone(), file))
        };
        paths.iter().filter_map(find).collect()
    }

    fn look(&self, path: &[u8]) -> Option<Node> {
        let path = self.at(path);
        let kind = fs::symlink_metadata(&path).ok()?.file_type();
        if kind.is_symlink() {
            return Some(Node::Symlink(fs::read_link(&path).ok()?.into_os_string().into_vec()));
        }
        Some(match (kind.is_dir(), kind.is_file()) {
            (true, _) => Node::Directory,
            (_, true) => Node::File,
            _ => Node::Other,
        })
    }

    /// A resolved path below the top.
    fn at(&self, path: &[u8]) -> PathBuf {
        self.top.join(OsStr::from_bytes(path))
    }
}
