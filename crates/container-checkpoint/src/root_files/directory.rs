//! A root file system in a directory of this machine.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::resolve::{Node, resolve};
use super::{Found, RootFile};
use crate::error::{Error, Result};
use crate::evidence::Bytes;
use crate::evidence::mapping::{map, open_regular_file};
use crate::evidence::read_at::holes_of;

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
            let bytes = open_regular_file(&self.at(&resolved)).and_then(|file| contents(&file));
            let file = bytes.map(|bytes| RootFile { bytes, path: resolved });
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

/// Holes smaller than this are read with the bytes around them, which then lie in one piece.
const HOLE_MIN: u64 = 1 << 20;

/// The bytes of a file; its large holes take none.
fn contents(file: &File) -> io::Result<Bytes> {
    let whole = Bytes::new(Arc::new(map(file)?));
    let mut bytes = Bytes::default();
    for hole in holes_of(file, whole.len()).into_iter().filter(|hole| hole.end - hole.start >= HOLE_MIN) {
        bytes.append(whole.slice(bytes.len()..hole.start));
        bytes.push_hole(hole.end - hole.start);
    }
    bytes.append(whole.slice(bytes.len()..whole.len()));
    Ok(bytes)
}
