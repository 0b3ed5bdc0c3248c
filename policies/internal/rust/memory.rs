//! What policies that remember have in common: keys, numbers in kv, and time.
#![allow(dead_code)] // no policy uses all of it
use crate::globs;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, kv_get, kv_put, Knock, Settings, Verdict};

/// A second in milliseconds.
pub const SECOND: i64 = 1000;

/// The most seconds that a setting may name: a year.
pub const MOST_SECONDS: i64 = 366 * 24 * 3600;

/// The text of a setting for the knocker, "" if it is not set: then there is a sentence
/// with a time in it.
pub fn message(s: &Settings, key: &str) -> String {
    if !s.has(key) {
        return String::new();
    }
    crate::settings::message(s, key, FULL)
}

/// A setting in seconds, as milliseconds.
pub fn seconds(s: &Settings, key: &str, default: i64, least: i64) -> i64 {
    s.number(key, default, least, MOST_SECONDS) * SECOND
}

/// The knocker's server as keys and globs have it: without port, which one server could
/// have many of, and in lower case.
pub fn server(k: &Knock) -> String {
    globs::server(k).to_ascii_lowercase()
}

/// The knocker's ID as keys have it: the server is that of [`server`].
pub fn user(k: &Knock) -> String {
    ["@", k.user_localpart().unwrap_or(""), ":", &server(k)].concat()
}

/// A key of kv. No ID is longer than 255 bytes, so two of them and a prefix of two bytes
/// fit. What is put together begins with '@' or '!' or ends before '!', which no server
/// name has: no two knocks share a key by accident.
pub fn key(parts: &[&str]) -> Vec<u8> {
    parts.concat().into_bytes()
}

/// The number at a key.
pub fn number(key: &[u8]) -> Option<i64> {
    let mut out = [0; 8];
    if kv_get(key, &mut out)?.len() != 8 {
        return None;
    }
    Some(i64::from_le_bytes(out))
}

/// Keeps a number for ttl milliseconds, at least one: 0 would be without end. False past
/// a quota.
pub fn keep(key: &[u8], number: i64, ttl: i64) -> bool {
    kv_put(key, &number.to_le_bytes(), ttl.max(1))
}

/// A time in words, rounded up: "20 seconds", "2 hours".
pub fn span(ms: i64) -> String {
    let seconds = up(ms.max(1), SECOND);
    let (n, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (up(seconds, 60), "minute"),
        7200..=172_799 => (up(seconds, 3600), "hour"),
        _ => (up(seconds, 24 * 3600), "day"),
    };
    let many = if n == 1 { "" } else { "s" };
    [&digits(n), " ", unit, many].concat()
}

/// What is answered where the host keeps no more for the policy: as the setting says, and
/// not an error, after a number of which the host would not ask the policy at all.
pub fn when_full(s: &Settings, message: &str) -> Verdict {
    let verdict = match s.one_of("when_full", "deny", &["deny", "pass"]).as_str() {
        "pass" => Verdict::pass(),
        _ if message.is_empty() => Verdict::deny(FULL),
        _ => Verdict::deny(String::from(message)),
    };
    verdict.code("no_room").note("the host keeps no more for this policy")
}

const FULL: &str = "There are too many knocks at the moment. Please try again later.";

fn up(n: i64, unit: i64) -> i64 {
    n / unit + i64::from(n % unit > 0)
}
