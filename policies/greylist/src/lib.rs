//! greylist refuses the first knock of a server or user that it does not know, and takes
//! the one that comes again after a while. README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{now_ms, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/memory.rs"]
mod memory;
#[path = "../../internal/rust/settings.rs"]
mod settings;
use memory::{keep, key, number, seconds};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

struct Greylist {
    users: bool,
    // In milliseconds.
    delay: i64,
    ttl: i64,
    remember: i64,
    exempt: Vec<String>,
    message: String, // "" is the usual sentence
}

impl Policy for Greylist {
    fn configure(s: &Settings) -> Self {
        let policy = Greylist {
            users: s.one_of("scope", "server", &["server", "user"]) == "user",
            delay: seconds(s, "delay", 5 * MINUTE, 1),
            ttl: seconds(s, "ttl", DAY, 1),
            remember: seconds(s, "remember", 30 * DAY, 1),
            exempt: settings::globs(s, "exempt_servers", settings::server_glob),
            message: memory::message(s, "message"),
        };
        if policy.ttl <= policy.delay {
            s.fail("ttl", "must be more than delay");
        }
        policy
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let server = memory::server(k);
        if k.phase() == Phase::Unknown || globs::any(&self.exempt, &server) {
            return Verdict::pass();
        }
        let who = if self.users { memory::user(k) } else { server };
        let now = now_ms();
        let (passed, seen) = (key(&["p", &who]), key(&["g", &who]));
        if number(&passed).is_none() {
            let first = match number(&seen) {
                Some(first) => first.min(now),
                None => return self.first(&seen, now),
            };
            if now - first < self.delay {
                return self.wait("greylisted", first + self.delay - now);
            }
        }
        // A template alone shows nobody's patience. What cannot be remembered passes now,
        // and is asked again.
        if k.phase() == Phase::SendKnock {
            keep(&passed, now, self.remember);
        }
        Verdict::pass()
    }
}

impl Greylist {
    /// Notes who is seen for the first time. Without room for it the next time is the first
    /// one again.
    fn first(&self, seen: &[u8], now: i64) -> Verdict {
        if !keep(seen, now, self.ttl) {
            return self.wait("no_room", self.delay).note("the host keeps no more for this policy");
        }
        self.wait("first_seen", self.delay)
    }

    fn wait(&self, code: &'static str, wait: i64) -> Verdict {
        let message = if self.message.is_empty() {
            [
                "Your ",
                if self.users { "account" } else { "server" },
                " is new here. Please knock again in ",
                &memory::span(wait),
                ".",
            ]
            .concat()
        } else {
            self.message.clone()
        };
        Verdict::deny(message).code(code)
    }
}

policy!(Greylist);
