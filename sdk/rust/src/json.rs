//! A strict reader of JSON, for settings: no key twice, no lone surrogates, whole
//! numbers that every reader agrees on.
use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

pub(crate) enum Value {
    Null,
    Truth(bool),
    Number(i64),
    Fraction, // no setting takes one
    Text(String),
    List(Vec<Value>),
    Object(Vec<Member>),
}

pub(crate) struct Member {
    pub key: String,
    pub value: Value,
    pub asked: Cell<bool>,
}

impl Value {
    /// What it is, for the text of a fault.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Truth(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Fraction => "a fraction",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

const MAX_DEPTH: usize = 32;
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// What is wrong with a JSON text, and at which byte.
pub(crate) struct Fault {
    pub text: &'static str,
    pub at: usize,
}

/// Reads one JSON text.
pub(crate) fn parse(src: &[u8]) -> Result<Value, Fault> {
    let mut p = Parser { src, at: 0 };
    if core::str::from_utf8(src).is_err() {
        return p.fail("it is not UTF-8");
    }
    let value = p.value(0)?;
    p.space();
    if p.at < src.len() {
        return p.fail("something follows the object");
    }
    Ok(value)
}

/// Whether two members have one key. A heap sorts in less code than a tree.
fn twice(members: &[Member]) -> bool {
    let mut keys: BinaryHeap<&str> = members.iter().map(|m| m.key.as_str()).collect();
    while let Some(key) = keys.pop() {
        if keys.peek() == Some(&key) {
            return true;
        }
    }
    false
}

struct Parser<'a> {
    src: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, text: &'static str) -> Result<T, Fault> {
        Err(Fault { text, at: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.src.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips white space and then `c`, and returns whether `c` was there.
    fn eat(&mut self, c: u8) -> bool {
        self.space();
        let there = self.peek() == Some(c);
        self.at += there as usize;
        there
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.space();
        if depth > MAX_DEPTH {
            return self.fail("nested too deep");
        }
        match self.peek() {
            None => self.fail("it ends too soon"),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                for (word, value) in [
                    ("true", Value::Truth(true)),
                    ("false", Value::Truth(false)),
                    ("null", Value::Null),
                ] {
                    if self.src[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.fail("no value begins like this")
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut members = Vec::new();
        self.at += 1;
        if self.eat(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.fail("a key is missing");
            }
            let key = self.text()?;
            if !self.eat(b':') {
                return self.fail("a colon is missing");
            }
            let value = self.value(depth + 1)?;
            members.push(Member {
                key,
                value,
                asked: Cell::new(false),
            });
            if self.eat(b',') {
                continue;
            }
            if !self.eat(b'}') {
                return self.fail("a comma or the end of an object is missing");
            }
            if twice(&members) {
                return self.fail("a key stands twice in the object that ends here");
            }
            return Ok(Value::Object(members));
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut values = Vec::new();
        self.at += 1;
        if self.eat(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.eat(b',') {
                continue;
            }
            if self.eat(b']') {
                return Ok(Value::List(values));
            }
            return self.fail("a comma or the end of a list is missing");
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let negative = self.peek() == Some(b'-');
        self.at += negative as usize;
        let start = self.at;
        let mut size: i64 = 0;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            size = size.saturating_mul(10).saturating_add(i64::from(c - b'0'));
            self.at += 1;
        }
        if self.at == start || self.at > start + 1 && self.src[start] == b'0' {
            return self.fail("a number is malformed");
        }
        let mut fraction = false;
        if self.peek() == Some(b'.') {
            fraction = true;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            fraction = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if fraction {
            return Ok(Value::Fraction);
        }
        if size > MAX_NUMBER {
            return self.fail("a number is too large");
        }
        Ok(Value::Number(if negative { -size } else { size }))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return self.fail("a number is malformed");
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None => return self.fail("a text does not end"),
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.escape() {
                        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                        None => return self.fail("an escape is malformed"),
                    }
                }
                Some(0..=0x1f) => return self.fail("a text holds a control character"),
                Some(c) => {
                    out.push(c);
                    self.at += 1;
                }
            }
        }
        match String::from_utf8(out) {
            Ok(text) => Ok(text),
            Err(_) => self.fail("a text is not UTF-8"),
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high); // None for a lone low half
                }
                if self.peek() != Some(b'\\') || self.src.get(self.at + 1) != Some(&b'u') {
                    return None;
                }
                self.at += 2;
                let low = self.hex4()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return None;
                }
                return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.src.get(self.at..self.at + 4)?;
        let mut n = 0;
        for &d in digits {
            n = n << 4 | (d as char).to_digit(16)?;
        }
        self.at += 4;
        Some(n)
    }
}
