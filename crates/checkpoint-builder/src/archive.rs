//! The archive that a checkpoint comes in.

use std::io::{self, Read, Write};

use crate::checkpoint::Checkpoint;
use crate::engine::bundle;
use crate::packing::Packing;

/// Seconds since 1970-01-01 that all members bear: 2026-01-01 00:00:00 UTC.
const MODIFIED: u64 = 1_767_225_600;

/// How a checkpoint is laid out in a tar.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    checkpoint: &'a Checkpoint,
    directory: String,
    /// Where the link to the parent points; parents are in the archive where nothing is said.
    parent: Option<String>,
    pages_first: bool,
    has_bundle: bool,
}

impl<'a> Archive<'a> {
    /// As `podman container checkpoint --export` writes it: the engine's files, CRIU's images in `checkpoint/`, changed files.
    /// The dumps below it are in `pre/1`, `pre/2` and so on, the oldest first, as nobody's engine but many scripts leave them.
    pub fn podman(checkpoint: &'a Checkpoint) -> Self {
        Self { has_bundle: true, ..Self::bare(checkpoint) }
    }

    /// The same without the engine's files.
    pub fn bare(checkpoint: &'a Checkpoint) -> Self {
        Self {
            checkpoint,
            directory: "checkpoint".into(),
            parent: None,
            pages_first: false,
            has_bundle: false,
        }
    }

    /// The same with the images in a directory of this name.
    #[must_use]
    pub fn directory(mut self, name: &str) -> Self {
        name.clone_into(&mut self.directory);
        self
    }

    /// The same with a link to a parent that is not in this archive, as `podman container checkpoint --with-previous` leaves it.
    #[must_use]
    pub fn parent_elsewhere(mut self, target: &str) -> Self {
        self.parent = Some(target.to_owned());
        self
    }

    /// The same with the page images in front of all others, as no engine writes them.
    #[must_use]
    pub fn pages_first(mut self) -> Self {
        self.pages_first = true;
        self
    }

    /// Writes it as a plain tar; pages are made while they are written.
    ///
    /// # Errors
    /// What writing says.
    pub fn write<W: Write>(&self, out: W) -> io::Result<W> {
        let mut tar = tar::Builder::new(out);
        let files = if self.has_bundle { bundle(self.checkpoint) } else { Vec::new() };
        for (name, bytes) in files {
            append(&mut tar, name, bytes.len() as u64, bytes.as_slice())?;
        }
        self.append_dump(&mut tar, self.checkpoint, &self.directory, None)?;
        if self.has_bundle {
            let changes = changed_files()?;
            append(&mut tar, "rootfs-diff.tar", changes.len() as u64, changes.as_slice())?;
        }
        tar.into_inner()
    }

    /// Writes it packed.
    ///
    /// # Errors
    /// What writing says.
    pub fn write_packed<W: Write>(&self, packing: Packing, out: W) -> io::Result<W> {
        packing.around(out, |out| self.write(out).map(drop))
    }

    /// Writes a dump behind those below it. `number` is its own among those, from 1.
    fn append_dump<W: Write>(
        &self,
        tar: &mut tar::Builder<W>,
        dump: &Checkpoint,
        directory: &str,
        number: Option<usize>,
    ) -> io::Result<()> {
        let mut link = self.parent.clone();
        if let (Some(parent), None) = (&dump.parent, &self.parent) {
            let below = number.map_or_else(|| depth(parent), |number| number - 1);
            self.append_dump(tar, parent, &format!("pre/{below}"), Some(below))?;
            let up = "../".repeat(directory.split('/').count());
            link = Some(format!("{up}pre/{below}"));
        }
        let mut header = header(0, 0o700);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, format!("{directory}/"), io::empty())?;
        let mut images = dump.images();
        if self.pages_first {
            images.sort_by_key(|image| !image.name.starts_with("pages-"));
        }
        // The link stands where its name belongs among those of the images.
        let mut link = link.filter(|_| dump.parent.is_some() || number.is_none());
        for image in &images {
            if !self.pages_first && image.name.as_str() > "parent" {
                append_link(tar, &format!("{directory}/parent"), link.take())?;
            }
            append(tar, &format!("{directory}/{}", image.name), image.size(), image.reader())?;
        }
        append_link(tar, &format!("{directory}/parent"), link)
    }
}

/// How many dumps there are from this one down.
fn depth(dump: &Checkpoint) -> usize {
    1 + dump.parent.as_ref().map_or(0, |parent| depth(parent))
}

/// The archive of file system changes: one file.
fn changed_files() -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "var/log/worker.log", 8, b"started\n".as_slice())?;
    tar.into_inner()
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, size: u64, contents: impl Read) -> io::Result<()> {
    tar.append_data(&mut header(size, 0o600), name, contents)
}

fn append_link<W: Write>(tar: &mut tar::Builder<W>, name: &str, target: Option<String>) -> io::Result<()> {
    let Some(target) = target else { return Ok(()) };
    let mut header = header(0, 0o777);
    header.set_entry_type(tar::EntryType::Symlink);
    tar.append_link(&mut header, name, target)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(MODIFIED);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contents, Mapping, Pages, Process};

    fn made() -> Checkpoint {
        let pages = Pages::whole(2, Contents::given(*b"x"));
        Checkpoint::new().process(Process::new(1).mapping(Mapping::anonymous(0x1000, 0x2000).with(pages)))
    }

    /// Name and target of each link.
    fn links(archive: &Archive<'_>) -> Vec<(String, String)> {
        let bytes = archive.write(Vec::new()).unwrap();
        let mut tar = tar::Archive::new(bytes.as_slice());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries = tar.entries().unwrap().map(Result::unwrap);
        entries
            .filter_map(|entry| Some((text(&entry.path_bytes()), text(&entry.link_name_bytes()?))))
            .collect()
    }

    #[test]
    fn a_chain_links_each_dump_to_the_one_before() {
        let chain = made().on_top_of(made().on_top_of(made().as_pre_dump()).as_pre_dump());
        let link = |name: &str, target: &str| (name.to_owned(), target.to_owned());
        assert_eq!(
            links(&Archive::podman(&chain)),
            [link("pre/2/parent", "../../pre/1"), link("checkpoint/parent", "../pre/2")]
        );
        assert_eq!(
            links(&Archive::podman(&chain).parent_elsewhere("../pre-checkpoint")),
            [link("checkpoint/parent", "../pre-checkpoint")]
        );
    }

    #[test]
    fn a_pages_image_is_as_long_as_it_says() {
        for checkpoint in [made(), made().packed_blocks(1), made().page_size(65536)] {
            for image in checkpoint.images() {
                assert_eq!(image.bytes().unwrap().len() as u64, image.size(), "{}", image.name);
            }
        }
    }
}
