//! user_rules decides by the knocker's ID: ordered rules with globs, and what the part
//! before the server may look like. README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use knockgate::{digits, policy, Knock, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/settings.rs"]
mod settings;

/// It tells nothing of the list that the user is on.
const MESSAGE: &str = "Knocks from this account are not taken here.";

/// The most code points of a localpart that a setting may name: no ID is longer.
const MOST: i64 = 255;

struct UserRules {
    rules: Vec<Rule>,
    default: Verdict,
    shape: Shape,
}

struct Rule {
    users: Vec<String>,
    except: Vec<String>,
    rooms: Vec<String>,
    answer: Verdict,
}

impl Policy for UserRules {
    fn configure(s: &Settings) -> Self {
        let message = settings::message(s, "message", MESSAGE);
        let mut rules = Vec::new();
        for rule in &s.objects("rules") {
            rules.push(Rule::new(rule, rules.len(), &message));
        }
        let word = s.one_of("default", "pass", &["pass", "allow", "deny"]);
        UserRules {
            rules,
            default: match word.as_str() {
                "deny" => Verdict::deny(message.clone()).code("default"),
                word => answer(word, &message),
            },
            shape: Shape::new(s, message),
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let user = globs::user(k);
        if user.is_empty() {
            return Verdict::error("the request has no user");
        }
        if let Some(rule) = self.rules.iter().find(|r| r.matches(user, k)) {
            return rule.answer.clone();
        }
        let localpart = k.user_localpart().unwrap_or("");
        self.shape.broken(localpart).unwrap_or_else(|| self.default.clone())
    }
}

fn answer(word: &str, message: &str) -> Verdict {
    match word {
        "allow" => Verdict::allow(),
        "deny" => Verdict::deny(message.to_string()),
        _ => Verdict::pass(),
    }
}

impl Rule {
    fn new(s: &Settings, index: usize, message: &str) -> Self {
        let mut word = "";
        let mut users = Vec::new();
        for w in ["allow", "deny", "pass"] {
            if !s.has(w) {
                continue;
            }
            if word.is_empty() {
                word = w;
                users = settings::globs(s, w, settings::user_glob);
                continue;
            }
            let text = ["a rule has one of allow, deny, pass; ", word, " is there already: make two rules of it"];
            s.fail(w, &text.concat());
        }
        if word.is_empty() {
            s.fail("", "a rule must have one of allow, deny, pass with a glob or a list of globs");
        }
        if s.has("message") && word != "deny" && !word.is_empty() {
            let text = ["only deny has a message: nobody is told of ", word];
            s.fail("message", &text.concat());
        }
        let index = digits(index as i64);
        let own = settings::message(s, "message", message);
        Rule {
            users,
            except: settings::globs(s, "except", settings::user_glob),
            rooms: settings::globs(s, "rooms", settings::room_glob),
            answer: answer(word, &own)
                .code(["rule_", &index].concat())
                .note(["rules[", &index, "].", word].concat()),
        }
    }

    fn matches(&self, user: &str, k: &Knock) -> bool {
        globs::any(&self.users, user) && !globs::any(&self.except, user) && self.matches_room(k)
    }

    fn matches_room(&self, k: &Knock) -> bool {
        self.rooms.is_empty()
            || globs::any(&self.rooms, k.room_id().unwrap_or(""))
            || k.room_alias().map_or(false, |alias| globs::any(&self.rooms, alias))
    }
}

/// What a localpart may look like. 255 is no limit.
struct Shape {
    max_localpart: i64,
    max_words: i64,
    max_digits: i64,
    message: String,
}

impl Shape {
    fn new(s: &Settings, message: String) -> Self {
        Shape {
            max_localpart: s.number("max_localpart", MOST, 1, MOST),
            max_words: s.number("max_words", MOST, 1, MOST),
            max_digits: s.number("max_digits", MOST, 0, MOST),
            message,
        }
    }

    fn broken(&self, localpart: &str) -> Option<Verdict> {
        let (mut length, mut words, mut figures) = (0, 0, 0);
        let mut inside = false;
        for c in localpart.chars() {
            length += 1;
            let parts = matches!(c, '.' | '_' | '-' | '=' | '/' | '+');
            if !parts && !inside {
                words += 1;
            }
            inside = !parts;
            if c.is_ascii_digit() {
                figures += 1;
            }
        }
        for (code, what, got, most) in [
            ("localpart_too_long", "characters", length, self.max_localpart),
            ("localpart_words", "words", words, self.max_words),
            ("localpart_digits", "digits", figures, self.max_digits),
        ] {
            if got > most {
                return Some(
                    Verdict::deny(self.message.clone())
                        .code(code)
                        .note([&digits(got), " ", what, ", at most ", &digits(most)].concat()),
                );
            }
        }
        None
    }
}

policy!(UserRules);
