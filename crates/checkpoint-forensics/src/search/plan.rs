//! What has to be scanned: each stored stretch of bytes once, and the seams where memory goes on in another place.

use std::collections::HashMap;

use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{AddressSpace, Extent, Memory, ObjectId, Place, Want};

/// Bytes that lie in one piece in a page image, and all who see them as exactly this piece.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) object: ObjectId,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Process (number of its address space) and address at which it sees the first byte.
    pub(super) views: Vec<(usize, u64)>,
}

/// A place where addresses go on and the image does not.
#[derive(Clone, Debug)]
pub(super) struct Seam {
    /// Number of the address space.
    pub(super) space: usize,
    /// The first address behind the seam.
    pub(super) at: u64,
    /// The addresses around it that are looked at: within the run of stored memory.
    pub(super) window: std::ops::Range<u64>,
}

/// The most memory that the bytes around seams may take together, in bytes.
const WINDOWS_MAX: u64 = 256 << 20;
/// The most views of segments that are kept: 16 bytes each.
const VIEWS_MAX: usize = 20_000_000;

/// What to scan.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// How many bytes on either side of a seam are looked at.
    pub(super) reach: u64,
    /// Set when there are more views of stored memory than may be kept: the rest is not searched.
    pub(super) is_cut: bool,
    pub(super) segments: Vec<Segment>,
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
        let mut known: HashMap<(ObjectId, u64, u64), usize> = HashMap::new();
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
                let key = (object, offset, extent.len);
                let segment = *known.entry(key).or_insert_with(|| {
                    plan.segments.push(Segment { object, offset, len: extent.len, views: Vec::new() });
                    plan.segments.len() - 1
                });
                plan.segments[segment].views.push((number, extent.start));
                match previous {
                    Some(before) if before.end() == extent.start => {
                        plan.seams.push(Seam { space: number, at: extent.start, window: run_start..extent.start });
                    }
                    _ => run_start = extent.start,
                }
                previous = Some(extent);
            }
        }
        plan.reach = reach.min(WINDOWS_MAX / 2 / (plan.seams.len() as u64).max(1));
        for seam in &mut plan.seams {
            let start = seam.at.saturating_sub(plan.reach).max(seam.window.start);
            seam.window = start..seam.at.saturating_add(plan.reach);
        }
        let of_segment = |segment: &Segment| Want { object: segment.object, offset: segment.offset, len: segment.len };
        plan.wants = plan.segments.iter().map(of_segment).collect();
        for seam in 0..plan.seams.len() {
            plan.want_window(seam, &memory.spaces[plan.seams[seam].space]);
        }
        plan
    }

    fn want_window(&mut self, number: usize, space: &AddressSpace) {
        let window = self.seams[number].window.clone();
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
        self.seams[number].window.end = end;
    }
}
