//! expr decides by rules that are written as expressions in the settings. README.md is
//! the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/fold.rs"]
mod fold;
mod eval;
mod parse;
mod text;
mod words;

use eval::Eval;
use parse::Program;

/// The most rules, and the most parts of all of them.
const MAX_RULES: usize = 100;

/// It tells nothing of the rule.
const MESSAGE: &str = "The rules of this room or server do not let this knock in.";

const MAX_MESSAGE: usize = 512;
const MAX_CODE: usize = 64;

struct Expr {
    program: Program,
    rules: Vec<Rule>,
}

struct Rule {
    when: u16,
    verdict: Verdict,
}

impl Policy for Expr {
    fn configure(s: &Settings) -> Self {
        let mut p = Expr { program: Program::new(), rules: Vec::new() };
        let rules = s.objects("rules");
        if rules.len() > MAX_RULES {
            s.fail("rules", "must be at most 100 rules");
        }
        for (i, r) in rules.iter().enumerate() {
            p.rule(i, r);
        }
        p
    }

    fn decide(&self, k: &Knock) -> Verdict {
        if k.phase() == Phase::Unknown {
            return Verdict::pass();
        }
        let mut e = Eval::new(&self.program, k);
        for rule in &self.rules {
            let holds = e.holds(rule.when);
            if let Some(wrong) = e.wrong {
                return Verdict::error(wrong);
            }
            if holds {
                return rule.verdict.clone();
            }
        }
        Verdict::pass()
    }
}

impl Expr {
    /// Reads a rule. What is wrong with it is noted; then the rule is not used.
    fn rule(&mut self, i: usize, r: &Settings) {
        let source = r.text("when", "true");
        let name = r.one_of("verdict", "", &["allow", "deny", "incompatible", "pass"]);
        let message = r.text("message", MESSAGE);
        let place = [r.path(), ": ", &source].concat();
        let code = r.text("code", &["rule_", &digits(i as i64)].concat());
        if !r.has("when") {
            r.fail("when", "must be an expression: a rule without a condition has when = \"true\"");
        }
        if !r.has("verdict") {
            r.fail("verdict", "must be one of allow, deny, incompatible, pass");
        }
        let refuses = name == "deny" || name == "incompatible";
        if r.has("message") {
            if !refuses && !name.is_empty() {
                r.fail("message", "must not be set: only deny and incompatible have a message");
            } else if message.chars().all(char::is_whitespace) {
                r.fail("message", "must not be empty: leave it out for the usual sentence");
            } else if message.len() > MAX_MESSAGE {
                r.fail("message", "must be at most 512 bytes");
            }
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(plain) {
            r.fail("code", "must be 1 to 64 small letters, digits and _");
        }
        let verdict = match name.as_str() {
            "allow" => Verdict::allow(),
            "deny" => Verdict::deny(message),
            "incompatible" => Verdict::incompatible(message),
            _ => Verdict::pass(),
        };
        if !r.has("when") {
            return;
        }
        match self.program.parse(&source) {
            Ok(when) => self.rules.push(Rule { when, verdict: verdict.code(code).note(place) }),
            Err(fault) => {
                let message: String = ["column ", &digits(fault.column as i64), ": ", &fault.text].concat();
                r.fail("when", &message);
            }
        }
    }
}

policy!(Expr);
