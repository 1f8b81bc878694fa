//! `pages-N.img`: which pages it holds, as the pagemap beside it says.

use anyhow::Result;
use criu_images::kinds::by_name;
use criu_images::pagemap::{Form, Pagemap};
use criu_images::raw::{Object, RawImage, Value};

use super::page_size;
use crate::present::text::Text;
use crate::session::Session;

/// A pages file and the images beside it that say what it holds. The pages themselves are not read.
pub struct Pages {
    /// N of `pages-N.img`.
    pub id: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Names and contents of the pagemaps and `mm` images beside it.
    pub beside: Vec<(String, Vec<u8>)>,
}

/// Describes a pages file. What does not fit is told.
pub fn describe<'a>(session: &Session<'_>, pages: &Pages, shown: Text) -> Result<RawImage<'a>> {
    let kind = by_name("PAGES").ok_or_else(|| anyhow::anyhow!("pages files are unknown"))?;
    let mut image = RawImage::new(kind);
    image.facts.push(("size", Value::Number(pages.size)));
    let Some((name, pagemap)) = pagemap_of(pages) else {
        session.ui.note(shown.and(": no pagemap beside it names this file, so that only its size is known"));
        return Ok(image);
    };
    image.facts.push(("pagemap", Value::from(name)));
    if let Some(damage) = &pagemap.damage {
        session.ui.gap("pages from the damage on", Text::evidence(name), Text::own(damage));
    }
    let Some(page_size) = page_size(pages, &pagemap, name) else {
        session.ui.gap("where pages are", shown, "no image beside it says how large a page is");
        return Ok(image);
    };
    image.facts.push(("page_size", Value::Number(page_size)));
    let mut pieces = pagemap.pieces(page_size);
    for piece in pieces.by_ref() {
        match piece {
            Ok(piece) => {
                image.entries.push(Value::Object(entry(piece.vaddr, piece.length / page_size, &piece)))
            }
            Err(error) => {
                session.ui.gap("pages from here on", Text::evidence(name), Text::own(error));
                return Ok(image);
            }
        }
    }
    if pagemap.damage.is_none() && pieces.offset() != pages.size {
        let why = format!("it has {} bytes, but {name} says {}", pages.size, pieces.offset());
        session.ui.gap("some pages", shown, Text::evidence(why));
    }
    Ok(image)
}

fn entry(vaddr: u64, count: u64, piece: &criu_images::pagemap::Piece) -> Object {
    let form = match piece.form {
        Form::Plain => "plain",
        Form::Zero => "zero",
        Form::Lz4 => "lz4",
        _ => "other",
    };
    vec![
        ("vaddr", Value::Hex(vaddr)),
        ("pages", Value::Number(count)),
        ("offset", Value::Number(piece.offset)),
        ("stored", Value::Number(piece.stored)),
        ("form", Value::from(form)),
    ]
}

/// The pagemap that names the pages file. Of several, as an older dump leaves them behind, one that fits its size.
fn pagemap_of<'p>(pages: &'p Pages) -> Option<(&'p str, Pagemap)> {
    let pagemaps = pages.beside.iter().filter(|(name, _)| name.starts_with("pagemap-"));
    let read = |(name, bytes): &'p (String, Vec<u8>)| {
        Pagemap::parse(bytes).ok().map(|pagemap| (name.as_str(), pagemap))
    };
    let mut found: Vec<_> =
        pagemaps.filter_map(read).filter(|(_, pagemap)| u64::from(pagemap.pages_id) == pages.id).collect();
    let fits = |(_, pagemap): &(_, Pagemap)| page_size::fitting(pagemap, pages.size).is_some();
    let best = found.iter().position(fits).unwrap_or(0);
    (best < found.len()).then(|| found.swap_remove(best))
}

/// The page size: what the process's own auxiliary vector says, any other of the dump, or what the sizes agree on.
fn page_size(pages: &Pages, pagemap: &Pagemap, name: &str) -> Option<u64> {
    let own = format!("mm-{}", name.trim_start_matches("pagemap-"));
    let all = pages.beside.iter().filter(|(name, _)| name.starts_with("mm-"));
    let mut candidates: Vec<_> = all.collect();
    candidates.sort_by_key(|(name, _)| *name != own);
    let said = candidates.into_iter().find_map(|(_, mm)| page_size::said_by(mm));
    said.or_else(|| page_size::fitting(pagemap, pages.size))
}
