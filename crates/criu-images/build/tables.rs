//! Writes the schema as Rust statics: every message with its fields, every enum with its values.

use std::error::Error;
use std::fmt::Write;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, Value,
};

/// The presence check keeps one bit a field of a message.
const MOST_FIELDS: usize = 64;

/// Returns the text of two modules, `messages` and `enums`, and the `Entry` impls that tie types to tables.
pub fn generate(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let criu =
        pool.get_extension_by_name("criu").ok_or("opts.proto does not extend FieldOptions by `criu`")?;
    let messages: Vec<_> = pool.all_messages().filter(is_image_schema).collect();
    let enums: Vec<_> =
        pool.all_enums().filter(|item| !item.full_name().starts_with("google.protobuf.")).collect();

    let mut text = String::new();
    text.push_str("/// Every message of the schema, by its name in upper case.\npub mod messages {\n");
    text.push_str("use super::enums;\nuse super::tables::{Field, Label, Message, Options, Type};\n");
    for message in &messages {
        write_message(&mut text, message, &criu)?;
    }
    let all: Vec<_> =
        messages.iter().map(|message| format!("&{}", static_name(message.full_name()))).collect();
    writeln!(text, "/// All messages, sorted by file and place there.")?;
    writeln!(text, "pub static ALL: &[&Message] = &[{}];\n}}", all.join(", "))?;

    text.push_str("/// Every enum of the schema, by its full name in upper case.\npub mod enums {\n");
    text.push_str("use super::tables::Enum;\n");
    for item in &enums {
        write_enum(&mut text, item)?;
    }
    text.push_str("}\n");
    for message in &messages {
        writeln!(
            text,
            "impl Entry for types::{} {{ const MESSAGE: &'static tables::Message = &messages::{}; }}",
            type_name(message.name()),
            static_name(message.full_name())
        )?;
    }
    Ok(text)
}

fn is_image_schema(message: &MessageDescriptor) -> bool {
    !message.full_name().starts_with("google.protobuf.") && message.name() != "CRIU_Opts"
}

fn write_message(
    text: &mut String,
    message: &MessageDescriptor,
    criu: &ExtensionDescriptor,
) -> Result<(), Box<dyn Error>> {
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    if fields.len() > MOST_FIELDS {
        return Err(format!("{} has more than {MOST_FIELDS} fields", message.name()).into());
    }
    writeln!(text, "/// `{}` of `{}`.", message.full_name(), message.parent_file().name())?;
    writeln!(text, "pub static {}: Message = Message {{", static_name(message.full_name()))?;
    writeln!(text, "name: {:?}, fields: &[", message.full_name())?;
    let mut required = 0u64;
    for (index, field) in fields.iter().enumerate() {
        let label = match field.cardinality() {
            Cardinality::Required => "Required",
            Cardinality::Optional => "Optional",
            Cardinality::Repeated => "Repeated",
        };
        if field.cardinality() == Cardinality::Required {
            required |= 1 << index;
        }
        writeln!(
            text,
            "Field {{ number: {}, name: {:?}, label: Label::{label}, ty: {}, packed: {}, options: {} }},",
            field.number(),
            field.name(),
            type_value(&field.kind())?,
            field.is_packed(),
            options_value(field, criu)?
        )?;
    }
    writeln!(text, "], required: {required:#x} }};")?;
    Ok(())
}

fn write_enum(text: &mut String, item: &EnumDescriptor) -> Result<(), Box<dyn Error>> {
    writeln!(text, "/// `{}` of `{}`.", item.full_name(), item.parent_file().name())?;
    write!(
        text,
        "pub static {}: Enum = Enum {{ name: {:?}, values: &[",
        static_name(item.full_name()),
        item.full_name()
    )?;
    for value in item.values() {
        write!(text, "({}, {:?}), ", value.number(), value.name())?;
    }
    text.push_str("] };\n");
    Ok(())
}

fn type_value(kind: &Kind) -> Result<String, Box<dyn Error>> {
    Ok(match kind {
        Kind::Int32 => "Type::Int32".to_owned(),
        Kind::Int64 => "Type::Int64".to_owned(),
        Kind::Uint32 => "Type::Uint32".to_owned(),
        Kind::Uint64 => "Type::Uint64".to_owned(),
        Kind::Sint32 => "Type::Sint32".to_owned(),
        Kind::Sint64 => "Type::Sint64".to_owned(),
        Kind::Fixed32 => "Type::Fixed32".to_owned(),
        Kind::Fixed64 => "Type::Fixed64".to_owned(),
        Kind::Bool => "Type::Bool".to_owned(),
        Kind::Bytes => "Type::Bytes".to_owned(),
        Kind::Enum(item) => format!("Type::Enum(&enums::{})", static_name(item.full_name())),
        Kind::Message(item) => format!("Type::Message(&{})", static_name(item.full_name())),
        other => return Err(format!("no image of CRIU has fields of type {other:?}").into()),
    })
}

fn options_value(field: &FieldDescriptor, criu: &ExtensionDescriptor) -> Result<String, Box<dyn Error>> {
    let options = field.options();
    let value = options.get_extension(criu);
    let criu = value.as_message().ok_or("the extension `criu` is no message")?;
    Ok(format!(
        "Options {{ hex: {}, ipadd: {}, flags: {:?}, dev: {}, odev: {}, dict: {:?}, conv: {:?}, text: {} }}",
        flag(criu, "hex"),
        flag(criu, "ipadd"),
        word(criu, "flags"),
        flag(criu, "dev"),
        flag(criu, "odev"),
        word(criu, "dict"),
        word(criu, "conv"),
        flag(criu, "text")
    ))
}

fn flag(options: &DynamicMessage, name: &str) -> bool {
    options.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn word(options: &DynamicMessage, name: &str) -> Option<String> {
    if !options.has_field_by_name(name) {
        return None;
    }
    options.get_field_by_name(name).as_deref().and_then(Value::as_str).map(str::to_owned)
}

fn static_name(full_name: &str) -> String {
    full_name.replace('.', "_").to_uppercase()
}

/// The name prost gives to the type of a message.
fn type_name(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect::<String>())
                .unwrap_or_default()
        })
        .collect()
}
