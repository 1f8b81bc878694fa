//! What stands around the memory of a core: headers before it, notes behind it. Where everything stands is known before any of it is written, so that
//! a core can go into a pipe.

use std::collections::BTreeSet;
use std::io::{self, Write};

use container_checkpoint::model::Model;

use super::arch::Restart;
use super::elf::Headers;
use super::layout::{self, Layout};
use super::notes::{self, Facts};
use super::peeked::Peeked;
use super::source::Source;
use super::subject::Subject;
use super::{Options, Written};

/// The places of headers and notes in a core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    machine: &'static super::arch::Machine,
    physical: bool,
    /// Offset and length of the notes, in bytes.
    pub(super) notes: (u64, u64),
    /// Whether the program headers stand before memory; else there was no room for all, and they are behind the notes.
    has_room: bool,
    programs_at: u64,
    section_at: u64,
    /// Length of the core, in bytes.
    pub(super) len: u64,
    unnamed_mappings: usize,
}

impl Frame {
    /// Works out the places. Fails when a note is too long.
    pub(super) fn new(
        subject: &Subject<'_>,
        model: &Model,
        layout: &Layout,
        options: &Options,
    ) -> io::Result<Self> {
        // The length of the notes does not depend on what memory holds.
        let mut length = Length(0);
        let peeked = Peeked::of(subject);
        let facts = Facts::new(subject, model, layout, &peeked, &[], options);
        let unnamed_mappings = notes::write(&mut length, facts)?;
        let class = subject.machine.class;
        let notes = (layout.memory_end.next_multiple_of(4), length.0);
        // Memory that did not come splits segments, and there may be more program headers than was thought.
        let headers_len = class.headers_len(layout.segments.len());
        let has_room = headers_len <= layout.memory_at;
        let behind = (notes.0 + notes.1).next_multiple_of(8);
        let (programs_at, programs_end) = match has_room {
            true => (class.programs_at(), notes.0 + notes.1),
            false => (behind, behind + headers_len - class.programs_at()),
        };
        let (machine, physical) = (subject.machine, options.physical);
        let section_at = programs_end.next_multiple_of(8);
        let mut frame = Self {
            machine,
            physical,
            notes,
            has_room,
            programs_at,
            section_at,
            len: programs_end,
            unnamed_mappings,
        };
        let section_len = frame.headers(layout).section_len();
        if section_len > 0 {
            frame.len = section_at + section_len;
        }
        Ok(frame)
    }

    fn headers<'a>(&self, layout: &'a Layout) -> Headers<'a> {
        Headers {
            machine: self.machine,
            page: layout.page,
            segments: &layout.segments,
            physical: self.physical,
            notes: self.notes,
            programs_at: self.programs_at,
            section_at: self.section_at,
        }
    }

    /// Writes what stands before memory.
    pub(super) fn write_head(&self, out: &mut dyn Write, layout: &Layout) -> io::Result<()> {
        let headers = self.headers(layout);
        headers.write_file_header(out)?;
        if self.has_room { headers.write_programs(out) } else { Ok(()) }
    }

    /// The length of that.
    pub(super) fn head_len(&self, layout: &Layout) -> u64 {
        let class = self.machine.class;
        if self.has_room { class.headers_len(layout.segments.len()) } else { class.programs_at() }
    }

    /// Where the notes end, in bytes.
    pub(super) fn behind_notes(&self) -> u64 {
        self.notes.0 + self.notes.1
    }

    /// Writes what stands behind the notes.
    pub(super) fn write_tail(&self, out: &mut dyn Write, layout: &Layout) -> io::Result<()> {
        let headers = self.headers(layout);
        let mut at = self.behind_notes();
        let pad = |out: &mut dyn Write, at: u64, to: u64| out.write_all(&[0; 8][..(to - at) as usize]);
        if !self.has_room {
            pad(out, at, self.programs_at)?;
            headers.write_programs(out)?;
            at = self.programs_at + self.machine.class.headers_len(layout.segments.len())
                - self.machine.class.programs_at();
        }
        if headers.needs_section() {
            pad(out, at, self.section_at)?;
            headers.write_section(out)?;
        }
        Ok(())
    }

    /// What is to be said of the core.
    pub(super) fn written(
        &self,
        subject: &Subject<'_>,
        layout: &Layout,
        restarts: Vec<Restart>,
        options: &Options,
    ) -> Written {
        let pid = subject.process.pid;
        let mappings = subject.map.mappings.iter();
        let private = mappings.filter(|mapping| layout::is_private_to_program(mapping));
        Written {
            pid,
            path: options.path(pid),
            bytes: self.len,
            machine: subject.machine.name,
            script: None,
            executable: None,
            libraries: BTreeSet::new(),
            threads: subject.threads.len(),
            threads_without_registers: subject.without_registers.clone(),
            absent: layout.absent.clone(),
            left_to_files: layout.left_out(Source::File),
            filled: layout.fillings.iter().map(|filling| filling.len).sum(),
            not_captured: layout.left_out(Source::NotCaptured),
            auxv_was_cut: !subject.map.auxv.complete,
            unnamed_mappings: self.unnamed_mappings,
            restarts_taken_back: options.undo_restart && !restarts.is_empty(),
            restarts,
            dontdump_left_out: options.honour_dontdump,
            dontdump: private.fold(0, |sum, mapping| sum.saturating_add(mapping.len())),
        }
    }
}

/// Counts what is written.
struct Length(u64);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
