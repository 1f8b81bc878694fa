//! One JSON value as the value of a field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parse::Json;
use crate::json::{pretty, quoted};
use crate::schema::tables::{Field, Type};
use crate::walk::{Scalar, names_of};

/// A [`Scalar`] that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owned {
    Number(Scalar<'static>),
    Bytes(Vec<u8>),
}

impl Owned {
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Number(scalar) => *scalar,
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
        }
    }
}

/// Reads all values of a field that holds no messages. The error says what was expected.
pub(crate) fn scalars(field: &Field, values: &[Json<'_>], big_endian: bool) -> Result<Vec<Owned>, String> {
    let mut scalars = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Json::Text(text) if field.options.ipadd => {
                let words = std::str::from_utf8(text).ok().and_then(|text| pretty::words(text, big_endian));
                match words {
                    Some(words) => {
                        scalars
                            .extend(words.into_iter().map(|it| Owned::Number(Scalar::Unsigned(it.into()))));
                    }
                    None => scalars.push(scalar(field, value)?),
                }
            }
            value => scalars.push(scalar(field, value)?),
        }
    }
    Ok(scalars)
}

fn scalar(field: &Field, value: &Json<'_>) -> Result<Owned, String> {
    match (field.ty, value) {
        (Type::Bytes, Json::Text(text)) if field.options.text => Ok(Owned::Bytes(text.clone())),
        (Type::Bytes, Json::Text(text)) if field.options.conv.is_some() => {
            Ok(Owned::Bytes(quoted::decode(text)))
        }
        (Type::Bytes, Json::Text(text)) => base64(text).map(Owned::Bytes),
        (Type::Bytes, _) => Err("expected a string".to_owned()),
        (Type::Bool, Json::Bool(value)) => Ok(Owned::Number(Scalar::Bool(*value))),
        (Type::Bool, _) => Err("expected true or false".to_owned()),
        _ => integer(field, value).map(Owned::Number),
    }
}

fn integer(field: &Field, value: &Json<'_>) -> Result<Scalar<'static>, String> {
    let number = match value {
        Json::Number(text) => whole_number(text),
        Json::Bool(value) => Some(i128::from(*value)),
        Json::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| "expected a number".to_owned())?;
            let named = names_of(field).and_then(|names| names.number_of(text)).map(i128::from);
            named.or_else(|| pretty::number(field, text))
        }
        _ => None,
    };
    let number = number.ok_or_else(|| match value {
        Json::Text(text) => format!("{:?} is no value of it", String::from_utf8_lossy(text)),
        Json::Number(text) => format!("{text} is no whole number"),
        _ => "expected a number".to_owned(),
    })?;
    let out_of_range = |_| format!("{number} is out of range");
    Ok(match field.ty {
        Type::Int32 | Type::Sint32 => Scalar::Signed(i32::try_from(number).map_err(out_of_range)?.into()),
        Type::Int64 | Type::Sint64 => Scalar::Signed(i64::try_from(number).map_err(out_of_range)?),
        Type::Uint32 | Type::Fixed32 => Scalar::Unsigned(u32::try_from(number).map_err(out_of_range)?.into()),
        Type::Enum(_) => Scalar::Enum(i32::try_from(number).map_err(out_of_range)?),
        _ => Scalar::Unsigned(u64::try_from(number).map_err(out_of_range)?),
    })
}

/// Reads a JSON number that is whole, even if it is written with a fraction of zero or an exponent.
pub(crate) fn whole_number(text: &str) -> Option<i128> {
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    let number = text.parse::<f64>().ok()?;
    // Beyond 2^53 a float does not say which whole number is meant.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

/// Reads base64, with the line breaks that crit writes.
pub(crate) fn base64(text: &[u8]) -> Result<Vec<u8>, String> {
    if text.starts_with(b"... <") {
        return Err("the payload was left out (--nopl): this text cannot become an image".to_owned());
    }
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).map_err(|error| format!("no base64: {error}"))
}
