//! Files of a root file system that an analyst gives beside the evidence: the image that the container was made of.
//!
//! A checkpoint holds no clean pages of mapped files. Where somebody has these files, in a directory, in an OCI image or in an archive of a
//! root file system, they are found here by the path that the process knew. Links are followed within the root, never out of it.
//! Nothing is looked up on this machine unless it is given.

mod directory;
mod layers;
mod resolve;

use std::collections::BTreeMap;
use std::path::Path;

use crate::context::Context;
use crate::error::Result;
use crate::evidence::Bytes;
use directory::Directory;
use layers::Layers;

/// A root file system: a directory, an OCI layout or image archive (of several images the first), or an archive of all files.
#[derive(Debug)]
pub struct Root {
    name: String,
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Directory(Directory),
    Layers(Box<Layers>),
}

/// A file of a root.
#[derive(Clone, Debug)]
pub struct RootFile {
    /// Its contents.
    pub bytes: Bytes,
    /// Its path in the root, with all links resolved.
    pub path: Vec<u8>,
}

/// Files by the paths that were asked for; with the reason those that are there and can't be read. What is not there is absent.
pub type Found = BTreeMap<Vec<u8>, std::result::Result<RootFile, String>>;

impl Root {
    /// Opens a root. Of a compressed archive this is one pass, which keeps nothing but names.
    ///
    /// # Errors
    /// When it can't be read, or is no such thing.
    pub fn open(path: &Path, context: &Context) -> Result<Self> {
        let name = path.to_string_lossy().into_owned();
        let is_layout = path.join("oci-layout").exists() || path.join("index.json").exists();
        let tree = if path.is_dir() && !is_layout {
            Tree::Directory(Directory::open(path)?)
        } else {
            Tree::Layers(Box::new(Layers::open(path, context)?))
        };
        Ok(Self { name, tree })
    }

    /// As the analyst named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The regular files at these absolute paths. Of a compressed archive this is one pass for all of them; their contents are kept, up to
    /// `most` bytes together.
    ///
    /// # Errors
    /// When the archive can't be read again.
    pub fn files(&self, paths: &[Vec<u8>], most: u64, context: &Context) -> Result<Found> {
        match &self.tree {
            Tree::Directory(directory) => Ok(directory.files(paths)),
            Tree::Layers(layers) => layers.files(paths, most, context),
        }
    }
}

#[cfg(test)]
mod tests;
