-- +goose Up

-- head counts the events of the room and head_event is the latest. Every write
-- of an event moves them and says from which event, so that two writers cannot
-- build on the same state. The count alone would not do: it can be right by
-- another process's event.
CREATE TABLE rooms (
    room_id    TEXT PRIMARY KEY NOT NULL,
    version    TEXT NOT NULL,
    head       BIGINT NOT NULL,
    head_event TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- position orders all events of the store, seq those of one room. own says
-- that this server made the event; base is the highest seq of an own event
-- among the event itself and its ancestors.
CREATE TABLE events (
    position  INTEGER PRIMARY KEY,
    event_id  TEXT NOT NULL UNIQUE,
    room_id   TEXT NOT NULL REFERENCES rooms (room_id),
    seq       BIGINT NOT NULL,
    type      TEXT NOT NULL,
    state_key TEXT NOT NULL,
    sender    TEXT NOT NULL,
    depth     BIGINT NOT NULL,
    own       SMALLINT NOT NULL,
    base      BIGINT NOT NULL,
    json      TEXT NOT NULL,
    UNIQUE (room_id, seq)
);

-- What the state was before an older event.
CREATE INDEX events_own ON events (room_id, type, state_key, seq) WHERE own = 1;

CREATE TABLE room_state (
    room_id   TEXT NOT NULL REFERENCES rooms (room_id),
    type      TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event_id  TEXT NOT NULL REFERENCES events (event_id),
    position  BIGINT NOT NULL,
    own       SMALLINT NOT NULL,
    PRIMARY KEY (room_id, type, state_key)
);

-- A room is loaded without the members that other servers' users made.
CREATE INDEX room_state_own ON room_state (room_id) WHERE own = 1;

CREATE TABLE extremities (
    room_id  TEXT NOT NULL REFERENCES rooms (room_id),
    event_id TEXT NOT NULL REFERENCES events (event_id),
    base     BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    depth    BIGINT NOT NULL,
    PRIMARY KEY (room_id, event_id)
);

CREATE INDEX extremities_order ON extremities (room_id, base DESC, seq DESC);

CREATE TABLE server_keys (
    server     TEXT PRIMARY KEY NOT NULL,
    body       TEXT NOT NULL,
    fetched_at BIGINT NOT NULL
);

-- Times are microseconds since the Unix epoch; *_us are durations.
CREATE TABLE decisions (
    id          INTEGER PRIMARY KEY,
    request_id  TEXT NOT NULL,
    at          BIGINT NOT NULL,
    phase       TEXT NOT NULL,
    room_id     TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    origin      TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    policy      TEXT NOT NULL,
    revision    TEXT NOT NULL,
    fault       TEXT NOT NULL,
    message     TEXT NOT NULL,
    note        TEXT NOT NULL,
    code        TEXT NOT NULL,
    status      INTEGER NOT NULL,
    errcode     TEXT NOT NULL,
    auth_us     BIGINT NOT NULL,
    protocol_us BIGINT NOT NULL,
    policies_us BIGINT NOT NULL,
    act_us      BIGINT NOT NULL,
    total_us    BIGINT NOT NULL,
    detail      TEXT NOT NULL
);

CREATE INDEX decisions_room ON decisions (room_id, id);
