//! Open files: their lines in the tree, their objects in JSON.

use container_checkpoint::gap::Field;
use container_checkpoint::ids::FileId;
use container_checkpoint::model::{File, Model, Process};
use serde_json::{Map, Value};

use crate::present::json::text_fields;
use crate::present::text::Text;

/// One line or object: the descriptor as checkpointctl writes it, its number, type and text.
pub struct Shown {
    /// `REG 0`, `cwd`.
    pub descriptor: String,
    number: Option<u32>,
    kind: String,
    /// A path, `pipe[1234]`.
    pub text: Vec<u8>,
    /// Whether the file has been deleted.
    pub deleted: bool,
}

/// The open files of a process in the order of its table, then its directories; an absent table says why.
pub fn of_process(model: &Model, process: &Process) -> Result<Vec<Shown>, String> {
    let table = match &process.open_files {
        Field::Known(table) => table,
        Field::NotApplicable => return Ok(Vec::new()),
        missing => return Err(super::processes::absent(missing)),
    };
    let mut shown: Vec<Shown> = table
        .iter()
        .map(|open| {
            let file = model.files.of_descriptor(open);
            Shown {
                descriptor: format!("{} {}", open.file_type, open.fd),
                number: Some(open.fd),
                kind: open.file_type.to_string(),
                text: model.files.text(open),
                deleted: file.is_some_and(is_deleted),
            }
        })
        .collect();
    for (name, directory) in [("cwd", process.working_directory()), ("root", process.root_directory())] {
        if let Field::Known(id) = directory {
            shown.push(Shown {
                descriptor: name.into(),
                number: None,
                kind: String::new(),
                text: model.files.path_text(id).into_owned(),
                deleted: is_deleted_id(model, id),
            });
        }
    }
    Ok(shown)
}

fn is_deleted_id(model: &Model, id: FileId) -> bool {
    model.files.with_path(id).is_some_and(is_deleted)
}

fn is_deleted(file: &File) -> bool {
    file.regular().is_some_and(|regular| regular.deleted.is_some())
}

impl Shown {
    /// `[REG 0]  /dev/null`.
    pub fn line(&self) -> Text {
        let text = Text::own(format_args!("[{}]  ", self.descriptor)).and_evidence(&self.text);
        if self.deleted { text.and(" (deleted)") } else { text }
    }

    /// checkpointctl's object, and the descriptor's number.
    pub fn object(&self) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), self.kind.as_str().into());
        map.insert("fd".into(), self.descriptor.as_str().into());
        text_fields(&mut map, "path", &self.text);
        if let Some(number) = self.number {
            map.insert("number".into(), number.into());
        }
        if self.deleted {
            map.insert("deleted".into(), true.into());
        }
        Value::Object(map)
    }
}
