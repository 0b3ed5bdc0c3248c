//! policy_lists refuses users, servers and rooms that are on the host's lists.
//! README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{list_has, policy, Knock, ListAnswer, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/settings.rs"]
mod settings;
#[path = "../../internal/rust/sha256.rs"]
mod sha256;

const MESSAGE: &str = "Knocks from this account are not taken here.";
const ROOM_MESSAGE: &str = "Knocks on this room are not taken here.";

/// The most lists: with five entities, each as text and as two forms of a hash, they are
/// asked at most 240 times, and a host takes 256.
const MAX_LISTS: usize = 16;
const MAX_NAME: usize = 64;

struct PolicyLists {
    lists: Vec<List>,
    protect: Vec<String>,
    hashes: bool,
}

struct List {
    name: String,
    users: bool,
    servers: bool,
    rooms: bool,
    message: String,
    room_message: String,
}

/// What a list may hold of a knock.
struct Entity<'a> {
    kind: Kind,
    text: &'a str,
    hashed: String, // sha256:BASE64, "" if lists are not asked for it
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Server,
    Room,
}

impl Policy for PolicyLists {
    fn configure(s: &Settings) -> Self {
        let message = settings::message(s, "message", MESSAGE);
        let room_message = settings::message(s, "room_message", ROOM_MESSAGE);
        let mut lists: Vec<List> = Vec::new();
        for list in &s.objects("lists") {
            let list = List::new(list, &lists, &message, &room_message);
            lists.push(list);
        }
        if lists.len() > MAX_LISTS {
            s.fail("lists", "must be at most 16 lists");
        }
        PolicyLists {
            lists,
            protect: settings::globs(s, "protect", protected),
            hashes: s.truth("hashes", true),
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        if self.lists.is_empty() {
            return Verdict::pass();
        }
        let entities = self.entities(k);
        let mut missing = None;
        for list in &self.lists {
            for entity in entities.iter().filter(|e| list.is_of(e.kind)) {
                match entity.on(&list.name) {
                    ListAnswer::Holds => return list.refuse(entity),
                    ListAnswer::Lacks => {}
                    ListAnswer::Unknown => missing = Some(list),
                }
            }
        }
        match missing {
            None => Verdict::pass(),
            Some(list) => Verdict::error(["the host has no list ", &list.name].concat()),
        }
    }
}

impl PolicyLists {
    /// What is to be looked for: the knocker and their server, unless one of them is
    /// protected, and the room, unless it is.
    fn entities<'a>(&self, k: &Knock<'a>) -> Vec<Entity<'a>> {
        let mut list = Vec::new();
        let (id, user, server) = (k.user_id().unwrap_or(""), globs::user(k), globs::server(k));
        if !self.protects(user) && !self.protects(server) {
            list.push(self.entity(Kind::User, id));
            if user != id {
                list.push(self.entity(Kind::User, user));
            }
            list.push(self.entity(Kind::Server, server));
        }
        let (room, alias) = (k.room_id().unwrap_or(""), k.room_alias().unwrap_or(""));
        if !self.protects(room) && (alias.is_empty() || !self.protects(alias)) {
            list.push(self.entity(Kind::Room, room));
            if !alias.is_empty() {
                list.push(self.entity(Kind::Room, alias));
            }
        }
        list
    }

    fn protects(&self, text: &str) -> bool {
        globs::any(&self.protect, text)
    }

    fn entity<'a>(&self, kind: Kind, text: &'a str) -> Entity<'a> {
        let asked = self.hashes && self.lists.iter().any(|l| l.is_of(kind));
        let hashed = if asked { hashed(text, kind) } else { String::new() };
        Entity { kind, text, hashed }
    }
}

/// `sha256:` and the hash of an entity in base64. The names of servers are hashed in
/// small letters.
fn hashed(text: &str, kind: Kind) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = match kind {
        Kind::Server => sha256::sha256(text.to_ascii_lowercase().as_bytes()),
        _ => sha256::sha256(text.as_bytes()),
    };
    let mut out = String::from("sha256:");
    for three in digest.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=three.len() {
            out.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char);
        }
    }
    out.push('=');
    out
}

impl Entity<'_> {
    /// Whether a list holds the entity, as it is or hashed, with and without the sign
    /// that fills up the hash.
    fn on(&self, list: &str) -> ListAnswer {
        let unpadded = self.hashed.strip_suffix('=').unwrap_or("");
        for key in [self.text, self.hashed.as_str(), unpadded] {
            if key.is_empty() {
                continue;
            }
            match list_has(list, key) {
                ListAnswer::Lacks => {}
                other => return other,
            }
        }
        ListAnswer::Lacks
    }
}

impl List {
    fn new(s: &Settings, before: &[List], message: &str, room_message: &str) -> Self {
        let name = s.text("name", "");
        if !s.has("name") {
            s.fail("name", "is missing: the name of a [[list]] of the configuration");
        } else if name.is_empty() || name.len() > MAX_NAME {
            s.fail("name", "must be the name of a [[list]] of the configuration, 1 to 64 bytes");
        } else if before.iter().any(|l| l.name == name) {
            s.fail("name", "is there already: a list stands once");
        }
        let list = List {
            users: s.truth("users", true),
            servers: s.truth("servers", true),
            rooms: s.truth("rooms", true),
            message: settings::message(s, "message", message),
            room_message: settings::message(s, "message", room_message),
            name,
        };
        if !list.users && !list.servers && !list.rooms {
            s.fail("", "asks the list for nothing: one of users, servers, rooms must be true");
        }
        list
    }

    fn is_of(&self, kind: Kind) -> bool {
        match kind {
            Kind::User => self.users,
            Kind::Server => self.servers,
            Kind::Room => self.rooms,
        }
    }

    fn refuse(&self, entity: &Entity) -> Verdict {
        let (code, message) = match entity.kind {
            Kind::User => ("listed_user", &self.message),
            Kind::Server => ("listed_server", &self.message),
            Kind::Room => ("listed_room", &self.room_message),
        };
        Verdict::deny(message.clone())
            .code(code)
            .note([self.name.as_str(), ": ", entity.text].concat())
    }
}

/// What is wrong with a glob of those who are protected.
fn protected(glob: &str) -> Option<&'static str> {
    if glob.starts_with(['!', '#']) {
        return None;
    }
    if glob.starts_with('@') {
        return settings::user_glob(glob);
    }
    if glob == "*" {
        return Some("would protect everybody, so that no list is asked");
    }
    settings::server_glob(glob)
}

policy!(PolicyLists);
