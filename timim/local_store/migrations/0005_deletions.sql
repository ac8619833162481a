ALTER TABLE messages ADD COLUMN started INTEGER NOT NULL DEFAULT 1;
ALTER TABLE conversations ADD COLUMN cleared_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN base_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;
CREATE TABLE deleted(type INTEGER NOT NULL, peer TEXT NOT NULL, seq INTEGER NOT NULL, calls INTEGER NOT NULL,
  PRIMARY KEY(type, peer, seq)) WITHOUT ROWID;
UPDATE conversations SET base_after=read_seq,
  last_id=coalesce((SELECT max(local_id) FROM messages m WHERE m.type=conversations.type AND m.peer=conversations.peer), 0);
