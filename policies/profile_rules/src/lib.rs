//! profile_rules decides by the display name and the avatar that a knocker claims.
//! README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, glob_match, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/fold.rs"]
mod fold;
#[path = "../../internal/rust/globs.rs"]
mod globs;
mod look;
mod script;
#[path = "../../internal/rust/settings.rs"]
mod settings;

const MISSING: &str = "Please set a display name before you knock.";
const TOO_LONG: &str = "Please choose a shorter display name before you knock.";
const FORBIDDEN: &str = "Please choose another display name before you knock.";
const NO_AVATAR: &str = "Please set a picture for your profile before you knock.";
const AVATAR: &str = "Please choose another picture for your profile before you knock.";

struct ProfileRules {
    require_name: bool,
    max_len: usize,
    deny: Vec<String>,
    deny_mixed: bool,
    looks: look::Looks,
    lookalike_of: Vec<String>, // as they look
    require_avatar: bool,
    require_mxc: bool,
    deny_avatar: Vec<String>,
    except: Vec<String>,
    message: Option<String>,
}

impl Policy for ProfileRules {
    fn configure(s: &Settings) -> Self {
        let looks = look::Looks::new();
        ProfileRules {
            require_name: s.truth("require_name", false),
            max_len: s.number("max_len", 256, 1, 1000) as usize,
            deny: patterns(s, "deny"),
            deny_mixed: s.truth("deny_mixed_scripts", false),
            lookalike_of: names(s, &looks),
            looks,
            require_avatar: s.truth("require_avatar", false),
            require_mxc: s.truth("require_mxc", false),
            deny_avatar: settings::globs(s, "deny_avatar", |_| None),
            except: settings::globs(s, "except", settings::user_glob),
            message: if s.has("message") { Some(settings::message(s, "message", "")) } else { None },
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        if k.phase() != Phase::SendKnock || globs::any(&self.except, globs::user(k)) {
            return Verdict::pass();
        }
        let broken = self.name(k.displayname().unwrap_or(""));
        broken.or_else(|| self.avatar(k.avatar_url().unwrap_or(""))).unwrap_or(Verdict::pass())
    }
}

impl ProfileRules {
    #[inline(never)]
    fn refuse(&self, code: &'static str, message: &'static str) -> Verdict {
        match &self.message {
            Some(own) => Verdict::deny(own.clone()).code(code),
            None => Verdict::deny(message).code(code),
        }
    }

    fn name(&self, name: &str) -> Option<Verdict> {
        if name.chars().all(|c| c.is_whitespace() || script::ignorable(c)) {
            return Some(self.refuse("name_missing", MISSING)).filter(|_| self.require_name);
        }
        if name.len() > self.max_len && name.chars().nth(self.max_len).is_some() {
            return Some(self.refuse("name_too_long", TOO_LONG));
        }
        if !self.deny.is_empty() {
            let folded = folded(name);
            if let Some(at) = self.deny.iter().position(|p| glob_match(p, &folded)) {
                return Some(self.refuse("name_forbidden", FORBIDDEN).note(place("deny", at)));
            }
        }
        if self.deny_mixed && script::mixed(name) {
            return Some(self.refuse("name_mixed_scripts", FORBIDDEN));
        }
        if !self.lookalike_of.is_empty() {
            let look = self.looks.of(name, false);
            if let Some(at) = self.lookalike_of.iter().position(|p| glob_match(p, &look)) {
                return Some(self.refuse("name_lookalike", FORBIDDEN).note(place("lookalike_of", at)));
            }
        }
        None
    }

    fn avatar(&self, url: &str) -> Option<Verdict> {
        if url.is_empty() {
            return Some(self.refuse("avatar_missing", NO_AVATAR)).filter(|_| self.require_avatar);
        }
        if self.require_mxc && !is_mxc(url) {
            return Some(self.refuse("avatar_no_mxc", AVATAR));
        }
        let at = self.deny_avatar.iter().position(|g| glob_match(g, url))?;
        Some(self.refuse("avatar_forbidden", AVATAR).note(place("deny_avatar", at)))
    }
}

/// Where an entry stands in the settings: `deny[2]`.
#[inline(never)]
fn place(key: &str, at: usize) -> String {
    [key, "[", &digits(at as i64), "]"].concat()
}

/// Whether a URL is mxc://SERVER/MEDIA, both of letters that may be there.
fn is_mxc(url: &str) -> bool {
    let parts = url.strip_prefix("mxc://").and_then(|rest| rest.split_once('/'));
    parts.map_or(false, |(server, media)| {
        let server_letter = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        let media_letter = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        !server.is_empty() && !media.is_empty() && server.bytes().all(server_letter) && media.bytes().all(media_letter)
    })
}

/// A name in one case, without what has no width, and with every white space as one.
fn folded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !script::ignorable(*c)) {
        if !c.is_whitespace() {
            out.push(fold::lower(c));
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

const MAX_PATTERN: usize = 255;

/// The patterns of a setting, which are found anywhere.
fn patterns(s: &Settings, key: &str) -> Vec<String> {
    let mut list = Vec::new();
    for item in s.texts(key) {
        let pattern = folded(&item.text);
        if item.text.len() > MAX_PATTERN {
            item.fail("must be at most 255 bytes");
        } else if pattern.chars().all(|c| matches!(c, '*' | '?' | ' ')) {
            item.fail("would be found in every name: write a text that has letters");
        }
        list.push(["*", &pattern, "*"].concat());
    }
    list
}

/// The names that no other may look like, as they look.
fn names(s: &Settings, looks: &look::Looks) -> Vec<String> {
    let mut list = Vec::new();
    for item in s.texts("lookalike_of") {
        let name = looks.of(&item.text, true);
        if item.text.len() > MAX_PATTERN {
            item.fail("must be at most 255 bytes");
        } else if name.chars().all(|c| matches!(c, '*' | '?')) {
            item.fail("must have letters or digits, which is all that is compared");
        }
        list.push(name);
    }
    list
}

policy!(ProfileRules);
