//! What `decode`, `show` and `info` are about: an image with entries, or a raw one.

use std::io::Write;

use anyhow::{Context as _, Result};
use criu_images::Image;
use criu_images::json::{self, DecodeError, Options};
use criu_images::raw::{self, RawImage};

use super::archive;
use super::input::{Contents, Input};
use super::pages;
use crate::present::text::Text;
use crate::session::Session;

/// An image to be shown.
pub struct Subject<'i> {
    input: &'i Input,
    form: Form<'i>,
}

enum Form<'i> {
    Entries(Image<'i>),
    Raw(RawImage<'i>),
}

impl<'i> Subject<'i> {
    /// Finds out what an input is. Its file name decides where its content is not enough.
    pub fn of(session: &Session<'_>, input: &'i Input) -> Result<Self> {
        let name = input.name.as_deref();
        let bytes = match &input.contents {
            Contents::Pages(pages) => {
                return Ok(Self { input, form: Form::Raw(pages::describe(session, pages, input.shown())?) });
            }
            Contents::Bytes(bytes) => bytes,
        };
        let raw = match raw::kind(name, bytes) {
            Some(kind) => match raw::read(kind, bytes) {
                None if kind.name.starts_with("TMPFS") => {
                    Some(archive::list(session, kind, bytes, &input.shown())?)
                }
                raw => raw,
            },
            None => None,
        };
        let form = match (raw, name) {
            (Some(raw), _) => Ok(Form::Raw(raw)),
            (None, Some(name)) => Image::parse_named(name, bytes).map(Form::Entries),
            (None, None) => Image::parse(bytes).map(Form::Entries),
        };
        Ok(Self { input, form: form.with_context(|| input.shown().to_string())? })
    }

    /// Writes it as JSON. Of a damaged image that is what is whole; the damage is told.
    pub fn write(&self, session: &Session<'_>, options: &Options, out: &mut dyn Write) -> Result<()> {
        let mut out = out;
        self.tell(
            session,
            match &self.form {
                Form::Entries(image) => json::decode(image, options, &mut out),
                Form::Raw(raw) => json::raw(raw, options, &mut out),
            },
        )
    }

    /// Writes its kind and how many entries it has, as [`Subject::write`].
    pub fn write_info(&self, session: &Session<'_>, out: &mut dyn Write) -> Result<()> {
        let mut out = out;
        let options = Options { salvage: true, ..Options::default() };
        self.tell(
            session,
            match &self.form {
                Form::Entries(image) => json::info(image, &options, &mut out),
                Form::Raw(raw) => json::raw_info(raw, &options, &mut out),
            },
        )
    }

    /// Makes damage a gap: with `salvage`, what is whole was written before it is told.
    fn tell(&self, session: &Session<'_>, result: Result<(), DecodeError>) -> Result<()> {
        match result {
            Err(DecodeError::Image(error)) => {
                session.ui.gap("entries from the damage on", self.input.shown(), Text::own(error));
                Ok(())
            }
            Err(DecodeError::Write(error)) => Err(error.into()),
            other => Ok(other?),
        }
    }
}
