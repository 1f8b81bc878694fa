//! Matches and counts as tables.

use checkpoint_forensics::search::{Encoding, Match};
use checkpoint_forensics::stores::{Holder, Store};
use container_checkpoint::ids::Pid;

use super::answers::{Answers, Bytes, Count};
use super::patterns::Given;
use super::stores::store_text;
use crate::commands::mapping::mapping_text;
use crate::present::bytes::count_text;
use crate::present::cell::Cell;
use crate::present::dots::dotted;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{Outcome, Session};

/// A row for each place, with all processes that see it.
pub fn print_matches(session: &Session<'_>, all: &[Answers<'_>], given: &Given, beside: bool) -> Outcome {
    let columns = [
        Column::wrapped("EVIDENCE"),
        Column::wrapped("PID"),
        Column::wrapped("COMMAND"),
        Column::wrapped("STORE"),
        Column::whole("ADDRESS"),
        Column::wrapped("MAPPING"),
        Column::wrapped("PATTERN"),
        Column::wrapped("ENCODING"),
        Column::wrapped("MATCH"),
    ];
    let in_others = |encoding: Option<Encoding>| !matches!(encoding, None | Some(Encoding::Utf8));
    let has_others = all.iter().any(|answers| {
        let elsewhere = answers.found.elsewhere.iter().map(|one| one.encoding);
        answers.found.matches.encodings().chain(elsewhere).any(in_others)
    });
    let shape = Shape { several: all.len() > 1, has_others, beside, given };
    Ok(session.ui.long_table(columns, &|row| {
        all.iter().try_for_each(|answers| {
            for found in answers.found.matches.iter() {
                if let Some(cells) = shape.in_memory(answers, found) {
                    row(cells)?;
                }
            }
            for found in answers.found.elsewhere.iter() {
                let store = store_text(answers, found.store).into();
                let pids = holding(answers, found.store);
                row(shape.cells(answers, &pids, store, offset(found.at), None, found.into()))?;
            }
            Ok(())
        })
    })?)
}

/// What rows are like.
struct Shape<'g> {
    several: bool,
    has_others: bool,
    beside: bool,
    given: &'g Given,
}

impl Shape<'_> {
    fn in_memory(&self, answers: &Answers<'_>, found: Match<'_>) -> Option<[Cell; 9]> {
        let object = found.objects().first().map(|&(id, at)| (Store::of_object(id), at));
        let store = match &object {
            Some((store, _)) => store_text(answers, store).into(),
            None if self.beside => "memory".into(),
            None => Cell::empty(),
        };
        let sightings = found.sightings();
        if let Some(&(pid, at)) = sightings.first() {
            // A process may see it at several addresses.
            let mut pids: Vec<Pid> = sightings.iter().map(|&(pid, _)| pid).collect();
            pids.dedup();
            let mapping = answers.mapping(pid, at);
            let mapping = mapping.map(|mapping| mapping_text(&answers.model, mapping));
            return Some(self.cells(answers, &pids, store, Cell::address(at.0), mapping, found.into()));
        }
        let (of, at) = object?;
        Some(self.cells(answers, &holding(answers, &of), store, offset(at), None, found.into()))
    }

    fn cells(
        &self,
        answers: &Answers<'_>,
        pids: &[Pid],
        store: Cell,
        address: Cell,
        mapping: Option<Text>,
        found: Bytes<'_>,
    ) -> [Cell; 9] {
        let encoding = found.encoding.filter(|_| self.has_others);
        [
            if self.several { Cell::evidence(answers.checkpoint.full_name()) } else { Cell::empty() },
            pids_cell(pids),
            pids.first().and_then(|pid| answers.command(*pid)).map_or_else(Cell::empty, Cell::evidence),
            store,
            address,
            Cell::from(mapping),
            if self.given.texts.len() > 1 {
                Cell::evidence(&self.given.texts[found.pattern])
            } else {
                Cell::empty()
            },
            encoding.map_or_else(Cell::empty, |it| Cell::own(it.name())),
            Cell::from(match_text(found)),
        ]
    }
}

/// So many holders of a store are told one by one.
const PIDS_TOLD: usize = 8;

fn pids_cell(pids: &[Pid]) -> Cell {
    let mut words: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let untold = words.len().saturating_sub(PIDS_TOLD);
    if untold > 1 {
        words.truncate(PIDS_TOLD);
        words.push(format!("{untold} more"));
    }
    if words.is_empty() { Cell::empty() } else { Cell::own(words.join(", ")) }
}

/// The processes that hold a store, ascending.
fn holding(answers: &Answers<'_>, store: &Store) -> Vec<Pid> {
    let mut pids: Vec<Pid> = answers.holders(store).into_iter().map(Holder::pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// A place in a store that has no addresses.
fn offset(at: u64) -> Cell {
    Cell::own(format_args!("+{at:#x}"))
}

/// A match with what is around it. The match is told to the byte; around it, bytes that are no text are dots, as in a hex dump.
fn match_text(found: Bytes<'_>) -> Text {
    let Bytes { encoding, before, text, after, is_cut, .. } = found;
    let whole = |bytes: &[u8]| bytes.len().is_multiple_of(2);
    let text = match encoding {
        Some(encoding @ (Encoding::Utf16Le | Encoding::Utf16Be)) if whole(text) => {
            let before = units(encoding, &before[before.len() % 2..]);
            let inner = Text::own(dotted(&before)).and_evidence(units(encoding, text));
            inner.and(dotted(&units(encoding, after)))
        }
        _ => Text::own(dotted(before)).and_evidence(text).and(dotted(after)),
    };
    if is_cut { text.and(" [cut]") } else { text }
}

/// UTF-16 as UTF-8; units that are no text become U+FFFD.
fn units(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let unit = |pair: &[u8]| match encoding {
        Encoding::Utf16Be => u16::from_be_bytes([pair[0], pair[1]]),
        _ => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let units = bytes.chunks_exact(2).map(unit);
    let text: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.into_bytes()
}

/// A row for each process that was searched and each store that has matches, or with `only_found` for each that has some.
pub fn print_counts(
    session: &Session<'_>,
    all: &[Answers<'_>],
    only_found: bool,
    in_memory_alone: bool,
) -> Outcome {
    if all.is_empty() {
        return Ok(()); // nothing was searched: no count is not a count of zero
    }
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::wrapped("PID"),
        Column::wrapped("COMMAND"),
        Column::wrapped("STORE"),
        if only_found { Column::whole("MATCHES") } else { Column::whole("MATCHES").always() },
    ]);
    for answers in all {
        for count in answers.counts() {
            let (pids, store, count) = match count {
                Count::Process(pid, count) => {
                    (vec![pid], if in_memory_alone { Cell::empty() } else { "memory".into() }, count)
                }
                Count::Store(store, count) => {
                    (holding(answers, &store), store_text(answers, &store).into(), Some(count))
                }
            };
            if only_found && count.unwrap_or(0) == 0 {
                continue;
            }
            table.row([
                if several || only_found {
                    Cell::evidence(answers.checkpoint.full_name())
                } else {
                    Cell::empty()
                },
                pids_cell(&pids),
                pids.first().and_then(|pid| answers.command(*pid)).map_or_else(Cell::empty, Cell::evidence),
                store,
                if only_found { Cell::empty() } else { count.map_or_else(Cell::empty, Cell::own) },
            ]);
        }
    }
    if only_found {
        return if table.is_empty() { Ok(()) } else { Ok(session.ui.table(&table)?) };
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    let total: u64 = all.iter().map(Answers::places).sum();
    let (one, many) =
        if in_memory_alone { ("place in memory", "places in memory") } else { ("place", "places") };
    session.ui.note(Text::own(count_text(total, one, many)));
    Ok(())
}
