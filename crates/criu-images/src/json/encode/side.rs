//! The side key as records by entry.

use super::parse::{Json, Object};
use super::value::whole_number;

impl<'j> Object<'j> {
    /// The list of a message's fields.
    pub fn fields(&self) -> Option<&[Json<'j>]> {
        match self.get("fields") {
            Some(Json::List(items)) => Some(items),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.get(key) {
            Some(Json::Number(text)) => u64::try_from(whole_number(text)?).ok(),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&[u8]> {
        match self.get(key) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// The whole side key; empty if the text has none.
#[derive(Debug, Default)]
pub(crate) struct Side<'t, 'j> {
    object: Option<&'t Object<'j>>,
    /// The records, ascending by entry.
    records: Vec<(u64, &'t Object<'j>)>,
}

impl<'t, 'j> Side<'t, 'j> {
    pub fn new(side: Option<&'t Json<'j>>) -> Self {
        let Some(Json::Object(object)) = side else { return Self::default() };
        Self { object: Some(object), records: records(object.get("entries"), "entry") }
    }

    /// The head word that the image had, if not the one of its kind.
    pub fn head(&self) -> Option<&[u8]> {
        self.object.and_then(|object| object.text("head"))
    }

    pub fn is_big_endian(&self) -> bool {
        self.object.and_then(|object| object.text("byte_order")) == Some(b"big")
    }

    /// What followed the last good entry of a damaged image, in base64.
    pub fn rest(&self) -> Option<&[u8]> {
        self.object.and_then(|object| object.text("rest"))
    }

    pub fn entry(&self, number: u64) -> EntryRecord<'t, 'j> {
        let object = find(&self.records, number);
        let messages = object.map(|object| records(object.get("messages"), "message")).unwrap_or_default();
        EntryRecord { object, messages }
    }
}

/// The record of one entry; empty for most.
#[derive(Debug)]
pub(crate) struct EntryRecord<'t, 'j> {
    object: Option<&'t Object<'j>>,
    messages: Vec<(u64, &'t Object<'j>)>,
}

impl<'t, 'j> EntryRecord<'t, 'j> {
    pub fn fields(&self) -> Option<&'t [Json<'j>]> {
        self.object.and_then(Object::fields)
    }

    pub fn padding(&self) -> Option<&'t Json<'j>> {
        self.object.and_then(|object| object.get("padding"))
    }

    pub fn message(&self, number: u64) -> Option<&'t Object<'j>> {
        find(&self.messages, number)
    }
}

fn records<'t, 'j>(list: Option<&'t Json<'j>>, key: &str) -> Vec<(u64, &'t Object<'j>)> {
    let Some(Json::List(list)) = list else { return Vec::new() };
    let record = |record: &'t Json<'j>| match record {
        Json::Object(object) => object.number(key).map(|number| (number, object)),
        _ => None,
    };
    let mut records: Vec<_> = list.iter().filter_map(record).collect();
    records.sort_by_key(|(number, _)| *number);
    records
}

fn find<'t, 'j>(records: &[(u64, &'t Object<'j>)], number: u64) -> Option<&'t Object<'j>> {
    let at = records.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    records.get(at).map(|(_, object)| *object)
}
