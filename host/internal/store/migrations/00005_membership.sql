-- +goose Up

-- membership is that of a member event, and empty for other state. Other servers'
-- users who have knocked are counted by it when a room is loaded. That is seldom,
-- so there is no index of it, which each knock would have to write.
ALTER TABLE room_state ADD COLUMN membership TEXT NOT NULL DEFAULT '';
UPDATE room_state SET membership = COALESCE(
    (SELECT json_extract(e.json, '$.content.membership') FROM events e WHERE e.event_id = room_state.event_id), '')
    WHERE type = 'm.room.member';
