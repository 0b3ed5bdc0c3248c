//! reknock refuses a user who knocks again on the same room too soon: while the knock is
//! pending, after it was refused or taken back, and after a moderator declined it.
//! README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use knockgate::{digits, kv_get, kv_put, now_ms, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/memory.rs"]
mod memory;
#[path = "../../internal/rust/settings.rs"]
mod settings;
use memory::{key, seconds};

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

struct Reknock {
    free_edits: i64,
    // In milliseconds.
    cooldown: i64,
    max_backoff: i64,
    after_decline: i64,
    // "" is the usual sentence.
    message: String,
    declined_message: String,
    full: Verdict,
}

/// What is kept of a user in a room.
struct Record {
    last: i64,  // when the last knock passed here
    times: i64, // how many have
}

impl Policy for Reknock {
    fn configure(s: &Settings) -> Self {
        let message = memory::message(s, "message");
        let policy = Reknock {
            free_edits: s.number("free_edits", 2, 0, 1000),
            cooldown: seconds(s, "cooldown", HOUR, 1),
            max_backoff: seconds(s, "max_backoff", WEEK, 1),
            after_decline: seconds(s, "after_decline", WEEK, 0),
            full: memory::when_full(s, &message),
            message,
            declined_message: memory::message(s, "declined_message"),
        };
        if policy.max_backoff < policy.cooldown {
            s.fail("max_backoff", "must not be less than cooldown");
        }
        policy
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let membership = k.user_membership().unwrap_or("");
        if k.phase() == Phase::Unknown || matches!(membership, "join" | "invite" | "ban") {
            return Verdict::pass();
        }
        let now = now_ms();
        let wait = self.declined(k, now);
        if wait > 0 {
            let by = k.user_membership_by().unwrap_or("");
            let message = said(&self.declined_message, "Your knock on this room was declined. Please try again in ", wait);
            return Verdict::deny(message).code("declined").note(["by ", by].concat());
        }
        let at = key(&["r", &memory::user(k), k.room_id().unwrap_or("")]);
        let record = Record::read(&at, now).unwrap_or_else(|| Record::of_room(k, now));
        let wait = record.last + self.delay(record.times) - now;
        if record.times > 0 && wait > 0 {
            let (code, words) = match membership {
                "knock" => ("pending", "Your knock on this room is waiting for an answer. You can change it in "),
                _ => ("cooldown", "You have knocked on this room not long ago. Please try again in "),
            };
            let note = ["knock ", &digits(record.times.saturating_add(1)), ", ", &memory::span(wait), " too soon"].concat();
            return Verdict::deny(said(&self.message, words, wait)).code(code).note(note);
        }
        if k.phase() == Phase::SendKnock {
            let times = record.times.saturating_add(1);
            let ttl = self.delay(times) + self.max_backoff;
            if !(Record { last: now, times }).keep(&at, ttl) {
                return self.full.clone();
            }
        }
        Verdict::pass()
    }
}

impl Reknock {
    /// How long it still is, by what the room says, until a user who was declined may
    /// knock again.
    fn declined(&self, k: &Knock, now: i64) -> i64 {
        let by = match k.user_membership_by() {
            Some(by) => by,
            None => return 0,
        };
        if self.after_decline == 0 || k.user_membership() != Some("leave") || k.user_id() == Some(by) {
            return 0;
        }
        match k.user_membership_since_ms() {
            // It is what a server claims: a time to come counts from now on.
            Some(since) => since.clamp(0, now) + self.after_decline - now,
            None => 0,
        }
    }

    /// How long after so many knocks the next one is free.
    fn delay(&self, times: i64) -> i64 {
        if times <= self.free_edits {
            return 0;
        }
        let mut delay = self.cooldown;
        for _ in 1..times - self.free_edits {
            if delay >= self.max_backoff {
                break;
            }
            delay *= 2;
        }
        delay.min(self.max_backoff)
    }
}

impl Record {
    fn read(at: &[u8], now: i64) -> Option<Self> {
        let mut out = [0; 16];
        if kv_get(at, &mut out)?.len() != 16 {
            return None;
        }
        let number = |b: &[u8]| Some(i64::from_le_bytes(b.try_into().ok()?));
        Some(Record {
            last: number(&out[..8])?.clamp(0, now),
            times: number(&out[8..])?.max(0),
        })
    }

    /// What the room's own state says where nothing is kept: a knock that is pending was
    /// one.
    fn of_room(k: &Knock, now: i64) -> Self {
        match (k.user_membership(), k.user_membership_since_ms()) {
            (Some("knock"), Some(since)) => Record {
                last: since.clamp(0, now),
                times: 1,
            },
            _ => Record { last: now, times: 0 },
        }
    }

    fn keep(&self, at: &[u8], ttl: i64) -> bool {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.last.to_le_bytes());
        value[8..].copy_from_slice(&self.times.to_le_bytes());
        kv_put(at, &value, ttl)
    }
}

/// The text of a setting, or the usual sentence with its time.
fn said(message: &str, words: &str, wait: i64) -> String {
    if !message.is_empty() {
        return message.into();
    }
    [words, &memory::span(wait), "."].concat()
}

policy!(Reknock);
