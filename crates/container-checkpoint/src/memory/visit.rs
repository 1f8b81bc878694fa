//! Reading ranges of page images: from a mapping in any order, from a stream as they go by.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};

use super::extent::ObjectId;
use super::packing::{Broken, Packing, Passing, PlainPart, PlainVisitor, StoredPages, Wanted};
use crate::evidence::Bytes;

/// How much of a stream is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// A range of a page image that a question wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which image.
    pub object: ObjectId,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// The wants on one source of bytes, sorted by offset, and how much of each was served. A source is a page image; several are one where
/// hard links make them so.
///
/// Wants may overlap: shared bytes are seen by several processes.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    wants: Vec<Scheduled>,
    /// Set when the question has seen enough.
    pub(super) stopped: bool,
    /// What of a packed image could not be unpacked: ascending ranges of plain bytes that don't touch.
    pub(super) broken: Vec<Range<u64>>,
    /// What was wrong with the first block of these.
    pub(super) why_broken: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Scheduled {
    /// Its number in the question's list.
    number: usize,
    offset: u64,
    len: u64,
    /// How far it was walked over: what was served, and what of it can't be unpacked.
    reached: u64,
}

/// Takes parts of a want: its number, how far into it the part begins, the part.
pub(super) type Sink<'a> = dyn FnMut(usize, u64, PlainPart<'_>) -> ControlFlow<()> + 'a;

impl Schedule {
    /// Sorts wants by the source that has their bytes. Those without one stand on no schedule.
    pub(super) fn by_source<K: Ord>(
        wants: &[Want],
        source: impl Fn(ObjectId) -> Option<K>,
    ) -> BTreeMap<K, Self> {
        let mut schedules: BTreeMap<K, Self> = BTreeMap::new();
        for (number, want) in wants.iter().enumerate().filter(|(_, want)| want.len > 0) {
            let Some(source) = source(want.object) else { continue };
            let scheduled = Scheduled { number, offset: want.offset, len: want.len, reached: 0 };
            schedules.entry(source).or_default().wants.push(scheduled);
        }
        for schedule in schedules.values_mut() {
            schedule.wants.sort_by_key(|want| (want.offset, want.number));
        }
        schedules
    }

    /// Serves all wants from bytes that can be had at any offset.
    pub(super) fn serve_from(
        &mut self,
        bytes: &Bytes,
        packing: Option<&Packing>,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        if let Some(packing) = packing {
            return self.serve_packed(packing, &mut &*bytes, sink);
        }
        for want in &mut self.wants {
            let end = want.offset.saturating_add(want.len);
            let mut flow = ControlFlow::Continue(());
            bytes.visit(want.offset..end, &mut |part| {
                flow = sink(want.number, want.reached, PlainPart::Bytes(part));
                want.reached += part.len() as u64;
                flow
            })?;
            if flow.is_break() {
                self.stopped = true;
                break;
            }
        }
        Ok(())
    }

    /// Serves all wants from a stream of the whole image.
    pub(super) fn serve_passing(
        &mut self,
        stream: &mut dyn Read,
        packing: Option<&Packing>,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        if let Some(packing) = packing {
            return self.serve_packed(packing, &mut Passing::new(stream), sink);
        }
        let mut buffer = vec![0; CHUNK];
        let mut at = 0u64;
        let mut walk = Walk { schedule: self, next: 0, active: Vec::new(), sink };
        while !walk.is_done() {
            let got = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if walk.take(at, &buffer[..got]).is_break() {
                break;
            }
            at += got as u64;
        }
        Ok(())
    }

    fn serve_packed(
        &mut self,
        packing: &Packing,
        stored: &mut dyn StoredPages,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        let mut walk = Walk { schedule: self, next: 0, active: Vec::new(), sink };
        packing.visit(stored, &mut walk)
    }

    /// How far each want was walked over: its number in the question's list, bytes.
    pub(super) fn reached(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.wants.iter().map(|want| (want.number, want.reached))
    }
}

/// A walk over an image from front to end: bytes come in ascending order, each goes to all wants that have it.
struct Walk<'s, 'k, 'c> {
    schedule: &'s mut Schedule,
    /// The first want that lies wholly behind what came.
    next: usize,
    /// Wants of which a part came, and not the end.
    active: Vec<usize>,
    sink: &'k mut Sink<'c>,
}

impl Walk<'_, '_, '_> {
    fn is_done(&self) -> bool {
        self.active.is_empty() && self.next == self.schedule.wants.len()
    }

    /// Makes those wants active that begin in front of an offset.
    fn reach(&mut self, end: u64) {
        while self.schedule.wants.get(self.next).is_some_and(|want| want.offset < end) {
            self.active.push(self.next);
            self.next += 1;
        }
    }

    /// Gives every want its part of a range; `part` makes it, given where in the range it lies.
    fn give<'b>(
        &mut self,
        range: Range<u64>,
        part: &dyn Fn(Range<u64>) -> Option<PlainPart<'b>>,
    ) -> ControlFlow<()> {
        self.reach(range.end);
        for &slot in &self.active {
            let want = &mut self.schedule.wants[slot];
            let from = want.offset.saturating_add(want.reached);
            let to = want.offset.saturating_add(want.len).min(range.end);
            // A want that begins behind this range waits for the next one.
            if from >= to {
                continue;
            }
            let Some(part) = part(from - range.start..to - range.start) else { continue };
            let flow = (self.sink)(want.number, want.reached, part);
            want.reached += to - from;
            if flow.is_break() {
                self.schedule.stopped = true;
                return ControlFlow::Break(());
            }
        }
        let wants = &self.schedule.wants;
        self.active.retain(|&slot| wants[slot].reached < wants[slot].len);
        ControlFlow::Continue(())
    }
}

impl PlainVisitor for Walk<'_, '_, '_> {
    fn wants(&mut self, range: Range<u64>) -> Wanted {
        self.reach(range.end);
        match self.active.is_empty() {
            _ if self.is_done() => Wanted::NoMore,
            true => Wanted::Later,
            false => Wanted::Now,
        }
    }

    fn take(&mut self, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let part = |part: Range<u64>| bytes.get(part.start as usize..part.end as usize).map(PlainPart::Bytes);
        self.give(at..at + bytes.len() as u64, &part)
    }

    fn lost(&mut self, broken: Broken) -> ControlFlow<()> {
        let Broken { range, why } = broken;
        self.schedule.why_broken.get_or_insert(why);
        match self.schedule.broken.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.schedule.broken.push(range.clone()),
        }
        self.give(range, &|part| Some(PlainPart::Broken(part.end - part.start)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const WANTS: [Want; 4] = [
        Want { object: ObjectId(0), offset: 10, len: 20 },
        Want { object: ObjectId(1), offset: 0, len: 5 },
        Want { object: ObjectId(0), offset: 0, len: 15 },
        Want { object: ObjectId(0), offset: 90, len: 20 },
    ];

    fn collect(serve: impl FnOnce(&mut Schedule, &mut Sink<'_>)) -> (Vec<Vec<u8>>, Vec<(usize, u64)>) {
        let mut seen = vec![Vec::new(); WANTS.len()];
        let mut schedule = Schedule::by_source(&WANTS, Some).remove(&ObjectId(0)).unwrap();
        serve(&mut schedule, &mut |number, at, part| {
            let PlainPart::Bytes(bytes) = part else { panic!("nothing is packed") };
            assert_eq!(at, seen[number].len() as u64);
            seen[number].extend_from_slice(bytes);
            ControlFlow::Continue(())
        });
        let short = |(number, reached): &(usize, u64)| *reached < WANTS[*number].len;
        let unserved = schedule.reached().filter(short).collect();
        (seen, unserved)
    }

    /// A reader that gives one to seven bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn a_stream_and_a_mapping_serve_the_same_bytes() {
        let image: Vec<u8> = (0..100).collect();
        let streamed =
            collect(|schedule, sink| schedule.serve_passing(&mut Dribble(&image, 0), None, sink).unwrap());
        let bytes = Bytes::new(Arc::new(image.clone()));
        let mapped = collect(|schedule, sink| schedule.serve_from(&bytes, None, sink).unwrap());
        assert_eq!(streamed, mapped);
        assert_eq!(streamed.0, [image[10..30].to_vec(), vec![], image[..15].to_vec(), image[90..].to_vec()]);
        assert_eq!(streamed.1, [(3, 10)]);
    }
}
