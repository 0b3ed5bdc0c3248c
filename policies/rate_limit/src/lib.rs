//! rate_limit refuses knocks that come too often: of a user, of a server, on a room, or of
//! a server on a room. README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, kv_incr, now_ms, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/memory.rs"]
mod memory;
#[path = "../../internal/rust/settings.rs"]
mod settings;
use memory::{keep, key, number, seconds, SECOND};

/// The most limits: one digit in a key, and each takes four calls of kv at most.
const MOST_LIMITS: usize = 8;

/// The most knocks of a limit.
const MOST: i64 = 100_000;

struct RateLimit {
    limits: Vec<Limit>,
    exempt: Vec<String>,
    message: String, // "" is that of the limit
    full: Verdict,
}

struct Limit {
    by: String,
    code: &'static str,
    phase: String,
    pace: Pace,
    penalty: i64,
}

/// How often is too often. Times are in milliseconds.
enum Pace {
    /// A bucket of burst knocks, to which one comes back per.
    Bucket { per: i64, burst: i64 },
    /// So many in a window, which begins with the first of them.
    Window { window: i64, count: i64 },
}

/// Why a knock is refused.
struct Full {
    wait: i64,
    code: &'static str,
    note: String,
}

impl Policy for RateLimit {
    fn configure(s: &Settings) -> Self {
        let message = memory::message(s, "message");
        let exempt = settings::globs(s, "exempt_servers", settings::server_glob);
        let mut limits = Vec::new();
        for limit in &s.objects("limits") {
            limits.push(Limit::new(limit));
        }
        if limits.is_empty() || limits.len() > MOST_LIMITS {
            s.fail("limits", "must be a list of 1 to 8 limits");
        }
        RateLimit {
            limits,
            exempt,
            full: memory::when_full(s, &message),
            message,
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let server = memory::server(k);
        let (phase, name) = match k.phase() {
            Phase::MakeKnock => ("m", "make_knock"),
            Phase::SendKnock => ("s", "send_knock"),
            Phase::Unknown => return Verdict::pass(),
        };
        if globs::any(&self.exempt, &server) {
            return Verdict::pass();
        }
        for (i, limit) in self.limits.iter().enumerate() {
            if limit.phase != "both" && limit.phase != name {
                continue;
            }
            let path = ["limits[", &digits(i as i64), "]"].concat();
            let who = limit.who(k, &server);
            let full = match limit.take(&digits(i as i64), phase, &who) {
                Some(None) => continue,
                Some(Some(full)) => full,
                None => return self.full.clone(),
            };
            let message = if self.message.is_empty() {
                ["There are too many knocks. Please try again in ", &memory::span(full.wait), "."].concat()
            } else {
                self.message.clone()
            };
            let note = [&path, ", ", &limit.by, ", ", name, ": ", &full.note].concat();
            return Verdict::deny(message).code(full.code).note(note);
        }
        Verdict::pass()
    }
}

impl Limit {
    fn new(s: &Settings) -> Self {
        let by = s.one_of("by", "", &["user", "server", "room", "server_room"]);
        if !s.has("by") {
            s.fail("by", "must be one of user, server, room, server_room");
        }
        let phase = s.one_of("phase", "both", &["both", "make_knock", "send_knock"]);
        let bucket = s.has("per") || s.has("burst");
        let window = s.has("window") || s.has("count");
        let per = seconds(s, "per", 60, 1);
        let burst = s.number("burst", 1, 1, MOST);
        let length = seconds(s, "window", 60, 1);
        let count = s.number("count", 1, 1, MOST);
        let whole = if bucket {
            s.has("per") && s.has("burst")
        } else {
            s.has("window") && s.has("count")
        };
        if bucket == window || !whole {
            s.fail("", "must have either per and burst or window and count");
        }
        Limit {
            code: match by.as_str() {
                "user" => "rate_user",
                "server" => "rate_server",
                "room" => "rate_room",
                _ => "rate_server_room",
            },
            by,
            phase,
            pace: if bucket {
                Pace::Bucket { per, burst }
            } else {
                Pace::Window { window: length, count }
            },
            penalty: seconds(s, "penalty", 0, 0),
        }
    }

    /// Whose knocks are counted together.
    fn who(&self, k: &Knock, server: &str) -> String {
        let room = k.room_id().unwrap_or("");
        match self.by.as_str() {
            "user" => memory::user(k),
            "server" => server.into(),
            "room" => room.into(),
            _ => [server, room].concat(),
        }
    }

    /// Counts a knock and returns whether it is one too many; None past a quota of kv.
    /// Knocks that are refused take nothing from a bucket.
    fn take(&self, index: &str, phase: &str, who: &str) -> Option<Option<Full>> {
        let now = now_ms();
        let fined = key(&[index, "p", who]);
        if self.penalty > 0 {
            if let Some(until) = number(&fined) {
                let wait = (until - now).min(self.penalty);
                return Some(Some(Full {
                    wait,
                    code: "rate_penalty",
                    note: "penalty".into(),
                }));
            }
        }
        let (wait, note) = match self.pace {
            Pace::Bucket { per, burst } => {
                let wait = bucket(index, phase, who, per, burst, now)?;
                let note = ["bucket of ", &digits(burst), ", one per ", &digits(per / SECOND), " s, is empty"];
                (wait, note.concat())
            }
            Pace::Window { window, count } => {
                let n = kv_incr(&key(&[index, phase, "c", who]), 1, window)?;
                let note = ["number ", &digits(n), " of ", &digits(count), " in ", &digits(window / SECOND), " s"];
                (if n > count { window } else { 0 }, note.concat())
            }
        };
        if wait == 0 {
            return Some(None);
        }
        if self.penalty > 0 {
            // Without room for it the knock is refused all the same.
            keep(&fined, now + self.penalty, self.penalty);
        }
        Some(Some(Full {
            wait: wait.max(self.penalty),
            code: self.code,
            note,
        }))
    }
}

/// Takes one from a bucket and returns how long it is until there is one, 0 if there was.
/// What is kept is when the bucket is full again. Knocks judged at the same moment may all
/// read the same time; the counter beside it, which is exact, lets no more through in the
/// time that fills the bucket than the bucket ever would, twice its size.
fn bucket(index: &str, phase: &str, who: &str, per: i64, burst: i64, now: i64) -> Option<i64> {
    let size = per * burst;
    let at = key(&[index, phase, "t", who]);
    let full = number(&at).unwrap_or(now).clamp(now, now + size) + per;
    if full - now > size {
        return Some(full - now - size);
    }
    if kv_incr(&key(&[index, phase, "g", who]), 1, size)? > 2 * burst {
        return Some(size);
    }
    if !keep(&at, full, full - now) {
        return None;
    }
    Some(0)
}

policy!(RateLimit);
