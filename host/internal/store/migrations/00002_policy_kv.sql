-- +goose Up

-- What policies remember, by the policy's name. expires_ms is in milliseconds
-- since the Unix epoch, 0 for never.
CREATE TABLE policy_kv (
    policy     TEXT NOT NULL,
    key        BLOB NOT NULL,
    value      BLOB NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (policy, key)
);

-- A decision is looked up for a replay.
CREATE INDEX decisions_request ON decisions (request_id);
