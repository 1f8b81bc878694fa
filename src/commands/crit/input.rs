//! Where crit's images come from: a file, standard input, or a member of evidence.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use container_checkpoint::case::Case;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::naming::Locator;
use criu_images::kinds::by_file_name;

use super::pages::Pages;
use crate::present::text::Text;
use crate::session::Session;

/// An image, and the base name that tells its kind; none for standard input.
pub struct Input {
    /// The base name of the file or member.
    pub name: Option<Vec<u8>>,
    /// What is in it.
    pub contents: Contents,
    shown: OsString,
}

/// What is in an image.
pub enum Contents {
    /// The whole image.
    Bytes(Vec<u8>),
    /// Pages, which only need to be described.
    Pages(Pages),
}

impl Input {
    /// Reads standard input.
    pub fn standard() -> Result<Self> {
        let contents = Contents::Bytes(standard_input()?);
        Ok(Self { name: None, contents, shown: "standard input".into() })
    }

    /// Reads a file, or a member of evidence: `EVIDENCE//MEMBER`, or `EVIDENCE` and `member`.
    pub fn named(session: &Session<'_>, file: &OsStr, member: Option<&str>) -> Result<Self> {
        let shown = match member {
            Some(member) => [file, OsStr::new("//"), OsStr::new(member)].into_iter().collect(),
            None => file.to_owned(),
        };
        let locator = Locator::parse(file);
        let Some(words) = member.map(str::to_owned).or_else(|| locator.selector.clone()) else {
            let path = &locator.path;
            let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec());
            let contents = match name.as_deref().and_then(pages_id) {
                Some(id) => Contents::Pages(pages_beside(path, id)?),
                None => Contents::Bytes(
                    fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
                ),
            };
            return Ok(Self { name, contents, shown });
        };
        let mut case = Case::default();
        case.add(locator, &session.context, &mut Nobody);
        if let Some((_, error)) = case.failures.pop() {
            return Err(error.into());
        }
        let [opened] = case.evidences.as_slice() else { anyhow::bail!("no evidence was opened") };
        let id = opened.member(&words)?;
        let index = opened.evidence.index();
        let (member, layer) = (index.member(id), index.layer_of(id));
        let name = member.base_name().to_vec();
        let Some(pages) = pages_id(&name) else {
            let bytes = opened.read_member(id, &session.context)?.into_owned();
            return Ok(Self { name: Some(name), contents: Contents::Bytes(bytes), shown });
        };
        let beside = index.members().filter(|(_, other, sibling)| {
            *other == layer
                && sibling.directory() == member.directory()
                && describes_pages(sibling.base_name())
        });
        let beside = beside.filter_map(|(id, _, sibling)| {
            let name = String::from_utf8(sibling.base_name().to_vec()).ok()?;
            Some((name, index.contents(index.resolved(id))?.into_owned()))
        });
        let pages = Pages { id: pages, size: member.size, beside: beside.collect() };
        Ok(Self { name: Some(name), contents: Contents::Pages(pages), shown })
    }

    /// How the user named it.
    pub fn shown(&self) -> Text {
        Text::name(&self.shown)
    }
}

/// The number of a pages file of today, by its base name.
fn pages_id(name: &[u8]) -> Option<u64> {
    by_file_name(name).filter(|(kind, _)| kind.name == "PAGES").and_then(|(_, id)| id)
}

/// Whether an image says what is in pages files, or how large a page is.
fn describes_pages(name: &[u8]) -> bool {
    by_file_name(name).is_some_and(|(kind, _)| matches!(kind.name, "PAGEMAP" | "SHMEM_PAGEMAP" | "MM"))
}

/// A pages file in the file system, with the images in its directory.
fn pages_beside(path: &Path, id: u64) -> Result<Pages> {
    let cannot = || format!("cannot read {}", path.display());
    let size = fs::metadata(path).with_context(cannot)?.len();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let Some(name) = entry.file_name().into_string().ok().filter(|name| describes_pages(name.as_bytes()))
        else {
            continue;
        };
        // One that can't be read is as good as one that isn't there: the file is then described by its size.
        if let Ok(bytes) = fs::read(entry.path()) {
            beside.push((name, bytes));
        }
    }
    beside.sort();
    Ok(Pages { id, size, beside })
}

/// Reads all of standard input.
pub fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(bytes)
}

/// Reads all of a file or of a member of evidence.
pub fn bytes(session: &Session<'_>, file: &OsStr, member: Option<&str>) -> Result<Vec<u8>> {
    match Input::named(session, file, member)?.contents {
        Contents::Bytes(bytes) => Ok(bytes),
        Contents::Pages(_) => anyhow::bail!("{} holds pages, which are no text", Path::new(file).display()),
    }
}
