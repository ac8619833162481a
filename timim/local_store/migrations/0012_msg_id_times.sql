-- The ids of messages that arrive together begin with the same second, so they are added at one place of the index.
-- Messages sent by REST have no time, and are found by their whole id.
DROP INDEX messages_msg_id;
CREATE INDEX messages_msg_id ON messages(CASE WHEN msg_id GLOB '0-*' THEN msg_id ELSE CAST(msg_id AS INTEGER) END) WHERE msg_id <> '0-0';
