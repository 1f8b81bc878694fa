//! Cutting ranges of addresses out of segments, and out of what is said of the memory in them.

use std::ops::Range;

use super::Segment;
use crate::core_dump::source::{Source, Stretch};

/// Segments without ranges of addresses; both ascending.
pub(super) fn without(segments: &[Segment], lost: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let mut from = segment.start;
        let mut keep = |from: u64, to: u64| {
            if from < to {
                let into = from - segment.start;
                let stored = segment.stored.saturating_sub(into).min(to - from);
                let at = segment.at.filter(|_| stored > 0).map(|at| at + into);
                left.push(Segment { start: from, len: to - from, at, stored, ..*segment });
            }
        };
        while let Some(range) = lost.get(next).filter(|range| range.start < end) {
            keep(from, range.start);
            from = range.end;
            next += 1;
        }
        keep(from, end);
    }
    left
}

/// Segments whose bytes in ranges of addresses don't stand in the core; both ascending, and each range within one segment.
pub(super) fn emptied(segments: &[Segment], ranges: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let first = left.len();
        let mut from = segment.start;
        let add = |left: &mut Vec<Segment>, from: u64, to: u64, is_empty: bool| {
            let into = from - segment.start;
            let stored = if is_empty { 0 } else { segment.stored.saturating_sub(into).min(to - from) };
            match left[first..].last_mut() {
                _ if from == to => {}
                // Bytes that are left out end the one before.
                Some(last) if stored == 0 => last.len += to - from,
                _ => {
                    let at = segment.at.filter(|_| stored > 0).map(|at| at + into);
                    left.push(Segment { start: from, len: to - from, at, stored, ..*segment });
                }
            }
        };
        while let Some(range) = ranges.get(next).filter(|range| range.start < end) {
            add(&mut left, from, range.start, false);
            add(&mut left, range.start, range.end.min(end), true);
            from = range.end.min(end);
            next += 1;
        }
        add(&mut left, from, end, false);
    }
    left
}

/// Stretches in which ranges of addresses get another source, and are held or not; both ascending.
pub(super) fn marked(
    stretches: &[Stretch],
    lost: &[Range<u64>],
    mark: impl Fn(&Stretch) -> (Source, bool),
) -> Vec<Stretch> {
    let mut marked = Vec::with_capacity(stretches.len());
    let mut next = 0;
    for stretch in stretches {
        let mut from = stretch.start;
        let mut keep = |from: u64, to: u64, is_lost: bool| {
            let (start, len) = (from, to.saturating_sub(from));
            let (source, held) = if is_lost { mark(stretch) } else { (stretch.source, stretch.held) };
            marked.extend((len > 0).then_some(Stretch { start, len, source, held }));
        };
        // A range may go on in the next stretch.
        while let Some(range) = lost.get(next).filter(|range| range.start < stretch.end()) {
            let (start, end) = (range.start.max(from), range.end.min(stretch.end()));
            keep(from, start, false);
            keep(start, end, true);
            from = end;
            if range.end > stretch.end() {
                break;
            }
            next += 1;
        }
        keep(from, stretch.end(), false);
    }
    marked
}
