CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE conversations(type INTEGER NOT NULL, peer TEXT NOT NULL, coverage TEXT NOT NULL DEFAULT '[]',
  last_seq INTEGER NOT NULL DEFAULT 0, read_seq INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1,
  head INTEGER NOT NULL DEFAULT 0, hidden_seq INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(type, peer)) WITHOUT ROWID;
CREATE TABLE messages(local_id INTEGER PRIMARY KEY, type INTEGER NOT NULL, peer TEXT NOT NULL,
  position INTEGER NOT NULL, seq INTEGER, msg_id TEXT NOT NULL, sender TEXT NOT NULL, timestamp INTEGER NOT NULL,
  status INTEGER NOT NULL, is_self INTEGER NOT NULL, priority TEXT NOT NULL, body BLOB NOT NULL,
  cloud_custom_data TEXT NOT NULL, profile TEXT, member TEXT, custom_int INTEGER NOT NULL DEFAULT 0,
  custom_data BLOB NOT NULL DEFAULT x'', unsent INTEGER NOT NULL DEFAULT 0,
  thrown INTEGER NOT NULL DEFAULT 1, error_code INTEGER NOT NULL DEFAULT 0, error_info TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX messages_seq ON messages(type, peer, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_position ON messages(type, peer, position, local_id);
CREATE INDEX messages_unsettled ON messages(local_id) WHERE status = 1;
CREATE INDEX messages_unnumbered ON messages(type, peer, msg_id) WHERE seq IS NULL;
