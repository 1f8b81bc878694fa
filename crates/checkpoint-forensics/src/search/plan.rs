//! What has to be scanned: each stored stretch of bytes once, and the seams where memory goes on in another place.

use std::collections::BTreeMap;
use std::ops::Range;

use container_checkpoint::memory::{Memory, ObjectId, Place, Selection, Want};

use super::space::Space;

/// The most memory that the bytes around seams may take together, in bytes.
const WINDOWS_MAX: u64 = 16 << 20;
/// The most views that are kept: 32 bytes each.
const VIEWS_MAX: usize = 20_000_000;

/// Bytes that lie in one piece in a page image. Who sees them, as a whole, each of them: [`Plan::views_of`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) object: ObjectId,
    /// The first of its views: they are as many as there are up to those of the next segment.
    first_view: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Who sees a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    /// The number of the process's address space, or behind all of these of the shared object.
    pub(crate) space: usize,
    /// The address at which it sees the first byte.
    pub(crate) address: u64,
}

/// A part of a page image as a process sees it, in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    offset: u64,
    len: u64,
    view: View,
}

/// A place where addresses go on and a segment does not: the image doesn't, or somebody else sees less of it.
#[derive(Clone, Debug)]
pub(crate) struct Seam {
    /// Number of the address space.
    pub(crate) space: usize,
    /// The first address behind the seam.
    pub(crate) at: u64,
    /// The addresses around it that are looked at: within the run of stored memory.
    pub(crate) window: Range<u64>,
    /// Whether the window begins where the run of stored memory does.
    pub(crate) from_run_start: bool,
}

/// Where in a segment something may be decided at a seam, in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    /// What begins in front of this is beside the seam in front of the segment; 0 when there is none.
    pub(crate) front: u64,
    /// What ends behind this is beside the seam behind it; the largest number when there is none.
    pub(crate) back: u64,
}

impl Zones {
    /// Whether bytes lie in none of them.
    pub(crate) fn leave(self, at: u64, len: u64) -> bool {
        at >= self.front && at + len <= self.back
    }
}

/// What to scan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// How many bytes on either side of a seam are looked at.
    pub(crate) reach: u64,
    /// Set when there are more views of stored memory than may be kept: the rest is not searched.
    pub(crate) is_cut: bool,
    /// The chosen addresses of each address space.
    chosen: Vec<Vec<Range<u64>>>,
    pub(crate) segments: Vec<Segment>,
    /// Of all segments, one behind the other: a heap of single pages has hundreds of thousands, so that none has a list of its own.
    views: Vec<View>,
    /// Ascending by process and address.
    pub(crate) seams: Vec<Seam>,
    /// For each want behind those of the segments: seam, and where in its window the bytes belong.
    pub(crate) window_parts: Vec<(usize, usize)>,
    pub(crate) wants: Vec<Want>,
}

impl Seam {
    /// In front of what a process sees; the window is for later, when it is known how many there are.
    fn at(View { space, address }: View) -> Self {
        Self { space, at: address, window: address..address, from_run_start: false }
    }
}

/// Whose bytes a search is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The memory of processes.
    pub processes: bool,
    /// Shared objects, whether a process maps them or not.
    pub objects: bool,
}

impl Scope {
    /// The memory of processes alone.
    pub const PROCESSES: Self = Self { processes: true, objects: false };
}

impl Plan {
    /// Plans for the memory that is chosen, and for all of the shared objects if they are in scope; seams are looked at over `reach` bytes on either side, or fewer where there are so many that the bytes around
    /// them would not fit into memory.
    pub(crate) fn new(memory: &Memory, reach: u64, selection: &Selection, scope: Scope) -> Self {
        let mut plan = Self::default();
        let mut by_object: BTreeMap<ObjectId, Vec<Part>> = BTreeMap::new();
        let mut views = 0;
        for (number, space) in Space::all(memory).enumerate() {
            let chosen = match space {
                Space::Process(space) if scope.processes => selection.of(memory, space),
                Space::Object(_) if scope.objects => std::iter::once(0..u64::MAX).collect(),
                _ => Vec::new(),
            };
            'space: for range in &chosen {
                let mut end = None;
                for extent in space.within(range.clone()) {
                    let Place::Image(object, offset) = extent.place else {
                        end = None;
                        continue;
                    };
                    views += 1;
                    if views > VIEWS_MAX {
                        plan.is_cut = true;
                        break 'space;
                    }
                    let view = View { space: number, address: extent.start };
                    by_object.entry(object).or_default().push(Part { offset, len: extent.len, view });
                    if end == Some(extent.start) {
                        plan.seams.push(Seam::at(view));
                    }
                    end = Some(extent.end());
                }
            }
            plan.chosen.push(chosen);
        }
        for (object, parts) in by_object {
            plan.add_segments(object, parts);
        }
        plan.seams.sort_unstable_by_key(|seam| (seam.space, seam.at));
        plan.reach = reach.min(WINDOWS_MAX / 2 / (plan.seams.len() as u64).max(1));
        let of_segment =
            |segment: &Segment| Want { object: segment.object, offset: segment.offset, len: segment.len };
        plan.wants = plan.segments.iter().map(of_segment).collect();
        for seam in 0..plan.seams.len() {
            plan.want_window(seam, Space::of(memory, plan.seams[seam].space));
        }
        plan
    }

    /// Cuts an image wherever somebody's part begins or ends, so that what one process sees is never searched with what only another one sees.
    /// Where a part goes on over a cut there is a seam.
    fn add_segments(&mut self, object: ObjectId, mut parts: Vec<Part>) {
        parts.sort_unstable();
        let is_shared = |pair: &[Part]| pair[1].offset < pair[0].offset + pair[0].len;
        if parts.windows(2).any(is_shared) {
            parts = self.cut(&parts);
            parts.sort_unstable();
        }
        for Part { offset, len, view } in parts {
            let is_known =
                self.segments.last().is_some_and(|last| (last.object, last.offset) == (object, offset));
            if !is_known {
                // Bounded by the most views, which fit.
                self.segments.push(Segment { object, first_view: self.views.len() as u32, offset, len });
            }
            self.views.push(view);
        }
    }

    /// Parts that are seen as a whole by all who see any of it.
    fn cut(&mut self, parts: &[Part]) -> Vec<Part> {
        let mut cuts: Vec<u64> =
            parts.iter().flat_map(|part| [part.offset, part.offset + part.len]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces = Vec::with_capacity(parts.len());
        for &Part { offset, len, view } in parts {
            let first = cuts.partition_point(|cut| *cut <= offset);
            let mut start = offset;
            for &end in cuts[first..].iter().take_while(|cut| **cut <= offset + len) {
                if self.views.len() + pieces.len() == VIEWS_MAX {
                    self.is_cut = true;
                    return pieces;
                }
                let view = View { address: view.address + (start - offset), ..view };
                if start > offset {
                    self.seams.push(Seam::at(view));
                }
                pieces.push(Part { offset: start, len: end - start, view });
                start = end;
            }
        }
        pieces
    }

    /// Who sees a segment.
    pub(crate) fn views_of(&self, number: usize) -> &[View] {
        let end = self.segments.get(number + 1).map_or(self.views.len(), |next| next.first_view as usize);
        &self.views[self.segments[number].first_view as usize..end]
    }

    /// What of a segment is beside a seam to anybody who sees it.
    pub(crate) fn zones_of(&self, number: usize) -> Zones {
        let len = self.segments[number].len;
        let has_seam = |place: u64| {
            let at = |view: &View| self.seam_at(view.space, view.address.checked_add(place)?);
            self.views_of(number).iter().any(|view| at(view).is_some())
        };
        let front = if has_seam(0) { self.reach } else { 0 };
        let back = if has_seam(len) { len.saturating_sub(self.reach) } else { u64::MAX };
        Zones { front, back }
    }

    fn want_window(&mut self, number: usize, space: Space<'_>) {
        let reach = self.reach;
        let seam = &mut self.seams[number];
        let chosen = &self.chosen[seam.space];
        let chosen = &chosen[chosen.partition_point(|range| range.end <= seam.at)];
        let start = seam.at.saturating_sub(reach).max(chosen.start);
        let mut window = start..start;
        seam.from_run_start = start == chosen.start || space.at(start - 1).is_none();
        let mut parts = Vec::new();
        for extent in space.within(start..seam.at.saturating_add(reach).min(chosen.end)) {
            let is_image = matches!(extent.place, Place::Image(..));
            if extent.start != window.end || !is_image {
                if window.end >= seam.at {
                    break; // a hole ends the window
                }
                parts.clear(); // a hole in front of the seam begins it anew
                let start = if is_image { extent.start } else { extent.end() };
                window = start..start;
                seam.from_run_start = true;
            }
            if let Place::Image(object, offset) = extent.place {
                parts.push((extent.start, Want { object, offset, len: extent.len }));
                window.end = extent.end();
            }
        }
        for (start, want) in parts {
            self.window_parts.push((number, (start - window.start) as usize));
            self.wants.push(want);
        }
        seam.window = window;
    }

    /// The number of the seam in front of an address of a process.
    pub(crate) fn seam_at(&self, space: usize, address: u64) -> Option<usize> {
        let number = self.seams.partition_point(|seam| (seam.space, seam.at) < (space, address));
        self.seams.get(number).filter(|seam| (seam.space, seam.at) == (space, address)).map(|_| number)
    }

    /// The number of the segment that holds a byte of an image.
    pub(crate) fn segment_of(&self, object: ObjectId, offset: u64) -> Option<usize> {
        let behind =
            self.segments.partition_point(|segment| (segment.object, segment.offset) <= (object, offset));
        let number = behind.checked_sub(1)?;
        let segment = &self.segments[number];
        (segment.object == object && offset - segment.offset < segment.len).then_some(number)
    }
}
