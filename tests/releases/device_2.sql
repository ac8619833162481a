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

CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0,
  tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co So'");
CREATE TABLE indexing(last INTEGER NOT NULL);
INSERT INTO indexing VALUES(0);

CREATE TRIGGER messages_unindexed AFTER DELETE ON messages WHEN old.local_id <= (SELECT last FROM indexing) BEGIN
  INSERT INTO words(words, rowid, text) VALUES('delete', old.local_id, timim_words(old.body));
  UPDATE indexing SET last = min(last, (SELECT coalesce(max(local_id), 0) FROM messages)); END;
CREATE TRIGGER messages_reindexed AFTER UPDATE OF body ON messages
  WHEN new.body IS NOT old.body AND old.local_id <= (SELECT last FROM indexing) BEGIN
  INSERT INTO words(words, rowid, text) VALUES('delete', old.local_id, timim_words(old.body));
  INSERT INTO words(rowid, text) VALUES(new.local_id, timim_words(new.body)); END;

INSERT INTO meta VALUES('instance','5d1f'),('epoch','9f2c'),('synced','1700000100');
INSERT INTO conversations(type, peer, coverage, last_seq, read_seq, floor, head, hidden_seq, listed, last_time)
  VALUES(1,'bob','[[1,3]]',3,2,1,3,0,1,1700000030),(2,'g','[[2,2],[5,5]]',5,5,1,5,0,1,1700000050),(1,'gone','[]',4,4,1,4,4,0,1);
INSERT INTO messages(local_id, type, peer, position, seq, msg_id, sender, timestamp, status, is_self, priority, body,
  cloud_custom_data, profile, member, custom_int, custom_data, unsent, thrown, error_code, error_info) VALUES
  (1,1,'bob',1,1,'1700000010-11','bob',1700000010,2,0,'Normal',
   CAST('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello, Al''ice 你好 😀"}}]' AS BLOB),'{"a":1}',
   '{"identifier":"bob","nickname":"Bob"}',NULL,-5,x'00ff',0,1,0,''),
  (2,1,'bob',2,2,'1700000020-12','alice',1700000020,2,1,'Normal',
   CAST('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}]' AS BLOB),'',NULL,NULL,0,x'',0,1,0,''),
  (3,1,'bob',3,3,'1700000030-13','bob',1700000030,4,0,'Normal',
   CAST('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"deleted here"}}]' AS BLOB),'',NULL,NULL,0,x'',0,1,0,''),
  (4,1,'bob',3,NULL,'1700000040-14','alice',1700000040,1,1,'Normal',
   CAST('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"on its way"}}]' AS BLOB),'',NULL,NULL,0,x'',1,1,0,''),
  (5,1,'bob',3,NULL,'1700000041-15','alice',1700000041,3,1,'Normal',
   CAST('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"refused"}}]' AS BLOB),'',NULL,NULL,0,x'',1,1,20007,'on the blacklist'),
  (6,2,'g',5,5,'1700000050-16','Zoë',1700000050,2,0,'High',
   CAST('[{"MsgType":"TIMFaceElem","MsgContent":{"Index":7}},{"MsgType":"TIMNewElem","MsgContent":{"x":1}}]' AS BLOB),
   '',NULL,'{"member":"Zoë","name_card":"Z","role":"Admin"}',0,x'',0,1,0,'');
PRAGMA user_version=2;
