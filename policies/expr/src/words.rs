//! The words of the language: facts and functions.
use knockgate::Field;

/// The kind of a value, which an expression has whatever the knock is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Truth,
    /// A list of texts, of numbers, or of nothing.
    Texts,
    Numbers,
    Nothing,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Number => "a number",
            Kind::Truth => "true or false",
            Kind::Texts => "a list of texts",
            Kind::Numbers => "a list of numbers",
            Kind::Nothing => "an empty list",
        }
    }
}

/// What a fact is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    Field(Field),
    Phase,
    OriginServer,
    Versions,
}

/// The facts, by the names of their keys in the facts as JSON.
pub const FACTS: &[(&str, Fact, Kind)] = &[
    ("phase", Fact::Phase, Kind::Text),
    ("room_id", Fact::Field(Field::ROOM_ID), Kind::Text),
    ("room_version", Fact::Field(Field::ROOM_VERSION), Kind::Text),
    ("user_id", Fact::Field(Field::USER_ID), Kind::Text),
    ("user_localpart", Fact::Field(Field::USER_LOCALPART), Kind::Text),
    ("user_server", Fact::Field(Field::USER_SERVER), Kind::Text),
    ("origin", Fact::Field(Field::ORIGIN), Kind::Text),
    ("origin_server", Fact::OriginServer, Kind::Text),
    ("supported_versions", Fact::Versions, Kind::Texts),
    ("reason", Fact::Field(Field::REASON), Kind::Text),
    ("displayname", Fact::Field(Field::DISPLAYNAME), Kind::Text),
    ("avatar_url", Fact::Field(Field::AVATAR_URL), Kind::Text),
    ("event", Fact::Field(Field::EVENT), Kind::Text),
    ("request_id", Fact::Field(Field::REQUEST_ID), Kind::Text),
    ("now_ms", Fact::Field(Field::NOW_MS), Kind::Number),
    ("content_hash_ok", Fact::Field(Field::CONTENT_HASH_OK), Kind::Truth),
    ("room.known", Fact::Field(Field::ROOM_KNOWN), Kind::Truth),
    ("room.join_rule", Fact::Field(Field::ROOM_JOIN_RULE), Kind::Text),
    ("room.name", Fact::Field(Field::ROOM_NAME), Kind::Text),
    ("room.alias", Fact::Field(Field::ROOM_ALIAS), Kind::Text),
    ("room.topic", Fact::Field(Field::ROOM_TOPIC), Kind::Text),
    ("room.encrypted", Fact::Field(Field::ROOM_ENCRYPTED), Kind::Truth),
    ("room.members", Fact::Field(Field::ROOM_MEMBERS), Kind::Number),
    ("room.user_membership", Fact::Field(Field::USER_MEMBERSHIP), Kind::Text),
    ("room.age_ms", Fact::Field(Field::ROOM_AGE_MS), Kind::Number),
    ("room.acl", Fact::Field(Field::ROOM_ACL), Kind::Text),
    ("room.pending", Fact::Field(Field::ROOM_PENDING), Kind::Number),
    ("room.pending_server", Fact::Field(Field::ROOM_PENDING_SERVER), Kind::Number),
    ("room.members_server", Fact::Field(Field::ROOM_MEMBERS_SERVER), Kind::Number),
    ("room.banned", Fact::Field(Field::ROOM_BANNED), Kind::Number),
    ("room.banned_server", Fact::Field(Field::ROOM_BANNED_SERVER), Kind::Number),
    ("room.user_membership_since_ms", Fact::Field(Field::USER_MEMBERSHIP_SINCE_MS), Kind::Number),
    ("room.user_membership_by", Fact::Field(Field::USER_MEMBERSHIP_BY), Kind::Text),
];

/// A function, by what it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Lower,
    Length,
    Has,
    Present,
    Hour,
    Weekday,
    Ago,
}

pub const FUNCTIONS: &[(&str, Function)] = &[
    ("matches", Function::Matches),
    ("contains", Function::Contains),
    ("starts_with", Function::StartsWith),
    ("ends_with", Function::EndsWith),
    ("lower", Function::Lower),
    ("length", Function::Length),
    ("has", Function::Has),
    ("present", Function::Present),
    ("hour", Function::Hour),
    ("weekday", Function::Weekday),
    ("ago", Function::Ago),
];
