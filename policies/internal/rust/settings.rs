//! What settings of several policies have in common.
#![allow(dead_code)] // each policy takes what it needs
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{strip_port, Item, Settings};

const MAX_MESSAGE: usize = 512;
const MAX_PATTERN: usize = 255;

/// What the knocker is told: the text of a setting, `default` if it is not set.
pub fn message(s: &Settings, key: &str, default: &str) -> String {
    let text = s.text(key, default);
    if !s.has(key) {
        return text;
    }
    if text.trim().is_empty() {
        s.fail(key, "must not be empty: leave it out for the usual sentence");
    } else if text.len() > MAX_MESSAGE {
        s.fail(key, "must be at most 512 bytes");
    }
    text
}

/// The globs of a setting, each checked by `check`, which says what is wrong with one.
pub fn globs(s: &Settings, key: &str, check: fn(&str) -> Option<&'static str>) -> Vec<String> {
    let set = s.has(key);
    let items = s.texts(key);
    if set && items.is_empty() {
        s.fail(key, "must have at least one glob");
    }
    let mut list = Vec::new();
    for item in &items {
        if let Some(glob) = checked(item, check) {
            list.push(glob);
        }
    }
    list
}

fn checked(item: &Item, check: fn(&str) -> Option<&'static str>) -> Option<String> {
    let wrong = if item.text.is_empty() {
        Some("must not be empty: write * for everything")
    } else if item.text.len() > MAX_PATTERN {
        Some("must be at most 255 bytes, as no ID is longer")
    } else {
        check(&item.text)
    };
    if let Some(text) = wrong {
        item.fail(text);
        return None;
    }
    Some(item.text.trim_end_matches('.').into())
}

/// What is wrong with a glob for server names without port.
pub fn server_glob(glob: &str) -> Option<&'static str> {
    if let Some(wrong) = port(glob) {
        return Some(wrong);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*' | '?' | '[' | ']' | ':');
    if !glob.chars().all(allowed) {
        return Some("must be a server name such as example.org or *.example.org, an international one in its xn-- form");
    }
    None
}

/// What is wrong with a glob for user IDs without port.
pub fn user_glob(glob: &str) -> Option<&'static str> {
    if !glob.starts_with(['@', '*', '?']) {
        return Some("must be a user ID such as @*:example.org, or begin with *");
    }
    port(glob)
}

/// What is wrong with a glob for the IDs and aliases of rooms.
pub fn room_glob(glob: &str) -> Option<&'static str> {
    if !glob.starts_with(['!', '#', '*', '?']) {
        return Some("must be a room ID such as !abc:example.org, an alias such as #talk:example.org, or begin with *");
    }
    None
}

/// What is wrong with a glob that has a port at its end.
fn port(glob: &str) -> Option<&'static str> {
    let host = strip_port(glob);
    // In an address without brackets the last part is no port, and wrong too.
    if host.len() != glob.len() && !host.is_empty() {
        return Some("servers are matched without their port: leave it out");
    }
    None
}
