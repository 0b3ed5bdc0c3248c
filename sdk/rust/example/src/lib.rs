#![no_std]
extern crate alloc;
use alloc::format;
use knockgate::{policy, Knock, Phase, Policy, Settings, Verdict};

struct Reason {
    min: i64,
}

impl Policy for Reason {
    fn configure(s: &Settings) -> Self {
        Reason {
            min: s.number("min", 10, 0, 500),
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let written = k.reason().unwrap_or("").chars().count() as i64;
        if k.phase() != Phase::SendKnock || written >= self.min {
            return Verdict::pass();
        }
        Verdict::deny(format!(
            "Please say in {} characters why you would like to join.",
            self.min
        ))
        .code("reason_too_short")
    }
}

policy!(Reason);
