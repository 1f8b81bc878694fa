//! JSON text as tokens, skipped or built into trees: never deeper than a limit, never larger than the text.

use super::EncodeError;

/// How many objects and lists may stand inside each other: two for each of the levels that messages may have,
/// in the side key three, and some around them.
const MOST_LEVELS: usize = 400;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'j> {
    Null,
    Bool(bool),
    /// The number as it is written.
    Number(&'j str),
    /// A text. Bytes that are not UTF-8 come from `\udc80` to `\udcff`, as Python escapes them.
    Text(Vec<u8>),
    List(Vec<Json<'j>>),
    Object(Object<'j>),
}

/// The members of an object in the order of the text.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Object<'j>(pub Vec<(Vec<u8>, Json<'j>)>);

impl<'j> Object<'j> {
    /// Returns the value of a key; of several, the last, as Python does.
    pub fn get(&self, key: &str) -> Option<&Json<'j>> {
        self.0.iter().rfind(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
    }
}

/// A position in a text.
#[derive(Debug, Clone)]
pub(crate) struct Parser<'j> {
    text: &'j [u8],
    at: usize,
}

enum Token<'j> {
    Open(u8),
    Close(u8),
    Comma,
    Colon,
    Value(Json<'j>),
}

impl<'j> Parser<'j> {
    /// Begins at the start, or behind the byte order mark that some editors write there.
    pub fn new(text: &'j [u8]) -> Self {
        let at = if text.starts_with("\u{feff}".as_bytes()) { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at }
    }

    /// Reads one mark, such as `{`.
    pub fn expect(&mut self, mark: u8) -> Result<(), EncodeError> {
        if self.take(mark) { Ok(()) } else { Err(self.error(format!("expected `{}`", char::from(mark)))) }
    }

    /// Reads one mark if it comes next.
    pub fn take(&mut self, mark: u8) -> bool {
        self.blanks();
        let found = self.text.get(self.at) == Some(&mark);
        self.at += usize::from(found);
        found
    }

    /// Reads a key and its colon.
    pub fn key(&mut self) -> Result<Vec<u8>, EncodeError> {
        self.expect(b'"')?;
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Checks that the text is over.
    pub fn end(&mut self) -> Result<(), EncodeError> {
        self.blanks();
        if self.at < self.text.len() {
            Err(self.error("something follows the end".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Reads a value without keeping it.
    pub fn skip(&mut self) -> Result<(), EncodeError> {
        self.value(false).map(drop)
    }

    /// Reads a value.
    pub fn tree(&mut self) -> Result<Json<'j>, EncodeError> {
        self.value(true)
    }

    fn value(&mut self, keep: bool) -> Result<Json<'j>, EncodeError> {
        // What is open: containers, each with the key that its next value belongs to.
        let mut open: Vec<(Json<'j>, Vec<u8>)> = Vec::new();
        loop {
            let mut done = match self.token()? {
                Token::Open(mark) => {
                    if open.len() >= MOST_LEVELS {
                        return Err(self.error(format!("more than {MOST_LEVELS} levels")));
                    }
                    let container =
                        if mark == b'{' { Json::Object(Object::default()) } else { Json::List(Vec::new()) };
                    open.push((container, Vec::new()));
                    if !self.take(if mark == b'{' { b'}' } else { b']' }) {
                        self.member_key(&mut open)?;
                        continue;
                    }
                    open.pop().map(|(value, _)| value).unwrap_or(Json::Null)
                }
                Token::Value(value) => value,
                _ => return Err(self.error("expected a value".to_owned())),
            };
            // Put what is done into what is open, and close what ends with it.
            loop {
                let Some((container, key)) = open.last_mut() else { return Ok(done) };
                match container {
                    Json::List(values) if keep => values.push(done),
                    Json::Object(members) if keep => members.0.push((std::mem::take(key), done)),
                    _ => {}
                }
                match (self.token()?, &container) {
                    (Token::Comma, _) => break self.member_key(&mut open)?,
                    (Token::Close(b'}'), Json::Object(_)) | (Token::Close(b']'), Json::List(_)) => {
                        done = open.pop().map(|(value, _)| value).unwrap_or(Json::Null);
                    }
                    _ => return Err(self.error("expected `,` or the end of what is open".to_owned())),
                }
            }
        }
    }

    /// Reads the key of the next member if an object is open.
    fn member_key(&mut self, open: &mut [(Json<'j>, Vec<u8>)]) -> Result<(), EncodeError> {
        if let Some((Json::Object(_), key)) = open.last_mut() {
            *key = self.key()?;
        }
        Ok(())
    }

    fn token(&mut self) -> Result<Token<'j>, EncodeError> {
        self.blanks();
        let Some(&byte) = self.text.get(self.at) else {
            return Err(self.error("the text ends here".to_owned()));
        };
        let rest = &self.text[self.at..];
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(Token::Value(value));
            }
        }
        if byte == b'-' || byte.is_ascii_digit() {
            let is_part =
                |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
            let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
            self.at += length;
            let number = std::str::from_utf8(&rest[..length]).unwrap_or_default();
            return Ok(Token::Value(Json::Number(number)));
        }
        self.at += 1;
        match byte {
            b'{' | b'[' => Ok(Token::Open(byte)),
            b'}' | b']' => Ok(Token::Close(byte)),
            b',' => Ok(Token::Comma),
            b':' => Ok(Token::Colon),
            b'"' => Ok(Token::Value(Json::Text(self.string()?))),
            _ => {
                self.at -= 1;
                Err(self.error("no JSON starts like that".to_owned()))
            }
        }
    }

    /// Reads a string behind its opening quote.
    fn string(&mut self) -> Result<Vec<u8>, EncodeError> {
        let mut text = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain =
                rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            let (plain, rest) = rest.split_at(plain);
            if std::str::from_utf8(plain).is_err() {
                return Err(self.error("a string that is not UTF-8".to_owned()));
            }
            text.extend_from_slice(plain);
            self.at += plain.len();
            match rest {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(text);
                }
                [b'\\', b'u', ..] => self.unicode(&mut text)?,
                [b'\\', letter, ..] => {
                    text.push(match letter {
                        b'"' | b'\\' | b'/' => *letter,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return Err(self.error("no such escape".to_owned())),
                    });
                    self.at += 2;
                }
                [] | [b'\\'] => return Err(self.error("a string without an end".to_owned())),
                _ => return Err(self.error("a control character in a string".to_owned())),
            }
        }
    }

    /// Reads `\uXXXX`, with its second half if it is a surrogate.
    fn unicode(&mut self, text: &mut Vec<u8>) -> Result<(), EncodeError> {
        let first = self.unit()?;
        let unit = match first {
            0xdc80..=0xdcff => {
                text.push(first as u8);
                return Ok(());
            }
            0xd800..0xdc00 => {
                let second = self.unit()?;
                char::decode_utf16([first, second]).next().and_then(Result::ok)
            }
            unit => char::from_u32(unit.into()),
        };
        let character = unit.ok_or_else(|| self.error("half of a surrogate pair".to_owned()))?;
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unit(&mut self) -> Result<u16, EncodeError> {
        let digits = self.text.get(self.at..self.at + 6).and_then(|escape| escape.strip_prefix(b"\\u"));
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.error("expected \\u and four digits".to_owned()))?;
        self.at += 6;
        Ok(unit)
    }

    fn blanks(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at +=
            rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len());
    }

    fn error(&self, what: String) -> EncodeError {
        let line =
            1 + self.text[..self.at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count();
        EncodeError::Json { line: line as u64, offset: self.at as u64, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Json<'_>, EncodeError> {
        let mut parser = Parser::new(text.as_bytes());
        let tree = parser.tree()?;
        parser.end().map(|()| tree)
    }

    #[test]
    fn values_of_all_sorts() {
        let object =
            tree(r#" {"a": [1, -2.5e3, "x\n\u00e9\ud83d\ude00", true, null, {}], "a": []} "#).unwrap();
        let Json::Object(members) = &object else { panic!("{object:?}") };
        assert_eq!(members.get("a"), Some(&Json::List(Vec::new())));
        let Json::List(values) = &members.0[0].1 else { panic!() };
        assert_eq!(values[1], Json::Number("-2.5e3"));
        assert_eq!(values[2], Json::Text("x\né😀".as_bytes().to_vec()));
        assert_eq!(values[5], Json::Object(Object::default()));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(tree("\u{feff}{}").unwrap(), Json::Object(Object::default()));
        assert!(tree("\u{feff}\u{feff}{}").is_err());
    }

    #[test]
    fn lone_low_surrogates_are_pythons_escaped_bytes() {
        assert_eq!(tree(r#""\udcff\udce9""#).unwrap(), Json::Text(vec![0xff, 0xe9]));
        assert!(tree(r#""\ud800""#).is_err());
        assert!(tree(r#""\udc00""#).is_err());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":}",
            "{1:2}",
            "\"a",
            "\"\\x\"",
            "[}",
            "{]",
            "nul",
            "\"\n\"",
            "[1] 2",
            ":",
            "{\"a\":1,}",
            "\"\\u12\"",
            "\"\\u+123\"",
        ] {
            assert!(tree(text).is_err(), "{text}");
        }
        assert!(tree(&"[".repeat(1_000_000)).is_err());
        assert!(Parser::new("[".repeat(1_000_000).as_bytes()).skip().is_err());
    }
}
