DROP TABLE words;
CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0,
  tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* Co So'");
ALTER TABLE indexing ADD COLUMN rules TEXT NOT NULL DEFAULT '';
UPDATE indexing SET last=0;
