//! What stands in a raw image, as values that become JSON.

/// A value for the text of a raw image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number.
    Number(u64),
    /// A whole number that may be negative.
    Signed(i64),
    /// A whole number, such as an address: `"0x1000"` in the pretty form, a plain number otherwise.
    Hex(u64),
    /// True or false.
    Bool(bool),
    /// A text. Beside one that is not UTF-8, an object has its bytes under the key with `_bytes` at its end.
    Text(Vec<u8>),
    /// Bytes: base64 in lines, as crit writes it.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// Keys and values in the order in which they are written.
    Object(Object),
}

/// Keys and values in the order in which they are written.
pub type Object = Vec<(&'static str, Value)>;

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<&[u8]> for Value {
    fn from(text: &[u8]) -> Self {
        Self::Text(text.to_vec())
    }
}
