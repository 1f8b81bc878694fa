//! What an answer has to admit: gaps and notes, and fields that have no value.

use std::fmt;

use serde::Serialize;

/// Something that the evidence names and does not yield: a missing member, a cut, an unreadable entry, an absent parent.
///
/// A gap never stops an answer; it stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// What is missing, in the field's words: `process tree`, `pages of pid 6`.
    pub what: String,
    /// Where: member, entry, byte offset or address range.
    #[serde(rename = "where")]
    pub place: String,
    /// Why it could not be had.
    pub why: String,
}

impl Gap {
    /// Makes a gap from its three parts.
    pub fn new(what: impl Into<String>, place: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), place: place.into(), why: why.to_string() }
    }
}

/// Something an analyst should know that is not a gap: metadata that disagrees with itself, left-over images, a stale parent link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// What was noticed.
    pub what: String,
    /// Where: member, key.
    #[serde(rename = "where")]
    pub place: String,
    /// What it may mean.
    pub why: String,
}

impl Note {
    /// Makes a note from its three parts.
    pub fn new(what: impl Into<String>, place: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), place: place.into(), why: why.to_string() }
    }
}

/// The gaps and notes that gather while something is read.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
}

impl Findings {
    /// Adds a gap.
    pub fn gap(&mut self, what: impl Into<String>, place: impl Into<String>, why: impl fmt::Display) {
        self.gaps.push(Gap::new(what, place, why));
    }

    /// Adds a note.
    pub fn note(&mut self, what: impl Into<String>, place: impl Into<String>, why: impl fmt::Display) {
        self.notes.push(Note::new(what, place, why));
    }

    /// Takes over what other findings hold.
    pub fn extend(&mut self, other: Findings) {
        self.gaps.extend(other.gaps);
        self.notes.extend(other.notes);
    }

    /// Sorts and drops what was found twice, so that the same evidence gives the same text.
    pub fn settle(&mut self) {
        self.gaps.sort();
        self.gaps.dedup();
        self.notes.sort();
        self.notes.dedup();
    }
}

/// A value of the evidence, or the reason why there is none. Never an empty string or a zero in its place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// The evidence says so.
    Known(T),
    /// The writer of the evidence does not record it.
    #[default]
    NotCaptured,
    /// It is recorded, but its bytes can't be had (missing member, cut, parent not given).
    Unreadable(String),
    /// Its bytes are there and make no sense.
    Unparsable(String),
    /// The question does not arise (a zombie has no command line).
    NotApplicable,
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Turns the value into another, keeping the reason if there is none.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Known(value) => Field::Known(f(value)),
            Self::NotCaptured => Field::NotCaptured,
            Self::Unreadable(why) => Field::Unreadable(why),
            Self::Unparsable(why) => Field::Unparsable(why),
            Self::NotApplicable => Field::NotApplicable,
        }
    }

    /// Why there is no value, in one or two words for a table; `None` when there is one.
    pub fn absence(&self) -> Option<&'static str> {
        match self {
            Self::Known(_) => None,
            Self::NotCaptured => Some("not captured"),
            Self::Unreadable(_) => Some("unreadable"),
            Self::Unparsable(_) => Some("unparsable"),
            Self::NotApplicable => Some("not applicable"),
        }
    }
}

impl<T> From<Option<T>> for Field<T> {
    /// Absent means that the writer did not record it.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::NotCaptured, Self::Known)
    }
}
