//! Matching with lists of globs.
#![allow(dead_code)] // each policy takes what it needs
use alloc::string::String;
use knockgate::{glob_match, strip_port, Knock};

/// Whether one of the globs matches the whole text.
pub fn any(globs: &[String], text: &str) -> bool {
    globs.iter().any(|g| glob_match(g, text))
}

/// The origin as globs see it: without port, and without the dot at its end that DNS
/// does not tell apart.
pub fn server<'a>(k: &Knock<'a>) -> &'a str {
    strip_port(k.origin().unwrap_or("")).trim_end_matches('.')
}

/// The knocker's ID as globs see it: without the port of its server, and without the
/// dot at its end.
pub fn user<'a>(k: &Knock<'a>) -> &'a str {
    let id = k.user_id().unwrap_or("");
    let local = k.user_localpart().unwrap_or("").len();
    let server = k.user_server().unwrap_or("").len();
    id.get(..local + server + 2).unwrap_or(id).trim_end_matches('.')
}
