ALTER TABLE messages ADD COLUMN header_checksum INTEGER;
