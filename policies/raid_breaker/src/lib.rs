//! raid_breaker closes a room, or all of them, for a while when there are too many knocks
//! at once. README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, kv_incr, log, now_ms, policy, Knock, Level, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/memory.rs"]
mod memory;
#[path = "../../internal/rust/settings.rs"]
mod settings;
use memory::{keep, key, number, seconds, SECOND};

const MOST: i64 = 1_000_000;

struct RaidBreaker {
    room: Option<Threshold>,
    host: Option<Threshold>,
    close_for: i64,
    exempt: Vec<String>,
    message: String, // "" is the usual sentence
    full: Verdict,
}

/// So many knocks in so many milliseconds are no raid.
struct Threshold {
    count: i64,
    window: i64,
}

/// What is closed, as keys and answers name it.
struct Scope<'a> {
    threshold: &'a Threshold,
    room: &'a str, // "" is the host as a whole
    code: &'static str,
    name: &'static str,
}

impl Policy for RaidBreaker {
    fn configure(s: &Settings) -> Self {
        let message = memory::message(s, "message");
        let policy = RaidBreaker {
            room: Threshold::new(s, "room"),
            host: Threshold::new(s, "host"),
            close_for: seconds(s, "close_for", 3600, 1),
            exempt: settings::globs(s, "exempt_servers", settings::server_glob),
            full: memory::when_full(s, &message),
            message,
        };
        if !s.has("room") && !s.has("host") {
            s.fail("", "must have room, host or both, such as room = { count = 20, window = 60 }");
        }
        policy
    }

    fn decide(&self, k: &Knock) -> Verdict {
        if k.phase() == Phase::Unknown || globs::any(&self.exempt, &memory::server(k)) {
            return Verdict::pass();
        }
        let now = now_ms();
        let room = self.room.as_ref().map(|threshold| Scope {
            threshold,
            room: k.room_id().unwrap_or(""),
            code: "raid_room",
            name: "the room",
        });
        let host = self.host.as_ref().map(|threshold| Scope {
            threshold,
            room: "",
            code: "raid_host",
            name: "every room",
        });
        for scope in room.iter().chain(&host) {
            if let Some(until) = number(&scope.closed()) {
                let wait = until.min(now + self.close_for) - now;
                return self.refuse(scope, wait, "is closed");
            }
        }
        if k.phase() != Phase::SendKnock {
            return Verdict::pass();
        }
        for scope in room.iter().chain(&host) {
            match scope.count() {
                Some(n) if n <= scope.threshold.count => {}
                Some(n) => return self.close(scope, n, now),
                None => return self.full.clone(),
            }
        }
        Verdict::pass()
    }
}

impl RaidBreaker {
    /// Closes what had n knocks, and says so in the log. Without room to remember it, the
    /// knocks above the count are refused all the same.
    fn close(&self, scope: &Scope, n: i64, now: i64) -> Verdict {
        if keep(&scope.closed(), now + self.close_for, self.close_for) {
            // Counting begins anew when it opens.
            kv_incr(&scope.counter(), -n, scope.threshold.window);
        }
        let what = ["closes: ", &digits(n), " knocks in ", &digits(scope.threshold.window / SECOND), " s"].concat();
        log(Level::Warn, &[scope.name, " ", scope.room, " ", &what].concat());
        self.refuse(scope, self.close_for, &what)
    }

    fn refuse(&self, scope: &Scope, wait: i64, what: &str) -> Verdict {
        let message = if self.message.is_empty() {
            ["There are too many knocks at the moment, so none are taken. Please try again in ", &memory::span(wait), "."].concat()
        } else {
            self.message.clone()
        };
        Verdict::deny(message).code(scope.code).note([scope.name, " ", what].concat())
    }
}

impl Threshold {
    fn new(s: &Settings, name: &str) -> Option<Self> {
        if !s.has(name) {
            return None;
        }
        let s = s.object(name);
        let threshold = Threshold {
            count: s.number("count", 1, 1, MOST),
            window: seconds(&s, "window", 1, 1),
        };
        for key in ["count", "window"] {
            if !s.has(key) {
                s.fail(key, "is missing; it must be a whole number");
            }
        }
        Some(threshold)
    }
}

impl Scope<'_> {
    fn closed(&self) -> Vec<u8> {
        key(&["x", self.room])
    }

    fn counter(&self) -> Vec<u8> {
        key(&["c", self.room])
    }

    /// Counts a knock and returns how many there are; None past a quota of kv.
    fn count(&self) -> Option<i64> {
        kv_incr(&self.counter(), 1, self.threshold.window)
    }
}

policy!(RaidBreaker);
