//! One file's bytes.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::evidence::MemberKind;
use container_checkpoint::gap::Gap;

use super::changes::Changes;
use super::collect::each_chunk;
use super::contents;
use super::entry::Entry;
use super::error::{Error, Result};

/// The most symbolic links that are followed for one path, as in Linux (`MAXSYMLINKS`).
const SYMLINKS_MAX: usize = 40;

/// Which file is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatOptions<'a> {
    /// The store to look in, by its name. Without one: the root file system first, then what is mounted at a known place.
    pub store: Option<&'a [u8]>,
    /// When the path is a symbolic link, go on to what its target is among the changes. Links in the middle of a path are not followed.
    pub follow: bool,
}

/// What came of a path.
#[derive(Debug)]
pub enum Cat<'a> {
    /// Its bytes were written.
    Written {
        /// The entry whose bytes they are: the file itself, also when the path was a hard link.
        entry: &'a Entry,
        /// The paths gone through on the way there: symbolic links, then a hard link.
        through: Vec<&'a Entry>,
        /// How many bytes were written.
        bytes: u64,
        /// What is missing of them.
        gap: Option<Gap>,
    },
    /// It is there and has no bytes: a directory, a symbolic link, a device.
    NotAFile {
        /// What it is.
        entry: &'a Entry,
        /// The links gone through.
        through: Vec<&'a Entry>,
    },
    /// It is a file, and its bytes are not to be had.
    Unavailable {
        /// Which file.
        entry: &'a Entry,
        /// Why.
        gap: Gap,
    },
    /// It was deleted.
    Deleted(&'a Entry),
    /// The path, or what the last link leads to, is not among the changes. It may be in the image.
    NotFound {
        /// The path that was looked for last.
        path: Vec<u8>,
        /// The links gone through.
        through: Vec<&'a Entry>,
    },
}

impl Changes<'_> {
    /// Writes one file's bytes. The path is absolute in the container; within a store that is named it may be relative to its top.
    ///
    /// # Errors
    /// When there is no such store, the receiver fails, or the evidence would have to be read twice and can't be.
    pub fn cat(
        &self,
        path: &[u8],
        options: CatOptions<'_>,
        output: &mut dyn Write,
        context: &Context,
    ) -> Result<Cat<'_>> {
        let stores = self.stores_called(options.store)?;
        let mut through = Vec::new();
        let mut path = path.to_vec();
        let number = loop {
            // A target leads to a path of the container, never to a name within a store.
            let by_name = options.store.is_some() && through.is_empty();
            let Some(number) = self.entry_of(&path, &stores, by_name) else {
                return Ok(Cat::NotFound { path, through });
            };
            let entry = &self.entries[number];
            let target = entry
                .facts
                .as_ref()
                .filter(|facts| facts.kind == MemberKind::Symlink)
                .and_then(|facts| facts.link.as_deref());
            match target {
                Some(target) if options.follow && through.len() < SYMLINKS_MAX => {
                    path = joined(&entry.path, target);
                    through.push(entry);
                }
                _ => break number,
            }
        };
        let entry = &self.entries[number];
        match entry.kind() {
            None => Ok(Cat::Deleted(entry)),
            Some(MemberKind::File | MemberKind::HardLink) => self.write(number, through, output, context),
            Some(_) => Ok(Cat::NotAFile { entry, through }),
        }
    }

    fn write<'a>(
        &'a self,
        number: usize,
        mut through: Vec<&'a Entry>,
        output: &mut dyn Write,
        context: &Context,
    ) -> Result<Cat<'a>> {
        let asked_for = &self.entries[number];
        let place = || String::from_utf8_lossy(&asked_for.path).into_owned();
        let contents = match self.file_behind(number) {
            Ok(contents) => contents,
            // A hard link to a symbolic link or a device is one itself.
            Err(Some(_)) => {
                let same_as = asked_for.source.as_ref().and_then(|source| source.same_as).unwrap_or(number);
                return Ok(Cat::NotAFile { entry: &self.entries[same_as], through });
            }
            Err(None) => {
                let why = "it is a hard link to something that is not before it in the archive";
                return Ok(Cat::Unavailable {
                    entry: asked_for,
                    gap: Gap::new("the contents of a file", place(), why),
                });
            }
        };
        if contents != number {
            through.push(asked_for);
        }
        let entry = &self.entries[contents];
        let size = entry.facts.as_ref().and_then(|facts| facts.size);
        let mut outcome: Option<(u64, Result<(), Failure>)> = None;
        contents::visit(self, &BTreeSet::from([contents]), context, &mut |_, reader| {
            let mut bytes = 0;
            let result = copy(reader, output, &mut bytes, context);
            outcome = Some((bytes, result));
            ControlFlow::Break(())
        })?;
        let Some((bytes, result)) = outcome else {
            let why = "the archive can't be read up to there";
            return Ok(Cat::Unavailable { entry, gap: Gap::new("the contents of a file", place(), why) });
        };
        let gap = match result {
            Err(Failure::Output(error)) => return Err(Error::Output(error)),
            Err(Failure::Input(error)) => {
                Some(Gap::new("the rest of a file", format!("{}: byte {bytes}", place()), error))
            }
            Ok(()) => size.filter(|&size| bytes < size).map(|size| {
                let why = format!("the archive holds {bytes} of its {size} bytes");
                Gap::new("the rest of a file", format!("{}: byte {bytes}", place()), why)
            }),
        };
        Ok(Cat::Written { entry, through, bytes, gap })
    }
}

/// Which side of a copy failed.
enum Failure {
    Input(io::Error),
    Output(io::Error),
}

fn copy(
    reader: &mut dyn Read,
    output: &mut dyn Write,
    bytes: &mut u64,
    context: &Context,
) -> Result<(), Failure> {
    let mut output_failed = None;
    let result = each_chunk(reader, context, &mut |chunk| {
        output.write_all(chunk).map_err(|error| {
            output_failed = Some(error);
            io::Error::other("the receiver failed")
        })?;
        *bytes += chunk.len() as u64;
        Ok(())
    });
    match output_failed {
        Some(error) => Err(Failure::Output(error)),
        None => result.map_err(Failure::Input),
    }
}

/// The path that a symbolic link leads to, `.` and `..` taken out by name alone; `..` at the top stays there.
fn joined(link: &[u8], target: &[u8]) -> Vec<u8> {
    let directory =
        if target.starts_with(b"/") { &b""[..] } else { container_checkpoint::evidence::split_path(link).0 };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in directory.split(|&byte| byte == b'/').chain(target.split(|&byte| byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_joined_by_name_and_never_leave_the_top() {
        for (link, target, path) in [
            ("/a/b/link", "file", "/a/b/file"),
            ("/a/b/link", "../file", "/a/file"),
            ("/a/b/link", "../../../../etc/passwd", "/etc/passwd"),
            ("/a/b/link", "/x/./y//z", "/x/y/z"),
            ("/link", ".", "/"),
            ("/link", "/", "/"),
        ] {
            assert_eq!(joined(link.as_bytes(), target.as_bytes()), path.as_bytes(), "{link} -> {target}");
        }
    }
}
