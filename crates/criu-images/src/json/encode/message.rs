//! One message from an object, in canonical form.

use super::parse::{Json, Object};
use super::value::{Owned, scalars};
use crate::json::decode::extra::EXTRA;
use crate::json::writer::{MessageWriter, is_packed};
use crate::required::MOST_LEVELS;
use crate::schema::tables::{Field, Label, Message, Type};

/// How many ignored keys are told by name.
const MOST_IGNORED: usize = 20;

/// Makes messages of one text.
#[derive(Debug)]
pub(crate) struct Builder {
    pub big_endian: bool,
    /// Keys that the schema does not have, as `entries[3].tc.key`.
    pub ignored: Vec<String>,
}

/// Why an object is no message: where, as a path of keys, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub path: String,
    pub why: String,
}

impl Misfit {
    pub fn new(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }
}

/// The values of one field.
#[derive(Debug)]
pub(crate) enum Values<'t, 'j> {
    Scalars(Vec<Owned>),
    Messages(Vec<&'t Object<'j>>),
}

/// A message that is being written: the values of its fields, and which comes next.
struct Frame<'t, 'j> {
    schema: &'static Message,
    path: String,
    values: Vec<(usize, Values<'t, 'j>)>,
    field: usize,
    message: usize,
}

impl Builder {
    /// Appends the canonical form of an object that stands at `path`.
    pub fn write(
        &mut self,
        schema: &'static Message,
        object: &Object<'_>,
        path: &str,
        out: &mut MessageWriter,
    ) -> Result<(), Misfit> {
        let first = self.open(schema, object, path.to_owned())?;
        let mut frames = vec![first];
        while let Some(frame) = frames.last_mut() {
            let Some((index, values)) = frame.values.get(frame.field) else {
                frames.pop();
                if !frames.is_empty() {
                    out.end();
                }
                continue;
            };
            let field = &frame.schema.fields[*index];
            let next = match values {
                Values::Scalars(values) => {
                    write_scalars(field, values, out);
                    None
                }
                Values::Messages(objects) => objects.get(frame.message).copied(),
            };
            let (Some(object), Type::Message(inner)) = (next, field.ty) else {
                frame.field += 1;
                frame.message = 0;
                continue;
            };
            let path = member_path(&frame.path, field, frame.message);
            frame.message += 1;
            if frames.len() >= MOST_LEVELS {
                return Err(Misfit {
                    path,
                    why: format!("more than {MOST_LEVELS} messages inside each other"),
                });
            }
            out.begin(field.number);
            frames.push(self.open(inner, object, path)?);
        }
        Ok(())
    }

    fn open<'t, 'j>(
        &mut self,
        schema: &'static Message,
        object: &'t Object<'j>,
        path: String,
    ) -> Result<Frame<'t, 'j>, Misfit> {
        let values = self.values(schema, object, &path)?;
        Ok(Frame { schema, path, values, field: 0, message: 0 })
    }

    /// Reads the values of all fields that an object has, by place in the schema.
    pub fn values<'t, 'j>(
        &mut self,
        schema: &'static Message,
        object: &'t Object<'j>,
        path: &str,
    ) -> Result<Vec<(usize, Values<'t, 'j>)>, Misfit> {
        self.note_ignored(schema, object, path);
        let mut all = Vec::new();
        for (index, field) in schema.fields.iter().enumerate() {
            let Some(value) = object.get(field.name) else { continue };
            let path = || format!("{path}.{}", field.name);
            let values = match (field.label, value) {
                (Label::Repeated, Json::List(values)) => values.as_slice(),
                (Label::Repeated, _) => return Err(Misfit::new(&path(), "expected a list")),
                (_, value) => std::slice::from_ref(value),
            };
            let values = match field.ty {
                Type::Message(_) => Values::Messages(
                    values
                        .iter()
                        .map(|value| match value {
                            Json::Object(object) => Ok(object),
                            _ => Err(Misfit::new(&path(), "expected an object")),
                        })
                        .collect::<Result<_, _>>()?,
                ),
                _ => Values::Scalars(
                    scalars(field, values, self.big_endian).map_err(|why| Misfit { path: path(), why })?,
                ),
            };
            all.push((index, values));
        }
        Ok(all)
    }

    fn note_ignored(&mut self, schema: &Message, object: &Object<'_>, path: &str) {
        // Only an entry has a payload; for a message inside one, "extra" is a key like any other.
        let may_have_extra = path.ends_with(']') && !path.contains('.');
        for (key, _) in &object.0 {
            if self.ignored.len() >= MOST_IGNORED {
                return;
            }
            let known = schema.fields.iter().any(|field| field.name.as_bytes() == key);
            let is_extra = may_have_extra && key == EXTRA.as_bytes();
            if !known && !is_extra {
                self.ignored.push(format!("{path}.{}", String::from_utf8_lossy(key)));
            }
        }
    }
}

/// Appends the canonical form of a field's scalars.
pub(crate) fn write_scalars(field: &Field, values: &[Owned], out: &mut MessageWriter) {
    let in_one = is_packed(field) && !values.is_empty();
    if in_one {
        out.begin(field.number);
    }
    for value in values {
        out.scalar(field, value.scalar());
    }
    if in_one {
        out.end();
    }
}

/// The path of a message inside a message.
pub(crate) fn member_path(path: &str, field: &Field, number: usize) -> String {
    match field.label {
        Label::Repeated => format!("{path}.{}[{number}]", field.name),
        _ => format!("{path}.{}", field.name),
    }
}
