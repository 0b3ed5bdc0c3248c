-- +goose Up

-- membership is that of a member event, and empty for other state.
ALTER TABLE room_state ADD COLUMN membership TEXT NOT NULL DEFAULT '';
UPDATE room_state SET membership = COALESCE(
    (SELECT json_extract(e.json, '$.content.membership') FROM events e WHERE e.event_id = room_state.event_id), '')
    WHERE type = 'm.room.member';

-- Other servers' users who have knocked are counted when a room is loaded.
CREATE INDEX room_state_waiting ON room_state (room_id, state_key)
    WHERE type = 'm.room.member' AND own = 0 AND membership = 'knock';
