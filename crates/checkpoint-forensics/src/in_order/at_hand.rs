//! Page images that lie at an offset, and need no pass.

use std::ops::{ControlFlow, Range};

use container_checkpoint::evidence::{Bytes, passed};
use container_checkpoint::memory::{PlainPages, PlainPart};

use super::Source;

/// How much is handed over at once of what lies at hand, in bytes: what was looked at is given back meanwhile.
const PIECE: usize = 1 << 20;

/// A page image that lies at hand.
pub(super) enum AtHand<'a> {
    Plain(Bytes),
    Packed(PlainPages<'a>),
}

impl<'a> AtHand<'a> {
    /// A page image's bytes, where they can be had at any offset.
    pub(super) fn of(source: Source<'a>, object: usize) -> Option<Self> {
        let object = source.memory.objects.get(object)?;
        if let Some(contents) = &object.contents {
            return Some(Self::Plain(contents.bytes.clone()));
        }
        let owner = *source.memory.ancestry.get(object.ancestor)?;
        let index = source.case.evidence(owner).index();
        let files = source.case.dump(owner).image_files(index);
        let bytes = index.member(files.member(object.image.as_bytes())?).body.at_hand()?;
        Some(match &object.packing {
            Some(packing) => Self::Packed(PlainPages::new(packing, bytes)),
            None => Self::Plain(bytes),
        })
    }

    /// Hands over the plain bytes from an offset on; ends where the image ends early, or can't be read.
    pub(super) fn visit(
        &mut self,
        range: Range<u64>,
        sink: &mut dyn FnMut(PlainPart<'_>) -> ControlFlow<()>,
    ) {
        // A source that fails in the middle is cut short there.
        let _ = match self {
            Self::Plain(bytes) => bytes.visit(range, &mut |bytes| {
                bytes.chunks(PIECE).try_for_each(|piece| {
                    sink(PlainPart::Bytes(piece))?;
                    passed(piece);
                    ControlFlow::Continue(())
                })
            }),
            Self::Packed(pages) => pages.visit(range, sink),
        };
    }
}
