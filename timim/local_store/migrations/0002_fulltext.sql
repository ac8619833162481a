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
