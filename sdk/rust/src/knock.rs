//! The knock that is judged: views of the host's request frame.

/// The number of a field of the request frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(pub u32);

/// The half of the knock that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A server asks for a template of a knock.
    MakeKnock,
    /// A server hands over a signed knock. A peer need not do the other before.
    SendKnock,
    /// A phase of a later edition: a policy passes.
    Unknown,
}

/// The knock to be judged. Getters neither parse nor copy; None is a field that is
/// absent, which is not the same as an empty one.
#[derive(Clone, Copy)]
pub struct Knock<'a> {
    frame: &'a [u8],
    fields: u32,
}

const MAGIC: u32 = 0x314b_4e4b;
const HEADER: usize = 16;
const ENTRY: usize = 8;

fn number(frame: &[u8], at: usize) -> Option<u32> {
    let bytes = frame.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

impl<'a> Knock<'a> {
    /// The knock of a request frame, None if its header or its table is not whole. A
    /// field outside the frame, which no host sends, is a panic when it is asked for.
    pub fn new(frame: &'a [u8]) -> Option<Self> {
        let fields = number(frame, 12)?;
        let table = u64::from(fields) * ENTRY as u64 + HEADER as u64;
        if number(frame, 0)? != MAGIC
            || number(frame, 4)? as usize != frame.len()
            || table > frame.len() as u64
        {
            return None;
        }
        Some(Knock { frame, fields })
    }

    /// A field's bytes.
    pub fn bytes(&self, field: Field) -> Option<&'a [u8]> {
        if field.0 >= self.fields {
            return None;
        }
        let entry = HEADER + field.0 as usize * ENTRY;
        let at = number(self.frame, entry)? as usize;
        let len = number(self.frame, entry + 4)? as usize;
        if at == 0 {
            return None;
        }
        Some(&self.frame[at..][..len])
    }

    /// A field that is text.
    pub fn text(&self, field: Field) -> Option<&'a str> {
        // The host sends UTF-8; what is none reads as absent.
        core::str::from_utf8(self.bytes(field)?).ok()
    }

    /// A field that is a number.
    pub fn number(&self, field: Field) -> Option<i64> {
        let b = self.bytes(field)?;
        if b.len() != 8 {
            return None;
        }
        Some(i64::from_le_bytes([
            b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
        ]))
    }

    /// A field that is a truth value.
    pub fn truth(&self, field: Field) -> Option<bool> {
        match self.bytes(field)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        match number(self.frame, 8) {
            Some(1) => Phase::MakeKnock,
            Some(2) => Phase::SendKnock,
            _ => Phase::Unknown,
        }
    }

    /// The origin without its port: what lists of servers are matched with.
    pub fn origin_server(&self) -> Option<&'a str> {
        self.origin().map(strip_port)
    }

    /// The room versions that the knocker's server says it supports. Only make_knock
    /// has them.
    pub fn versions(&self) -> impl Iterator<Item = &'a str> {
        self.supported_versions()
            .unwrap_or("")
            .split('\n')
            .filter(|v| !v.is_empty())
    }

    /// Whether the knocker's server says that it supports a room version; never on
    /// send_knock, which does not tell.
    pub fn supports(&self, version: &str) -> bool {
        self.versions().any(|v| v == version)
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident $constant:ident = $number:literal: $kind:ident -> $type:ty;)*) => {
        #[allow(missing_docs)]
        impl Field {
            $(pub const $constant: Field = Field($number);)*
        }

        impl<'a> Knock<'a> {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<$type> {
                self.$kind(Field::$constant)
            })*
        }
    };
}

fields! {
    /// All facts but the event, as one JSON object.
    json JSON = 0: text -> &'a str;
    /// The room's ID. From room version 12 on it has no server name.
    room_id ROOM_ID = 1: text -> &'a str;
    /// The room's version, such as "11".
    room_version ROOM_VERSION = 2: text -> &'a str;
    /// The knocker, such as "@alice:example.org".
    user_id USER_ID = 3: text -> &'a str;
    /// The part of the knocker's ID between "@" and ":".
    user_localpart USER_LOCALPART = 4: text -> &'a str;
    /// The server name in the knocker's ID, without its port.
    user_server USER_SERVER = 5: text -> &'a str;
    /// The server that sent the request, with its port if it has one. Its signature
    /// has been checked.
    origin ORIGIN = 6: text -> &'a str;
    /// What [`Knock::versions`] goes through: one room version a line.
    supported_versions SUPPORTED_VERSIONS = 7: text -> &'a str;
    /// What the knocker wrote. Only send_knock has it.
    reason REASON = 8: text -> &'a str;
    /// The name that the knocker claims. Only send_knock has it.
    displayname DISPLAYNAME = 9: text -> &'a str;
    /// The avatar that the knocker claims. Only send_knock has it.
    avatar_url AVATAR_URL = 10: text -> &'a str;
    /// The knock event as canonical JSON. Only send_knock has it.
    event EVENT = 11: text -> &'a str;
    /// The host's ID of the request, as in its log and record.
    request_id REQUEST_ID = 12: text -> &'a str;
    /// When the decision began, in milliseconds since the Unix epoch.
    now_ms NOW_MS = 13: number -> i64;
    /// Whether the event is as its sender signed it. If not, reason, display name and
    /// avatar are absent. Only send_knock has it.
    content_hash_ok CONTENT_HASH_OK = 14: truth -> bool;
    /// Whether the host has a view of the room's state. If not, every field below is
    /// absent.
    room_known ROOM_KNOWN = 15: truth -> bool;
    /// The room's join rule, such as "knock".
    room_join_rule ROOM_JOIN_RULE = 16: text -> &'a str;
    /// The room's name.
    room_name ROOM_NAME = 17: text -> &'a str;
    /// The room's canonical alias.
    room_alias ROOM_ALIAS = 18: text -> &'a str;
    /// The room's topic.
    room_topic ROOM_TOPIC = 19: text -> &'a str;
    /// Whether the room is encrypted.
    room_encrypted ROOM_ENCRYPTED = 20: truth -> bool;
    /// How many users have joined the room.
    room_members ROOM_MEMBERS = 21: number -> i64;
    /// The knocker's membership before this knock.
    user_membership USER_MEMBERSHIP = 22: text -> &'a str;
    /// How old the host's view of the room is, in milliseconds.
    room_age_ms ROOM_AGE_MS = 23: number -> i64;
    /// The content of the room's m.room.server_acl event, for
    /// [`acl_allows`](crate::acl_allows). Empty: the room has none, which lets in
    /// everybody. None says nothing of the room.
    room_acl ROOM_ACL = 24: text -> &'a str;
    /// How many users are knocking on the room.
    room_pending ROOM_PENDING = 25: number -> i64;
    /// How many of them are of the knocker's server.
    room_pending_server ROOM_PENDING_SERVER = 26: number -> i64;
    /// How many users of the knocker's server have joined the room.
    room_members_server ROOM_MEMBERS_SERVER = 27: number -> i64;
    /// How many users are banned from the room.
    room_banned ROOM_BANNED = 28: number -> i64;
    /// How many of them are of the knocker's server.
    room_banned_server ROOM_BANNED_SERVER = 29: number -> i64;
    /// When the knocker's membership became what it is, in milliseconds since the
    /// Unix epoch, as the server of who made it claims.
    user_membership_since_ms USER_MEMBERSHIP_SINCE_MS = 30: number -> i64;
    /// Who made the knocker's membership what it is.
    user_membership_by USER_MEMBERSHIP_BY = 31: text -> &'a str;
}

/// A Matrix server name without its port: "example.org" for "example.org:8448",
/// "[::1]" for "[::1]:8448".
pub fn strip_port(name: &str) -> &str {
    let host = name.trim_end_matches(|c: char| c.is_ascii_digit());
    host.strip_suffix(':').unwrap_or(name)
}
