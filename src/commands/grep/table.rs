//! Matches and counts as tables.

use checkpoint_forensics::search::{Encoding, Match};

use super::answers::Answers;
use super::patterns::Given;
use crate::commands::mapping::mapping_text;
use crate::present::bytes::count_text;
use crate::present::cell::Cell;
use crate::present::dots::dotted;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{Outcome, Session};

/// A row for each place, with all processes that see it.
pub fn print_matches(session: &Session<'_>, all: &[Answers<'_>], given: &Given) -> Outcome {
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::wrapped("PID"),
        Column::wrapped("COMMAND"),
        Column::whole("ADDRESS"),
        Column::wrapped("MAPPING"),
        Column::wrapped("PATTERN"),
        Column::wrapped("ENCODING"),
        Column::wrapped("MATCH"),
    ]);
    let in_others = |found: &Match| !matches!(found.encoding, None | Some(Encoding::Utf8));
    let has_others = all.iter().flat_map(|answers| &answers.matches).any(in_others);
    for answers in all {
        for found in &answers.matches {
            let Some(&(pid, at)) = found.sightings.first() else { continue };
            let mut pids: Vec<String> = found.sightings.iter().map(|(pid, _)| pid.to_string()).collect();
            pids.dedup(); // a process may see it at several addresses
            let pattern = &given.texts[found.pattern];
            table.row([
                if several { Cell::evidence(answers.checkpoint.full_name()) } else { Cell::empty() },
                Cell::own(pids.join(", ")),
                answers.command(pid).map_or_else(Cell::empty, Cell::evidence),
                Cell::address(at.0),
                Cell::from(answers.mapping(pid, at).map(|mapping| mapping_text(&answers.model, mapping))),
                if given.texts.len() > 1 { Cell::evidence(pattern) } else { Cell::empty() },
                found.encoding.filter(|_| has_others).map_or_else(Cell::empty, |it| Cell::own(it.name())),
                Cell::from(match_text(found)),
            ]);
        }
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    Ok(())
}

/// A match with what is around it. The match is told to the byte; around it, bytes that are no text are dots, as in a hex dump.
fn match_text(found: &Match) -> Text {
    let Match { encoding, before, text, after, is_cut, .. } = found;
    let whole = |bytes: &[u8]| bytes.len().is_multiple_of(2);
    let text = match encoding {
        Some(encoding @ (Encoding::Utf16Le | Encoding::Utf16Be)) if whole(text) => {
            let before = units(*encoding, &before[before.len() % 2..]);
            let inner = Text::own(dotted(&before)).and_evidence(units(*encoding, text));
            inner.and(dotted(&units(*encoding, after)))
        }
        _ => Text::own(dotted(before)).and_evidence(text).and(dotted(after)),
    };
    if *is_cut { text.and(" [cut]") } else { text }
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

/// A row for each process that was searched, or with `only_found` for each that has matches.
pub fn print_counts(session: &Session<'_>, all: &[Answers<'_>], only_found: bool) -> Outcome {
    if all.is_empty() {
        return Ok(()); // nothing was searched: no count is not a count of zero
    }
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::whole("PID"),
        Column::wrapped("COMMAND"),
        if only_found { Column::whole("MATCHES") } else { Column::whole("MATCHES").always() },
    ]);
    for answers in all {
        for (pid, count) in answers.counts() {
            if only_found && count.unwrap_or(0) == 0 {
                continue;
            }
            table.row([
                if several || only_found {
                    Cell::evidence(answers.checkpoint.full_name())
                } else {
                    Cell::empty()
                },
                Cell::own(pid),
                answers.command(pid).map_or_else(Cell::empty, Cell::evidence),
                if only_found { Cell::empty() } else { count.map_or_else(Cell::empty, Cell::own) },
            ]);
        }
    }
    if only_found {
        return if table.is_empty() { Ok(()) } else { Ok(session.ui.table(&table)?) };
    }
    session.ui.table(&table)?;
    let total: usize = all.iter().map(|answers| answers.matches.len()).sum();
    session.ui.note(Text::own(count_text(total as u64, "place in memory", "places in memory")));
    Ok(())
}
