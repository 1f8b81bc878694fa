//! What has to be scanned: each stored stretch of bytes once, and the seams where memory goes on in another place.

use std::collections::BTreeMap;
use std::ops::Range;

use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{AddressSpace, Extent, Memory, ObjectId, Place, Want};

/// The most memory that the bytes around seams may take together, in bytes.
const WINDOWS_MAX: u64 = 256 << 20;
/// The most views that are kept: 32 bytes each.
const VIEWS_MAX: usize = 20_000_000;

/// Bytes that lie in one piece in a page image and are seen as one, and all who see them or a part of them.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) object: ObjectId,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Ascending by offset.
    pub(super) views: Vec<View>,
}

/// A part of a page image as a process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    /// Where it begins in the image.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// The process: number of its address space.
    pub(super) space: usize,
    /// The address at which it sees the first byte.
    pub(super) address: u64,
}

/// A place where addresses go on and the image does not.
#[derive(Clone, Debug)]
pub(super) struct Seam {
    /// Number of the address space.
    pub(super) space: usize,
    /// The first address behind the seam.
    pub(super) at: u64,
    /// The addresses around it that are looked at: within the run of stored memory.
    pub(super) window: Range<u64>,
    /// Whether the window begins where the run does.
    pub(super) from_run_start: bool,
}

/// What to scan.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// How many bytes on either side of a seam are looked at.
    pub(super) reach: u64,
    /// Set when there are more views of stored memory than may be kept: the rest is not searched.
    pub(super) is_cut: bool,
    pub(super) segments: Vec<Segment>,
    /// Ascending by process and address.
    pub(super) seams: Vec<Seam>,
    /// For each want behind those of the segments: seam, and where in its window the bytes belong.
    pub(super) window_parts: Vec<(usize, usize)>,
    pub(super) wants: Vec<Want>,
}

impl Plan {
    /// Plans for the processes that `chosen` accepts; seams are looked at over `reach` bytes on either side, or fewer where there are so many that the bytes around
    /// them would not fit into memory.
    pub(super) fn new(memory: &Memory, reach: u64, chosen: &dyn Fn(Pid) -> bool) -> Self {
        let mut plan = Self::default();
        let mut by_object: BTreeMap<ObjectId, Vec<View>> = BTreeMap::new();
        let mut views = 0;
        for (number, space) in memory.spaces.iter().enumerate().filter(|(_, space)| chosen(space.pid)) {
            let mut previous: Option<Extent> = None;
            let mut run_start = 0;
            for extent in &space.stored {
                let Place::Image(object, offset) = extent.place else {
                    previous = None;
                    continue;
                };
                views += 1;
                if views > VIEWS_MAX {
                    plan.is_cut = true;
                    break;
                }
                by_object.entry(object).or_default().push(View {
                    offset,
                    len: extent.len,
                    space: number,
                    address: extent.start,
                });
                match previous {
                    Some(before) if before.end() == extent.start => {
                        let window = run_start..extent.start;
                        plan.seams.push(Seam {
                            space: number,
                            at: extent.start,
                            window,
                            from_run_start: true,
                        });
                    }
                    _ => run_start = extent.start,
                }
                previous = Some(extent);
            }
        }
        for (object, views) in by_object {
            plan.add_segments(object, views);
        }
        plan.reach = reach.min(WINDOWS_MAX / 2 / (plan.seams.len() as u64).max(1));
        let of_segment =
            |segment: &Segment| Want { object: segment.object, offset: segment.offset, len: segment.len };
        plan.wants = plan.segments.iter().map(of_segment).collect();
        for seam in 0..plan.seams.len() {
            plan.want_window(seam, &memory.spaces[plan.seams[seam].space]);
        }
        plan
    }

    /// Joins views of one image that overlap. Where one ends and the next begins nobody sees the bytes as going on: nothing is joined there.
    fn add_segments(&mut self, object: ObjectId, mut views: Vec<View>) {
        views.sort_unstable();
        for view in views {
            let end = view.offset.saturating_add(view.len);
            match self.segments.last_mut() {
                Some(segment) if segment.object == object && view.offset < segment.offset + segment.len => {
                    segment.len = segment.len.max(end - segment.offset);
                    segment.views.push(view);
                }
                _ => self.segments.push(Segment {
                    object,
                    offset: view.offset,
                    len: end - view.offset,
                    views: vec![view],
                }),
            }
        }
    }

    fn want_window(&mut self, number: usize, space: &AddressSpace) {
        let reach = self.reach;
        let seam = &mut self.seams[number];
        let start = seam.at.saturating_sub(reach).max(seam.window.start);
        seam.from_run_start = start == seam.window.start;
        let window = start..seam.at.saturating_add(reach);
        let mut end = window.start;
        for extent in space.stored.within(window.clone()) {
            let Place::Image(object, offset) = extent.place else { break };
            if extent.start != end {
                break; // a hole ends the window
            }
            self.window_parts.push((number, (extent.start - window.start) as usize));
            self.wants.push(Want { object, offset, len: extent.len });
            end = extent.end();
        }
        self.seams[number].window = window.start..end;
    }

    /// The number of the seam in front of an address of a process.
    pub(super) fn seam_at(&self, space: usize, address: u64) -> Option<usize> {
        let number = self.seams.partition_point(|seam| (seam.space, seam.at) < (space, address));
        self.seams.get(number).filter(|seam| (seam.space, seam.at) == (space, address)).map(|_| number)
    }

    /// The number of the segment that holds a byte of an image.
    pub(super) fn segment_of(&self, object: ObjectId, offset: u64) -> Option<usize> {
        let behind =
            self.segments.partition_point(|segment| (segment.object, segment.offset) <= (object, offset));
        let number = behind.checked_sub(1)?;
        let segment = &self.segments[number];
        (segment.object == object && offset - segment.offset < segment.len).then_some(number)
    }
}
