//! challenge asks for an answer in the reason of a knock. README.md is the
//! documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, kv_get, kv_incr, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/fold.rs"]
mod fold;
#[path = "../../internal/rust/settings.rs"]
mod settings;
#[path = "../../internal/rust/sha256.rs"]
mod sha256;
use sha256::sha256;

const ASKS: &str = "Please put the answer to the question of this room in the reason of your knock.";
const QUESTION: &str = "Please put the answer to this question in the reason of your knock: ";
const TOO_MANY: &str = "There were too many wrong answers. Please try again later.";

/// The most characters of a reason that are looked at, and the most runs of words of it
/// that are hashed.
const MAX_REASON: usize = 2000;
const MAX_HASHED: usize = 32;

struct Challenge {
    answers: Vec<String>, // folded, with a space at each end
    hashes: Vec<[u8; 32]>,
    salt: String,
    words: usize,
    fold: Fold,
    message: String,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Fold {
    case: bool,
    space: bool,
}

/// How many wrong answers there may be in `window_ms`; 0 is no limit.
struct Limits {
    user: i64,
    server: i64,
    window_ms: i64,
    message: String,
}

impl Policy for Challenge {
    fn configure(s: &Settings) -> Self {
        let fold = Fold {
            case: s.truth("fold_case", true),
            space: s.truth("fold_space", true),
        };
        let default = match s.text("question", "") {
            question if question.trim().is_empty() => ASKS.into(),
            question => [QUESTION, &question].concat(),
        };
        if default.len() > 512 {
            s.fail("question", "must be at most 440 bytes");
        }
        Challenge {
            answers: answers(s, fold),
            hashes: hashes(s),
            salt: s.text("salt", ""),
            words: s.number("answer_words", 1, 1, 8) as usize,
            fold,
            message: settings::message(s, "message", &default),
            limits: Limits::new(s),
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        if k.phase() != Phase::SendKnock || self.answers.is_empty() && self.hashes.is_empty() {
            return Verdict::pass();
        }
        let keys = match Keys::of(k) {
            Some(keys) => keys,
            None => return Verdict::error("the request has no user"),
        };
        if let Some(refused) = self.limits.reached(&keys) {
            return refused;
        }
        let reason = k.reason().unwrap_or("");
        if reason.len() > MAX_REASON && reason.chars().nth(MAX_REASON).is_some() {
            return self.wrong(&keys, "answer_wrong").note("a reason of more than 2000 characters");
        }
        let folded = self.fold.apply(reason);
        if folded.trim().is_empty() {
            return Verdict::deny(self.message.clone()).code("answer_missing");
        }
        if self.has_answer(&folded) {
            return Verdict::pass();
        }
        self.wrong(&keys, "answer_wrong")
    }
}

impl Challenge {
    fn has_answer(&self, folded: &str) -> bool {
        self.answers.iter().any(|a| holds(folded, a)) || !self.hashes.is_empty() && self.has_hashed(folded)
    }

    /// Whether a run of words of the text is an answer by its hash. Without folding of
    /// spaces it must be the whole text.
    fn has_hashed(&self, folded: &str) -> bool {
        if !self.fold.space {
            return self.hashed(folded.trim().as_bytes());
        }
        // The places of the spaces, of which there is one at each end.
        let mut spaces = Vec::new();
        for (at, byte) in folded.bytes().enumerate() {
            if byte == b' ' && spaces.len() < MAX_HASHED + self.words {
                spaces.push(at);
            }
        }
        let mut runs = spaces.windows(self.words + 1);
        runs.any(|run| match folded.as_bytes().get(run[0] + 1..run[self.words]) {
            Some(words) => self.hashed(words),
            None => false,
        })
    }

    fn hashed(&self, text: &[u8]) -> bool {
        let digest = sha256(&[self.salt.as_bytes(), text].concat());
        self.hashes.contains(&digest)
    }

    fn wrong(&self, keys: &Keys, code: &'static str) -> Verdict {
        self.limits.count(keys);
        Verdict::deny(self.message.clone()).code(code)
    }
}

impl Fold {
    /// A text in one case, and of words with one space before, between and after them.
    fn apply(self, text: &str) -> String {
        let mut out = String::new();
        if self.space {
            out.push(' ');
        }
        for c in text.chars() {
            let c = if self.case { fold::lower(c) } else { c };
            if !self.space || fold::letter(c) {
                out.push(c);
            } else if !out.ends_with(' ') {
                out.push(' ');
            }
        }
        if self.space && !out.ends_with(' ') {
            out.push(' ');
        }
        out
    }
}

/// Whether a text holds another that is not empty.
fn holds(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|w| w == part.as_bytes())
}

/// The plain answers, folded.
fn answers(s: &Settings, fold: Fold) -> Vec<String> {
    let mut list = Vec::new();
    for item in s.texts("answers") {
        let folded = fold.apply(&item.text);
        if folded.trim().is_empty() {
            item.fail("would be in every reason: it must have letters or digits");
        } else if item.text.len() > 512 {
            item.fail("must be at most 512 bytes");
        }
        list.push(folded);
    }
    list
}

/// The hashed answers.
fn hashes(s: &Settings) -> Vec<[u8; 32]> {
    let mut list = Vec::new();
    for item in s.texts("answers_sha256") {
        match unhex(&item.text) {
            Some(hash) => list.push(hash),
            None => item.fail("must be a SHA-256: 64 digits of 0-9 and a-f"),
        }
    }
    list
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = ((pair[0] as char).to_digit(16)?, (pair[1] as char).to_digit(16)?);
        *byte = (high << 4 | low) as u8;
    }
    Some(out)
}

/// The keys of the counters of a knocker, and of the knocker's server.
struct Keys {
    user: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    fn of(k: &Knock) -> Option<Self> {
        let key = |kind: &[u8], id: &str| [kind, id.as_bytes().get(..255).unwrap_or(id.as_bytes())].concat();
        Some(Keys {
            user: key(b"u", k.user_id()?),
            server: key(b"s", k.user_server()?),
        })
    }
}

impl Limits {
    fn new(s: &Settings) -> Self {
        Limits {
            user: s.number("attempts", 5, 0, 1000),
            server: s.number("server_attempts", 100, 0, 100_000),
            window_ms: s.number("attempts_minutes", 60, 1, 10_080) * 60_000,
            message: settings::message(s, "attempts_message", TOO_MANY),
        }
    }

    fn reached(&self, keys: &Keys) -> Option<Verdict> {
        for (key, most, whose) in [(&keys.user, self.user, "of the user"), (&keys.server, self.server, "of the server")] {
            if most > 0 && count_of(key) >= most {
                let note = ["wrong answers ", whose, ": ", &digits(most)].concat();
                return Some(Verdict::deny(self.message.clone()).code("too_many_attempts").note(note));
            }
        }
        None
    }

    /// Counts a wrong answer. One that the host does not count, for want of room, is
    /// refused all the same.
    fn count(&self, keys: &Keys) {
        for (key, most) in [(&keys.user, self.user), (&keys.server, self.server)] {
            if most > 0 {
                let _ = kv_incr(key, 1, self.window_ms);
            }
        }
    }
}

/// The counter at a key, 0 if there is none.
fn count_of(key: &[u8]) -> i64 {
    let mut value = [0; 8];
    match kv_get(key, &mut value) {
        Some(bytes) if bytes.len() == 8 => i64::from_le_bytes(value),
        _ => 0,
    }
}

policy!(Challenge);
