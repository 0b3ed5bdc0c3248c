//! room_gate decides which rooms take knocks from other servers, and from which.
//! README.md is the documentation.
#![no_std]
extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{digits, policy, Knock, Phase, Policy, Settings, Verdict};

#[path = "../../internal/rust/globs.rs"]
mod globs;
#[path = "../../internal/rust/settings.rs"]
mod settings;

const CLOSED: &str = "This room does not take knocks from your server.";
const NO_REASON: &str = "Please say why you would like to join: this room asks for a reason.";

struct RoomGate {
    rooms: Vec<Room>,
    deny_others: bool,
    message: String,
    reason_message: String,
}

/// One entry of the list: some rooms, and what they ask for.
struct Room {
    ids: Vec<String>,
    aliases: Vec<String>,
    closed: bool,
    servers: Vec<String>, // none is all
    require_reason: bool,
    message: String,
    note: String,
}

impl Policy for RoomGate {
    fn configure(s: &Settings) -> Self {
        let message = settings::message(s, "message", CLOSED);
        let mut rooms = Vec::new();
        for room in &s.objects("rooms") {
            rooms.push(Room::new(room, rooms.len(), &message));
        }
        RoomGate {
            rooms,
            deny_others: s.one_of("default", "pass", &["pass", "deny"]) == "deny",
            reason_message: settings::message(s, "reason_message", NO_REASON),
            message,
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let id = match k.room_id() {
            Some(id) => id,
            None => return Verdict::error("the request has no room"),
        };
        let known = k.room_known() == Some(true);
        let mut untried = None; // an entry that a room not known might be of
        for room in &self.rooms {
            if room.is(id, k.room_alias()) {
                return match (room.refuses(k, &self.reason_message), untried) {
                    (Some(verdict), _) => verdict,
                    (None, Some(other)) => self.unknown(other),
                    (None, None) => Verdict::pass(),
                };
            }
            if !known && !room.aliases.is_empty() && untried.is_none() {
                untried = Some(room);
            }
        }
        match untried {
            _ if self.deny_others => Verdict::deny(self.message.clone()).code("room_not_listed"),
            Some(room) => self.unknown(room),
            None => Verdict::pass(),
        }
    }
}

impl RoomGate {
    /// The answer for a room whose alias is not known, where an entry asks for one.
    fn unknown(&self, room: &Room) -> Verdict {
        Verdict::deny(self.message.clone())
            .code("room_unknown")
            .note([&room.note, ": the host does not know the room, so not its alias"].concat())
    }
}

impl Room {
    fn new(s: &Settings, index: usize, message: &str) -> Self {
        if !s.has("room") {
            s.fail("room", "is missing: a room ID, an alias, or a list of globs for them");
        }
        let (mut ids, mut aliases) = (Vec::new(), Vec::new());
        for glob in settings::globs(s, "room", settings::room_glob) {
            if !glob.starts_with('#') {
                ids.push(glob.clone());
            }
            if !glob.starts_with('!') && glob != "*" {
                aliases.push(glob);
            }
        }
        let closed = s.truth("closed", false);
        for key in ["servers", "require_reason"] {
            if s.has(key) && closed {
                s.fail(key, "has no effect in a room that is closed: leave out one of the two");
            }
        }
        Room {
            ids,
            aliases,
            closed,
            servers: settings::globs(s, "servers", settings::server_glob),
            require_reason: s.truth("require_reason", false),
            message: settings::message(s, "message", message),
            note: ["rooms[", &digits(index as i64), "]"].concat(),
        }
    }

    fn is(&self, id: &str, alias: Option<&str>) -> bool {
        globs::any(&self.ids, id) || alias.map_or(false, |alias| globs::any(&self.aliases, alias))
    }

    fn refuses(&self, k: &Knock, reason_message: &str) -> Option<Verdict> {
        let (code, message) = if self.closed {
            ("room_closed", self.message.as_str())
        } else if !self.servers.is_empty() && !globs::any(&self.servers, globs::server(k)) {
            ("server_not_listed", self.message.as_str())
        } else if self.require_reason && k.phase() == Phase::SendKnock && k.reason().unwrap_or("").trim().is_empty() {
            ("reason_missing", reason_message)
        } else {
            return None;
        };
        Some(Verdict::deny(String::from(message)).code(code).note(self.note.clone()))
    }
}

policy!(RoomGate);
