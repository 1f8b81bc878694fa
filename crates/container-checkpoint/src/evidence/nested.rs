//! Archives that are contents of a checkpoint, no layers of it: `rootfs-diff.tar`, volumes, `/dev/shm`, tmpfs mounts.
//!
//! They are not in the [`Index`](super::Index): a container decides how many files they hold and how they are named. Whoever asks for
//! them walks them, from bytes at an offset or while they go by.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;

use super::bytes::Bytes;
use super::compression::{Compression, Peeked};
use super::feed::{Feed, Seekable, Streamed};
use super::member::{Body, Member, MemberKind};
use super::tar::{self, Contents, Ending, Entry, Walk};
use crate::context::Context;
use crate::gap::Findings;

/// Sees each member in stored order, with a reader of its contents; holes of sparse members read as zeros. What is left unread is skipped.
///
/// `Break` ends the walk. An error means that reading failed: the walk ends there with a gap.
pub type Visit<'a> = dyn FnMut(Member, &mut dyn Read) -> io::Result<ControlFlow<()>> + 'a;

/// What a walk came to.
#[derive(Debug, Default)]
pub struct Walked {
    /// How the archive was packed.
    pub compression: Option<Compression>,
    /// When the archive ends, or can't be read on, within the contents of the last member: how many of its stored bytes were there.
    pub cut: Option<u64>,
    /// Cuts, damaged headers, limits.
    pub findings: Findings,
}

/// Walks an archive that goes by, plain or packed in any known way. `place` names it in gaps.
///
/// The members' bodies are [`Body::Passing`]: their contents are the reader's alone.
pub fn walk(place: &str, contents: &mut dyn Read, context: &Context, visit: &mut Visit<'_>) -> Walked {
    let peeked = match Peeked::new(contents) {
        Ok(peeked) => peeked,
        Err(error) => return unreadable(place, None, &error),
    };
    let Some(compression) = Compression::sniff(peeked.head()) else {
        return stream(place, None, peeked.into_reader(), context, visit);
    };
    match compression.decoder(peeked.into_reader()) {
        Ok(contents) => stream(place, Some(compression), contents, context, visit),
        Err(error) => unreadable(place, Some(compression), &error),
    }
}

/// Walks an archive that can be read at any offset. `place` names it in gaps.
///
/// A plain one is not read but for its headers and what the visitor reads, and its members' bodies are [`Body::At`]; a packed one streams.
pub fn walk_at(place: &str, bytes: &Bytes, context: &Context, visit: &mut Visit<'_>) -> Walked {
    let mut head = [0; 16];
    match bytes.read_at(0, &mut head) {
        Ok(got) if Compression::sniff(&head[..got]).is_none() => {}
        Ok(_) => return walk(place, &mut bytes.reader(), context, visit),
        Err(error) => return unreadable(place, None, &error),
    }
    let walk = Walk::new(Seekable::new(bytes));
    drive(place, None, walk, context, &mut |walk, mut entry| {
        let body = tar::body_of(bytes, walk.feed.position(), &entry);
        entry.member.body = Body::At(body.clone());
        visit(entry.member, &mut body.reader())
    })
}

fn stream(
    place: &str,
    compression: Option<Compression>,
    contents: impl Read,
    context: &Context,
    visit: &mut Visit<'_>,
) -> Walked {
    let walk = Walk::new(Streamed::new(BufReader::with_capacity(64 << 10, contents)));
    drive(place, compression, walk, context, &mut |walk, entry| {
        let member = entry.member.clone();
        visit(member, &mut walk.contents(&entry))
    })
}

/// Takes the entry at which a walk stands.
type Take<'a, F> = dyn FnMut(&mut Walk<F>, Entry) -> io::Result<ControlFlow<()>> + 'a;

/// One walk: hands entries to `take` and keeps the account of how it went.
fn drive<F: Feed>(
    place: &str,
    compression: Option<Compression>,
    mut walk: Walk<F>,
    context: &Context,
    take: &mut Take<'_, F>,
) -> Walked {
    let mut walked = Walked { compression, ..Walked::default() };
    // The last member: its name, where its stored bytes begin, how many there should be.
    let mut last: Option<(String, u64, u64)> = None;
    let mut count = 0;
    let ending = loop {
        let entry = match walk.advance() {
            Ok(entry) => entry,
            Err(ending) => break ending,
        };
        if context.cancelled() {
            break Ending::Failed { at: walk.feed.position(), error: io::Error::other("stopped") };
        }
        count += 1;
        if count > context.limits.members {
            let why = format!("more than {} members; the rest is not looked at", context.limits.members);
            walked.findings.gap("members", place, why);
            break Ending::Complete;
        }
        if let Contents::Unknown(why) = entry.contents {
            walked.findings.gap(
                "the contents of a sparse file",
                format!("{place}: {}", String::from_utf8_lossy(&entry.member.path)),
                why,
            );
        }
        let contents = matches!(entry.member.kind, MemberKind::File | MemberKind::Other(_));
        last = contents.then(|| {
            (String::from_utf8_lossy(&entry.member.path).into_owned(), walk.feed.position(), entry.packed)
        });
        match take(&mut walk, entry) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break Ending::Complete,
            Err(error) => break Ending::Failed { at: walk.feed.position(), error },
        }
    };
    for damage in &walk.damage {
        let stretch = format!("{place}: bytes {} to {}", damage.from, damage.to);
        walked.findings.gap("members", stretch, "no tar header with a right checksum");
    }
    let stopped_at = match ending {
        Ending::Complete => return walked,
        Ending::Cut { at, what } => {
            walked.findings.gap(
                "the end of an archive",
                format!("{place}: byte {at}, in {what}"),
                "it is cut short",
            );
            at
        }
        Ending::Failed { at, error } => {
            walked.findings.gap(
                "the rest of an archive",
                format!("{place}: byte {at} of its unpacked bytes"),
                error,
            );
            at
        }
    };
    if let Some((name, from, size)) = last
        && stopped_at.saturating_sub(from) < size
    {
        let present = stopped_at.saturating_sub(from);
        walked.findings.gap(
            "the end of a file",
            format!("{place}: {name}"),
            format!("{present} of its {size} stored bytes are there"),
        );
        walked.cut = Some(present);
    }
    walked
}

fn unreadable(place: &str, compression: Option<Compression>, error: &io::Error) -> Walked {
    let mut walked = Walked { compression, ..Walked::default() };
    walked.findings.gap("an archive", place, error);
    walked
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    /// Two files and a symbolic link, each header written out by hand.
    fn sample() -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind, contents) in
            [("one", b'0', &b"first"[..]), ("link", b'2', b""), ("two", b'0', &[b'2'; 3000])]
        {
            let mut block = [0u8; 512];
            block[..name.len()].copy_from_slice(name.as_bytes());
            block[100..108].copy_from_slice(b"0000644\0");
            block[124..136].copy_from_slice(format!("{:011o}\0", contents.len()).as_bytes());
            block[148..156].copy_from_slice(b"        ");
            block[156] = kind;
            block[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            tar.extend_from_slice(&block);
            tar.extend_from_slice(contents);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    type Seen = Vec<(String, Vec<u8>, bool)>;

    fn seen(walk: &dyn Fn(&mut Visit<'_>) -> Walked) -> (Seen, Walked) {
        let mut seen = Vec::new();
        let walked = walk(&mut |member, contents| {
            let mut bytes = Vec::new();
            let result = contents.read_to_end(&mut bytes);
            let at = matches!(member.body, Body::At(_));
            seen.push((String::from_utf8(member.path).unwrap(), bytes, at));
            result.map(|_| ControlFlow::Continue(()))
        });
        (seen, walked)
    }

    fn expected(at: bool) -> Seen {
        vec![
            ("one".into(), b"first".to_vec(), at),
            ("link".into(), Vec::new(), at),
            ("two".into(), vec![b'2'; 3000], at),
        ]
    }

    /// Gives one byte a read, as a decoder may.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn every_packing_and_every_source_gives_the_same_members() {
        let tar = sample();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&tar).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&tar).unwrap();
        for (packed, compression) in [
            (tar.clone(), None),
            (gzip.finish().unwrap(), Some(Compression::Gzip)),
            (bzip2.finish().unwrap(), Some(Compression::Bzip2)),
            (lz4.finish().unwrap(), Some(Compression::Lz4)),
            (zstd::stream::encode_all(&tar[..], 1).unwrap(), Some(Compression::Zstd)),
        ] {
            let context = Context::default();
            let (members, walked) = seen(&|visit| walk("x", &mut Drops(&packed), &context, visit));
            assert_eq!(members, expected(false), "{compression:?}");
            assert_eq!((walked.compression, walked.cut, walked.findings.gaps.len()), (compression, None, 0));
            let bytes = Bytes::new(Arc::new(packed));
            let (members, walked) = seen(&|visit| walk_at("x", &bytes, &context, visit));
            assert_eq!(members, expected(compression.is_none()), "{compression:?}");
            assert_eq!((walked.compression, walked.cut, walked.findings.gaps.len()), (compression, None, 0));
        }
    }

    #[test]
    fn a_cut_is_a_gap_that_says_how_much_is_there() {
        let tar = sample();
        let context = Context::default();
        for (len, names, cut) in [
            (tar.len() - 1024 - 1000, 3, Some(2072)),
            (512 + 3, 1, Some(3)),
            (1024 + 100, 1, None),
            (0, 0, None),
        ] {
            let (members, walked) = seen(&|visit| walk("x", &mut &tar[..len], &context, visit));
            assert_eq!((members.len(), walked.cut), (names, cut), "{len}");
            assert!(
                walked.findings.gaps.iter().all(|gap| gap.place.starts_with("x: "))
                    && !walked.findings.gaps.is_empty()
            );
            let bytes = Bytes::new(Arc::new(tar[..len].to_vec()));
            let (members, walked) = seen(&|visit| walk_at("x", &bytes, &context, visit));
            assert_eq!((members.len(), walked.cut), (names, cut), "{len}");
        }
    }

    #[test]
    fn the_visitor_and_the_limits_end_a_walk() {
        let tar = sample();
        let mut count = 0;
        let walked = walk("x", &mut &tar[..], &Context::default(), &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Break(()))
        });
        assert_eq!((count, walked.findings.gaps.len()), (1, 0));
        let mut context = Context::default();
        context.limits.members = 2;
        let (members, walked) = seen(&|visit| walk("x", &mut &tar[..], &context, visit));
        assert_eq!((members.len(), walked.findings.gaps.len()), (2, 1));
    }
}
