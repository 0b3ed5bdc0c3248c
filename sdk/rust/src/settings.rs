//! The policy's settings, read key by key, and the faults found on the way.
use crate::guest::MAX_RESULT;
use crate::json::{self, Member, Value};
use crate::verdict::{digits, write_number, write_text};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

pub(crate) struct Fault {
    path: String,
    message: String,
}

type Faults = RefCell<Vec<Fault>>;

/// One object of a policy's settings. A policy asks for each key that it knows; a
/// method that finds another kind of value notes the fault, with its path, and returns
/// the default. A key that nobody has asked for when the object goes out of scope is a
/// fault too, so that no misspelt setting is silently without effect.
pub struct Settings<'a> {
    path: String,
    members: &'a [Member],
    asked: RefCell<Vec<String>>,
    faults: &'a Faults,
}

/// One text of a list, with its place.
pub struct Item<'a> {
    /// The text.
    pub text: String,
    path: String,
    faults: &'a Faults,
}

impl Item<'_> {
    /// Notes that this item is wrong: the message says what is and what would be
    /// right.
    pub fn fail(&self, message: &str) {
        note(self.faults, &self.path, message);
    }
}

/// Gives the settings in a JSON text to `configure` and returns what is wrong with
/// them.
pub(crate) fn read(text: &[u8], configure: impl FnOnce(&Settings)) -> Vec<Fault> {
    let faults = RefCell::new(Vec::new());
    match json::parse(text) {
        Err(fault) => {
            let message = [
                "the settings are not JSON: ",
                fault.text,
                " at byte ",
                &digits(fault.at as i64),
            ];
            note(&faults, "", &message.concat());
        }
        Ok(Value::Object(members)) => configure(&Settings::of(String::new(), &members, &faults)),
        Ok(value) => note(
            &faults,
            "",
            &["the settings must be an object, not ", value.kind()].concat(),
        ),
    }
    faults.into_inner()
}

fn note(faults: &Faults, path: &str, message: &str) {
    faults.borrow_mut().push(Fault {
        path: path.into(),
        message: message.into(),
    });
}

impl<'a> Settings<'a> {
    fn of(path: String, members: &'a [Member], faults: &'a Faults) -> Self {
        Settings {
            path,
            members,
            asked: RefCell::new(Vec::new()),
            faults,
        }
    }

    /// Where the object stands in the settings, such as "rules[2]"; "" is the
    /// settings as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Notes that the setting of a key is wrong: the message says what is and what
    /// would be right. With the key "" it is about the object itself.
    pub fn fail(&self, key: &str, message: &str) {
        note(self.faults, &self.path_of(key), message);
    }

    fn path_of(&self, key: &str) -> String {
        let dot = if self.path.is_empty() || key.is_empty() {
            ""
        } else {
            "."
        };
        [&self.path, dot, key].concat()
    }

    /// Whether the key is set; counts as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|a| a == key) {
            asked.push(key.into());
        }
        let member = self.members.iter().find(|m| m.key == key)?;
        member.asked.set(true);
        Some(&member.value)
    }

    fn wrong(&self, key: &str, what: &str, value: &Value) {
        self.fail(key, &["must be ", what, ", not ", value.kind()].concat());
    }

    /// A truth value, `default` if the key is not set.
    pub fn truth(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(Value::Truth(truth)) => return *truth,
            Some(other) => self.wrong(key, "true or false", other),
            None => {}
        }
        default
    }

    /// A whole number from `least` to `most`, `default` if the key is not set.
    pub fn number(&self, key: &str, default: i64, least: i64, most: i64) -> i64 {
        match self.get(key) {
            Some(Value::Number(n)) if (least..=most).contains(n) => return *n,
            Some(Value::Number(n)) => {
                let message = [
                    "must be from ",
                    &digits(least),
                    " to ",
                    &digits(most),
                    ", not ",
                    &digits(*n),
                ]
                .concat();
                self.fail(key, &message);
            }
            Some(other) => self.wrong(key, "a whole number", other),
            None => {}
        }
        default
    }

    /// A text, `default` if the key is not set.
    pub fn text(&self, key: &str, default: &str) -> String {
        match self.get(key) {
            Some(Value::Text(text)) => return text.clone(),
            Some(other) => self.wrong(key, "a text", other),
            None => {}
        }
        default.into()
    }

    /// A text that is one of the choices, `default` if the key is not set.
    pub fn one_of(&self, key: &str, default: &str, choices: &[&str]) -> String {
        match self.get(key) {
            Some(Value::Text(text)) if choices.contains(&text.as_str()) => return text.clone(),
            Some(Value::Text(text)) => {
                let mut quoted = Vec::new();
                write_text(&mut quoted, text, 256);
                let quoted = String::from_utf8(quoted).unwrap_or_default();
                self.fail(
                    key,
                    &["must be one of ", &choices.join(", "), ", not ", &quoted].concat(),
                );
            }
            Some(other) => self.wrong(key, "a text", other),
            None => {}
        }
        default.into()
    }

    /// A list of texts, empty if the key is not set. One text alone is a list of one.
    pub fn texts(&self, key: &str) -> Vec<Item<'a>> {
        let path = self.path_of(key);
        let mut items = Vec::new();
        match self.get(key) {
            Some(Value::Text(text)) => items.push(Item {
                text: text.clone(),
                path,
                faults: self.faults,
            }),
            Some(Value::List(values)) => {
                for (i, value) in values.iter().enumerate() {
                    let path = [&path, "[", &digits(i as i64), "]"].concat();
                    match value {
                        Value::Text(text) => items.push(Item {
                            text: text.clone(),
                            path,
                            faults: self.faults,
                        }),
                        other => note(
                            self.faults,
                            &path,
                            &["must be a text, not ", other.kind()].concat(),
                        ),
                    }
                }
            }
            Some(other) => self.wrong(key, "a text or a list of texts", other),
            None => {}
        }
        items
    }

    /// The object of a key, an empty one if the key is not set.
    pub fn object(&self, key: &str) -> Settings<'a> {
        let members: &[Member] = match self.get(key) {
            Some(Value::Object(members)) => members,
            Some(other) => {
                self.wrong(key, "an object", other);
                &[]
            }
            None => &[],
        };
        Settings::of(self.path_of(key), members, self.faults)
    }

    /// A list of objects, empty if the key is not set.
    pub fn objects(&self, key: &str) -> Vec<Settings<'a>> {
        let mut objects = Vec::new();
        match self.get(key) {
            Some(Value::List(values)) => {
                for (i, value) in values.iter().enumerate() {
                    let path = [&self.path_of(key), "[", &digits(i as i64), "]"].concat();
                    match value {
                        Value::Object(members) => {
                            objects.push(Settings::of(path, members, self.faults))
                        }
                        other => note(
                            self.faults,
                            &path,
                            &["must be an object, not ", other.kind()].concat(),
                        ),
                    }
                }
            }
            Some(other) => self.wrong(key, "a list of objects", other),
            None => {}
        }
        objects
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        for member in self.members.iter().filter(|m| !m.asked.get()) {
            let asked = self.asked.borrow();
            let message = if asked.is_empty() {
                "unknown setting; there are no settings here".into()
            } else {
                ["unknown setting; known here: ", &asked.join(", ")].concat()
            };
            self.fail(&member.key, &message);
        }
    }
}

const MAX_PATH: usize = 256;
const MAX_TEXT: usize = 1024;

/// Appends the JSON object that refuses settings. What does not fit a result is
/// counted in a last entry.
pub(crate) fn write_errors(out: &mut Vec<u8>, faults: &[Fault]) {
    const ROOM: usize = 256; // for the last entry
    out.extend_from_slice(b"{\"errors\":[");
    for (i, fault) in faults.iter().enumerate() {
        let before = out.len();
        if i > 0 {
            out.push(b',');
        }
        write_error(out, &fault.path, &fault.message);
        if out.len() > MAX_RESULT - ROOM {
            out.truncate(before);
            let mut message = Vec::new();
            write_number(&mut message, (faults.len() - i) as i64);
            message.extend_from_slice(b" more settings are wrong");
            if i > 0 {
                out.push(b',');
            }
            write_error(out, "", &String::from_utf8(message).unwrap_or_default());
            break;
        }
    }
    out.extend_from_slice(b"]}");
}

pub(crate) fn one_error(out: &mut Vec<u8>, message: &str) {
    write_errors(
        out,
        &[Fault {
            path: String::new(),
            message: message.into(),
        }],
    );
}

fn write_error(out: &mut Vec<u8>, path: &str, message: &str) {
    out.extend_from_slice(b"{\"path\":");
    write_text(out, path, MAX_PATH);
    out.extend_from_slice(b",\"message\":");
    write_text(out, message, MAX_TEXT);
    out.push(b'}');
}
