//! room_version decides by the version of the room and by those that the knocker's
//! server supports. README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/settings.rs"]
mod settings;

const MESSAGE: &str = "Knocks on rooms of this version are not taken here.";
const LACKS: &str = "Your server does not support the room versions that are asked for here.";

/// The longest name of a room version that Matrix allows.
const MAX_VERSION: usize = 32;

struct RoomVersion {
    allowed: Vec<String>, // none is all
    required: Vec<String>,
    incompatible: bool,
    message: String,
    required_message: String,
}

impl Policy for RoomVersion {
    fn configure(s: &Settings) -> Self {
        RoomVersion {
            allowed: versions(s, "allowed"),
            required: versions(s, "required"),
            incompatible: s.one_of("verdict", "incompatible", &["incompatible", "deny"]) == "incompatible",
            message: settings::message(s, "message", MESSAGE),
            required_message: settings::message(s, "required_message", LACKS),
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let version = match k.room_version() {
            Some(version) => version,
            None => return Verdict::error("the request has no room version"),
        };
        if !self.allowed.is_empty() && !self.allowed.iter().any(|v| v == version) {
            let note = ["the room has version ", version].concat();
            return self.refuse(&self.message).code("room_version").note(note);
        }
        if k.phase() != Phase::MakeKnock {
            return Verdict::pass();
        }
        match self.required.iter().find(|v| !k.supports(v)) {
            None => Verdict::pass(),
            Some(lacks) => self
                .refuse(&self.required_message)
                .code("version_unsupported")
                .note(["the knocker's server does not say that it supports ", lacks].concat()),
        }
    }
}

impl RoomVersion {
    fn refuse(&self, message: &str) -> Verdict {
        if self.incompatible {
            return Verdict::incompatible(String::from(message));
        }
        Verdict::deny(String::from(message))
    }
}

/// The room versions of a setting.
fn versions(s: &Settings, key: &str) -> Vec<String> {
    let set = s.has(key);
    let items = s.texts(key);
    if set && items.is_empty() {
        s.fail(key, "must have at least one room version");
    }
    let mut list = Vec::new();
    for item in items {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if item.text.is_empty() || item.text.len() > MAX_VERSION || !item.text.chars().all(allowed) {
            item.fail("must be a room version such as \"11\": at most 32 of a-z, 0-9, . and -");
        }
        list.push(item.text);
    }
    list
}

policy!(RoomVersion);
