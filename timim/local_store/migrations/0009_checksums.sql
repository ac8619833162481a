ALTER TABLE messages ADD COLUMN checksum BLOB;
ALTER TABLE conversations ADD COLUMN checksum INTEGER;
