-- +goose Up

-- mode is empty for what was decided, and 'monitor' for what a policy in
-- monitor mode would have said of the same request_id.
ALTER TABLE decisions ADD COLUMN mode TEXT NOT NULL DEFAULT '';

-- They are few among many.
CREATE INDEX decisions_monitor ON decisions (id) WHERE mode = 'monitor';
