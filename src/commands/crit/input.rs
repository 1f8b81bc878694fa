//! Where crit's images come from: a file, standard input, or a member of evidence.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};

use anyhow::{Context as _, Result};
use container_checkpoint::case::Case;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::naming::Locator;

use crate::session::Session;

/// An image's bytes, and the base name that tells its kind; none for standard input.
pub struct Input {
    /// The base name of the file or member.
    pub name: Option<Vec<u8>>,
    /// The whole image.
    pub bytes: Vec<u8>,
}

/// Reads standard input.
pub fn standard_input() -> Result<Input> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(Input { name: None, bytes })
}

/// Reads a file, or a member of evidence: `EVIDENCE//MEMBER`, or `EVIDENCE` and `member`.
pub fn named(session: &Session<'_>, file: &OsStr, member: Option<&str>) -> Result<Input> {
    let locator = Locator::parse(file);
    let words = member.map(str::to_owned).or_else(|| locator.selector.clone());
    let Some(words) = words else {
        let bytes = fs::read(&locator.path).with_context(|| format!("cannot read {}", locator.path.display()))?;
        let name = locator.path.file_name().map(|name| name.as_encoded_bytes().to_vec());
        return Ok(Input { name, bytes });
    };
    let mut case = Case::default();
    case.add(locator, &session.context, &mut Nobody);
    if let Some((_, error)) = case.failures.pop() {
        return Err(error.into());
    }
    let [opened] = case.evidences.as_slice() else { anyhow::bail!("no evidence was opened") };
    let id = opened.member(&words)?;
    let name = opened.evidence.index().member(id).base_name().to_vec();
    let bytes = opened.read_member(id, &session.context)?.into_owned();
    Ok(Input { name: Some(name), bytes })
}
