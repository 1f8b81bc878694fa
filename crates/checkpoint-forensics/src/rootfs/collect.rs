//! Reads an archive of files once: lists its entries, and hashes or keeps contents on the way where that was asked for.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use container_checkpoint::context::Context;
use container_checkpoint::evidence::nested::{self, Walked};
use container_checkpoint::evidence::{Body, Bytes, Compression, Member, MemberKind, split_path};
use container_checkpoint::gap::Findings;
use sha2::{Digest as _, Sha256};

/// How much of a file's contents is read at a time, in bytes.
pub(super) const CHUNK: usize = 64 << 10;
/// The most contents that are kept while they go by, in bytes, all files of an evidence together.
const HELD_MAX: u64 = 64 << 20;

/// Which contents are kept while they go by, as far as there is room for them (64 MiB an evidence). What was kept needs no second pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// None.
    #[default]
    Nothing,
    /// Files whose last path component is one of these.
    Named(Vec<Vec<u8>>),
    /// All files.
    All,
}

/// What is wanted of the contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    /// SHA-256 of each file.
    pub(super) hash: bool,
    /// The contents themselves.
    pub(super) keep: Keep,
}

impl Wants {
    fn keeps(&self, path: &[u8]) -> bool {
        match &self.keep {
            Keep::Nothing => false,
            Keep::Named(names) => names.iter().any(|name| name == split_path(path).1),
            Keep::All => true,
        }
    }
}

/// What may still be kept in memory of one evidence.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    /// Entries.
    entries: usize,
    /// Bytes of names, link targets and extended attributes.
    names: u64,
    /// Bytes of contents.
    held: u64,
}

impl Budget {
    pub(super) fn new(context: &Context) -> Self {
        // A name stands in several places while a list is made: as it is stored, as a path, as a key.
        Self { entries: context.limits.members, names: context.limits.metadata / 4, held: HELD_MAX }
    }

    /// Makes room for an entry; which option sets the limit that is in the way.
    fn take(&mut self, member: &Member) -> Result<(), &'static str> {
        let xattrs: usize = member.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let names = (member.path.len() + member.link.as_ref().map_or(0, Vec::len) + xattrs) as u64;
        self.entries = self.entries.checked_sub(1).ok_or("the number of members")?;
        self.names = self.names.checked_sub(names).ok_or("the bytes of metadata")?;
        Ok(())
    }
}

/// An entry of an archive as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Header and body; [`Body::Held`] when the contents were kept.
    pub(super) member: Member,
    /// SHA-256 of its contents, when it is a file, the hash was asked for and all of it could be read.
    pub(super) sha256: Option<[u8; 32]>,
    /// How many bytes of its contents are there, when the archive ends within them.
    pub(super) present: Option<u64>,
}

/// An archive's entries in stored order.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    pub(super) entries: Vec<Found>,
    pub(super) compression: Option<Compression>,
    pub(super) findings: Findings,
}

/// Where an archive is read from.
pub(super) enum From<'a> {
    /// Bytes that can be had at any time.
    Bytes(&'a Bytes),
    /// A stream that goes by.
    Stream(&'a mut dyn Read),
}

/// Lists an archive. `place` names it in gaps.
pub(super) fn collect(
    place: &str,
    from: From<'_>,
    wants: &Wants,
    budget: &mut Budget,
    context: &Context,
) -> Collected {
    let mut entries: Vec<Found> = Vec::new();
    let mut full = None;
    let mut visit = |mut member: Member, contents: &mut dyn Read| {
        if let Err(limit) = budget.take(&member) {
            full = Some(limit);
            return Ok(ControlFlow::Break(()));
        }
        let is_file = member.kind == MemberKind::File;
        let looked_at =
            if is_file { look_at(&member, contents, wants, budget, context) } else { Ok(Seen::default()) };
        let (seen, result) = match looked_at {
            Ok(seen) => (seen, Ok(ControlFlow::Continue(()))),
            // The entry stays: its header is known.
            Err(error) => (Seen::default(), Err(error)),
        };
        let mut present = None;
        match &member.body {
            Body::Passing => {
                if let Some(held) = seen.held {
                    member.body = Body::Held(held);
                }
            }
            Body::At(bytes) if bytes.len() < member.size => present = Some(bytes.len()),
            Body::At(_) | Body::Held(_) => {}
        }
        entries.push(Found { member, sha256: seen.sha256, present });
        result
    };
    let Walked { compression, cut, mut findings } = match from {
        From::Bytes(bytes) => nested::walk_at(place, bytes, context, &mut visit),
        From::Stream(contents) => nested::walk(place, contents, context, &mut visit),
    };
    if let Some(limit) = full {
        findings.gap(
            "files",
            place,
            format!("{limit} that may be kept is used up; the rest of it is not looked at"),
        );
    }
    if let (Some(cut), Some(last)) = (cut, entries.last_mut()) {
        last.present = Some(cut);
    }
    Collected { entries, compression, findings }
}

/// What was seen of a file's contents, all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Their SHA-256.
    pub(super) sha256: Option<[u8; 32]>,
    /// A copy.
    pub(super) held: Option<Arc<[u8]>>,
}

/// Reads the contents of a file once, for all that is wanted of them.
///
/// # Errors
/// What reading says, and when the caller asked to stop.
pub(super) fn look_at(
    member: &Member,
    contents: &mut dyn Read,
    wants: &Wants,
    budget: &mut Budget,
    context: &Context,
) -> io::Result<Seen> {
    let passing = matches!(member.body, Body::Passing);
    let keep = passing && member.size <= budget.held && wants.keeps(&member.path);
    if (!wants.hash && !keep) || !member.can_be_read() {
        return Ok(Seen::default());
    }
    let (seen, count) = take(contents, wants.hash, keep, context)?;
    if count < member.size {
        return Ok(Seen::default()); // cut: a hash or copy of a part would pass for one of the whole
    }
    if keep {
        budget.held -= count.min(budget.held);
    }
    Ok(seen)
}

fn take(contents: &mut dyn Read, hash: bool, keep: bool, context: &Context) -> io::Result<(Seen, u64)> {
    let mut hasher = Sha256::new();
    let mut held = Vec::new();
    let mut count = 0;
    each_chunk(contents, context, &mut |chunk| {
        count += chunk.len() as u64;
        if hash {
            hasher.update(chunk);
        }
        if keep {
            held.extend_from_slice(chunk);
        }
        Ok(())
    })?;
    let sha256 = hash.then(|| hasher.finalize().into());
    Ok((Seen { sha256, held: keep.then(|| Arc::from(held)) }, count))
}

/// SHA-256 of contents that can be had, and how many bytes they were.
///
/// # Errors
/// What reading says, and when the caller asked to stop.
pub(super) fn hash(contents: &mut dyn Read, context: &Context) -> io::Result<([u8; 32], u64)> {
    let (seen, count) = take(contents, true, false, context)?;
    Ok((seen.sha256.unwrap_or_default(), count))
}

/// Hands contents over in pieces of up to [`CHUNK`] bytes.
///
/// # Errors
/// What reading or the receiver says, and when the caller asked to stop.
pub(super) fn each_chunk(
    contents: &mut dyn Read,
    context: &Context,
    receiver: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        if context.cancelled() {
            return Err(io::Error::other("stopped"));
        }
        match contents.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => receiver(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
