CREATE TABLE pending_changes(type INTEGER NOT NULL, peer TEXT NOT NULL, setting TEXT NOT NULL, value NOT NULL,
  number INTEGER NOT NULL, made_at REAL NOT NULL, server_value NOT NULL, PRIMARY KEY(type, peer, setting)) WITHOUT ROWID;
INSERT INTO pending_changes SELECT type, peer, 'draft', draft, 1, CAST(strftime('%s', 'now') AS REAL), ''
  FROM conversations WHERE draft_unsent;
ALTER TABLE conversations DROP COLUMN draft_unsent;
ALTER TABLE conversations ADD COLUMN settings_version INTEGER NOT NULL DEFAULT 0;
