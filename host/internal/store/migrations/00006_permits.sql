-- +goose Up

-- Knocks that are to be let in although the policies deny them: one of a user into
-- a room each. ended is empty for a permit that is live, else 'used', 'revoked' or
-- 'expired', and request_id what used it. An ID is never given twice, so that it
-- can be cited. Times are microseconds since the Unix epoch.
CREATE TABLE permits (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id    TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    note       TEXT NOT NULL,
    given_by   TEXT NOT NULL,
    given_at   BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    ended      TEXT NOT NULL,
    ended_at   BIGINT NOT NULL,
    request_id TEXT NOT NULL
);

-- Whether any came or went is asked every second.
CREATE INDEX permits_live ON permits (id) WHERE ended = '';
