//! A policy's answer, and the JSON object that it becomes.
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// A policy's answer. Texts are plain; what is too long is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    kind: Kind,
    message: Cow<'static, str>,
    note: Cow<'static, str>,
    code: Cow<'static, str>,
    detail: Vec<u8>, // members of the object, each with a comma before it
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Allow = 1,
    Deny = 2,
    Incompatible = 3,
    Pass = 4,
    Error = 255,
}

/// The most of each part, in bytes. With each byte of the texts escaped to six, all of
/// them fit what a result may have.
const MAX_MESSAGE: usize = 512;
const MAX_NOTE: usize = 1024;
const MAX_CODE: usize = 64;
const MAX_DETAIL: usize = 4096;

impl Verdict {
    const fn of(kind: Kind) -> Self {
        const NONE: Cow<'static, str> = Cow::Borrowed("");
        Verdict {
            kind,
            message: NONE,
            note: NONE,
            code: NONE,
            detail: Vec::new(),
        }
    }

    /// Lets the knock through; no later policy is asked.
    pub const fn allow() -> Self {
        Verdict::of(Kind::Allow)
    }

    /// No opinion: the next policy of the chain is asked.
    pub const fn pass() -> Self {
        Verdict::of(Kind::Pass)
    }

    /// Refuses the knock and tells the knocker the message, which is all that leaves
    /// the server and is cut to 512 bytes. "" leaves the sentence to the host.
    pub fn deny(message: impl Into<Cow<'static, str>>) -> Self {
        Verdict {
            message: message.into(),
            ..Verdict::of(Kind::Deny)
        }
    }

    /// Refuses the knock as coming from a server that does not support the room's
    /// version.
    pub fn incompatible(message: impl Into<Cow<'static, str>>) -> Self {
        Verdict {
            message: message.into(),
            ..Verdict::of(Kind::Incompatible)
        }
    }

    /// Says that the policy could not decide, and why, for the record. The host
    /// answers by the policy's on_error.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Verdict {
            note: text.into(),
            ..Verdict::of(Kind::Error)
        }
    }

    /// Adds what the admin should know, for the record only: at most 1,024 bytes. With
    /// [`Verdict::error`] it is what went wrong.
    pub fn note(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.note = text.into();
        self
    }

    /// Adds the name of the rule that fired, such as "reason_too_short", for counting:
    /// at most 64 bytes.
    pub fn code(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.code = text.into();
        self
    }

    /// Adds a text to the detail, for the record only. A key that is there already
    /// must not be added again; what makes the detail longer than 4,096 bytes is left
    /// out.
    pub fn detail_text(self, key: &str, value: &str) -> Self {
        self.detail(key, |out| write_text(out, value, MAX_DETAIL))
    }

    /// Adds a number to the detail, see [`Verdict::detail_text`].
    pub fn detail_number(self, key: &str, value: i64) -> Self {
        self.detail(key, |out| write_number(out, value))
    }

    /// Adds a truth value to the detail, see [`Verdict::detail_text`].
    pub fn detail_truth(self, key: &str, value: bool) -> Self {
        self.detail(key, |out| {
            out.extend_from_slice(if value { b"true" } else { b"false" })
        })
    }

    fn detail(mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let before = self.detail.len();
        self.detail.push(b',');
        write_text(&mut self.detail, key, MAX_DETAIL);
        self.detail.push(b':');
        write(&mut self.detail);
        if self.detail.len() > MAX_DETAIL {
            self.detail.truncate(before);
        }
        self
    }

    /// The number of a verdict that needs no JSON object.
    pub(crate) fn inline(&self) -> Option<u64> {
        if self.message.is_empty()
            && self.note.is_empty()
            && self.code.is_empty()
            && self.detail.is_empty()
        {
            return Some(self.kind as u64);
        }
        None
    }

    /// Appends the JSON object.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (name, note) = match self.kind {
            Kind::Allow => ("allow", "note"),
            Kind::Deny => ("deny", "note"),
            Kind::Incompatible => ("incompatible", "note"),
            Kind::Pass => ("pass", "note"),
            Kind::Error => ("error", "error"),
        };
        out.extend_from_slice(b"{\"verdict\":");
        write_text(out, name, MAX_CODE);
        for (key, text, most) in [
            ("message", &self.message, MAX_MESSAGE),
            (note, &self.note, MAX_NOTE),
            ("code", &self.code, MAX_CODE),
        ] {
            if !text.is_empty() {
                out.push(b',');
                write_text(out, key, MAX_CODE);
                out.push(b':');
                write_text(out, text, most);
            }
        }
        if !self.detail.is_empty() {
            out.extend_from_slice(b",\"detail\":{");
            out.extend_from_slice(&self.detail[1..]);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// The beginning of a text that has at most `most` bytes, cut at a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut n = text.len().min(most);
    loop {
        // At 0 there is one. An index would bring the code to print what is wrong with it.
        match text.get(..n) {
            Some(beginning) => return beginning,
            None => n -= 1,
        }
    }
}

/// Appends the beginning of a text as a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str, most: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &b in cut(text, most).as_bytes() {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            0..=0x1f => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[b as usize >> 4],
                HEX[b as usize & 15],
            ]),
            _ => out.push(b),
        }
    }
    out.push(b'"');
}

pub(crate) fn write_number(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number in digits, without what `format!` brings along.
pub fn digits(value: i64) -> String {
    let mut out = Vec::new();
    write_number(&mut out, value);
    String::from_utf8(out).unwrap_or_default() // digits are UTF-8
}
