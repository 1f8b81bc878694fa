//! From hits to matches: who sees them where.

use container_checkpoint::memory::{self, Memory, Place};

use super::found::{Found, Record};
use super::matches::{Image, Matches, Odd, Ranks, Spot};
use super::seams::Decided;
use super::space::{Space, Who};
use super::texts::Text;
use super::{Search, plan};

/// What a match with a list of its own takes beside its bytes, in bytes, and for each who sees it.
const ODD: usize = 96;
const SIGHTING: usize = 32;

/// Who is told, and of each address space whose it is.
pub(super) struct Tellable {
    pub(super) ranks: Ranks,
    /// By the number of the space; `None` where nobody is told.
    of_space: Vec<Option<u32>>,
}

/// A segment as one who is told sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) rank: u32,
    pub(super) space: usize,
    pub(super) address: u64,
}

impl Tellable {
    pub(super) fn new(memory: &Memory, tells: &dyn Fn(Who) -> bool) -> Self {
        let spaces: Vec<Who> = Space::all(memory).map(Space::who).collect();
        let mut whos: Vec<Who> = spaces.iter().copied().filter(|&who| tells(who)).collect();
        whos.sort_unstable();
        whos.dedup();
        let rank = |who| whos.binary_search(who).ok().map(|rank| rank as u32);
        let of_space = spaces.iter().map(rank).collect();
        let processes = whos.partition_point(|who| matches!(who, Who::Process(_))) as u32;
        Self { ranks: Ranks { whos, processes }, of_space }
    }

    /// Who of those that are told sees a segment, ascending.
    pub(super) fn views(&self, views: &[plan::View]) -> Vec<Seen> {
        let seen = |view: &plan::View| {
            Some(Seen { rank: self.rank(view.space)?, space: view.space, address: view.address })
        };
        let mut seen: Vec<Seen> = views.iter().filter_map(seen).collect();
        seen.sort_by_key(|seen| (seen.rank, seen.address));
        seen.dedup_by_key(|seen| (seen.rank, seen.address));
        seen
    }

    pub(super) fn rank(&self, space: usize) -> Option<u32> {
        self.of_space.get(space).copied().flatten()
    }
}

impl Search {
    /// The matches that those see who are to be told. They are handed out once, and none when they were only counted.
    pub fn matches(&mut self, memory: &Memory, tells: &dyn Fn(Who) -> bool) -> Matches {
        self.found.settle();
        let decided = self.decide_at_seams(memory, tells);
        let tellable = Tellable::new(memory, tells);
        let Found::Kept(records) = std::mem::replace(&mut self.found, Found::new(self.options.keep)) else {
            return Matches::default();
        };
        let mut made = Matches::default();
        let needles = self.scanner.patterns.needles().iter();
        made.needles = needles.map(|needle| (needle.pattern, needle.encoding)).collect();
        let image = |object: &memory::Object| Image {
            name: object.image.clone(),
            ancestor: object.ancestor,
            file: object.contents.as_ref().map(|contents| contents.file),
        };
        made.images = memory.objects.iter().map(image).collect();
        made.texts = records.texts;
        // What stays is written over what was there: a list of its own would take as much again.
        let mut list = records.list;
        let mut stay = 0;
        let mut first = 0;
        while first < list.len() {
            let segment = list[first].segment;
            let behind = first + list[first..].partition_point(|record| record.segment == segment);
            stay = self.take_segment(&mut list, first..behind, stay, &tellable, &decided, &mut made);
            first = behind;
        }
        list.truncate(stay);
        made.records = list;
        self.take_seams(memory, &tellable, &decided, &mut made);
        self.is_short |= decided.is_full();
        made.whos = tellable.ranks;
        made.settle();
        made
    }

    /// The hits of a segment: those that all have are written behind the ones that stay. Gives how many stay then.
    fn take_segment(
        &mut self,
        list: &mut [Record],
        hits: std::ops::Range<usize>,
        mut stay: usize,
        tellable: &Tellable,
        decided: &Decided,
        made: &mut Matches,
    ) -> usize {
        let number = list[hits.start].segment as usize;
        let plan::Segment { object, offset, .. } = self.plan.segments[number];
        let views = tellable.views(self.plan.views_of(number));
        let zones = self.plan.zones_of(number);
        let spot = Spot { object, offset, first_record: stay as u32, first_view: made.views.len() as u32 };
        let stayed = stay;
        for hit in hits {
            let record = list[hit];
            let text = made.texts.get(record.text);
            let len = text.text.len() as u64;
            let is_sure = zones.leave(record.at, len);
            let keeps = |seen: &&Seen| {
                is_sure || decided.keeps((record.needle as usize, seen.space), seen.address + record.at, len)
            };
            let keeping: Vec<&Seen> = views.iter().filter(keeps).collect();
            let Some(first) = keeping.first() else {
                self.kept.remove();
                continue;
            };
            let widened = self.widened(first.space, first.address + record.at, text);
            if widened.is_none() && keeping.len() == views.len() {
                list[stay] = Record { segment: made.spots.len() as u32, ..record };
                stay += 1;
                continue;
            }
            let more =
                widened.as_ref().map_or(0, |(before, after)| before.len() + text.text.len() + after.len());
            if !self.kept.add_bytes(ODD + SIGHTING * keeping.len() + more) {
                continue;
            }
            let sightings = keeping.iter().map(|seen| (seen.rank, seen.address + record.at)).collect();
            let text = match widened {
                Some((before, after)) => {
                    let (text, is_cut) = (text.text.to_vec(), text.is_cut);
                    made.texts.add(Text { text: &text, is_cut, before: &before, after: &after })
                }
                None => record.text,
            };
            made.odd.push(Odd {
                object,
                offset: offset + record.at,
                needle: record.needle,
                text,
                is_new: false,
                sightings,
            });
        }
        if stay > stayed {
            made.spots.push(spot);
            made.views.extend(views.iter().map(|seen| (seen.rank, seen.address)));
        }
        stay
    }

    /// The matches at seams. Of two that begin at one place, each may go on in a page of its own; those that have the same bytes are one.
    fn take_seams(&mut self, memory: &Memory, tellable: &Tellable, decided: &Decided, made: &mut Matches) {
        let all = decided.matches.iter().flat_map(|(of, all)| all.iter().map(move |found| (*of, *found)));
        for ((needle, space), found) in all {
            let Some(rank) = tellable.rank(space) else { continue };
            let Some(Place::Image(object, offset)) = Space::of(memory, space).at(found.address) else {
                continue;
            };
            if let Some(text) = self.text_at_seam(found) {
                let text_len = text.len();
                let text = made.texts.add(text);
                if !self.kept.add_bytes(ODD + SIGHTING + text_len) {
                    break;
                }
                made.odd.push(Odd {
                    object,
                    offset,
                    needle: needle as u32,
                    text,
                    is_new: true,
                    sightings: vec![(rank, found.address)],
                });
            }
        }
        let Matches { odd, texts, .. } = made;
        let key = |odd: &Odd| (odd.object, odd.offset, odd.needle, texts.get(odd.text).text);
        odd.sort_by(|a, b| key(a).cmp(&key(b)));
        odd.dedup_by(|one, first| {
            let is_same = key(one) == key(first);
            if is_same {
                first.sightings.append(&mut one.sightings);
            }
            is_same
        });
        let kept = &mut self.kept;
        odd.retain_mut(|odd| {
            odd.sightings.sort_unstable();
            odd.sightings.dedup();
            !odd.is_new || kept.add_one()
        });
    }

    /// Context that a segment's border cut off goes on around the seam: what is then before and behind, if that is more.
    fn widened(&self, space: usize, at: u64, text: Text<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
        let wanted = self.options.context;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let border = at - text.before.len() as u64;
        if text.before.len() < wanted
            && let Some((start, bytes)) =
                self.plan.seam_at(space, border).and_then(|number| self.around(number))
        {
            let end = (border - start) as usize;
            let more = (wanted - text.before.len()).min(end);
            before.extend_from_slice(&bytes[end - more..end]);
        }
        let border = at + text.text.len() as u64 + text.after.len() as u64;
        if text.after.len() < wanted
            && let Some((start, bytes)) =
                self.plan.seam_at(space, border).and_then(|number| self.around(number))
        {
            let begin = (border - start) as usize;
            let more = (wanted - text.after.len()).min(bytes.len() - begin);
            after.extend_from_slice(&bytes[begin..begin + more]);
        }
        (!before.is_empty() || !after.is_empty()).then(|| {
            before.extend_from_slice(text.before);
            (before, [text.after, &after].concat())
        })
    }
}
