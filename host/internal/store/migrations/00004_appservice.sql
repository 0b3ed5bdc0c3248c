-- +goose Up

-- Since when this server has been an application service without a start that
-- it was none at. One row, or none. Times are microseconds since the Unix epoch.
CREATE TABLE appservice (
    one   INTEGER PRIMARY KEY,
    since BIGINT NOT NULL
);

-- The last transactions of the homeserver that were taken.
CREATE TABLE appservice_transactions (
    id             INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL UNIQUE
);

-- The last knocks that were handed on to the homeserver.
CREATE TABLE handed_knocks (
    id       INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_id  TEXT NOT NULL,
    user_id  TEXT NOT NULL
);

-- The last knocks that came into a room without having been handed on, and how
-- many there were. at is what the event says, seen_at when it was pushed here.
CREATE TABLE undecided_knocks (
    id       INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_id  TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    at       BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL
);

CREATE TABLE undecided_totals (
    kind  TEXT PRIMARY KEY NOT NULL,
    total BIGINT NOT NULL
);
