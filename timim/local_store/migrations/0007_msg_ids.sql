CREATE INDEX messages_msg_id ON messages(msg_id) WHERE msg_id <> '0-0';
