BEGIN TRANSACTION;
CREATE TABLE accounts(user_id TEXT PRIMARY KEY, tiny_id INTEGER NOT NULL UNIQUE, nickname TEXT NOT NULL,
  face_url TEXT NOT NULL, custom TEXT NOT NULL, allow_type TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '{}', version INTEGER NOT NULL DEFAULT 1);
INSERT INTO "accounts" VALUES('alice',7,'Al''ice 😀','http://127.0.0.1/a.png','{"k": "v"}','AllowType_Type_AllowAny','{"Tag_Profile_IM_SelfSignature": "你好\n"}',3);
INSERT INTO "accounts" VALUES('Zoë',6,'','','{}','','{}',1);
CREATE TABLE applications(owner TEXT NOT NULL, peer TEXT NOT NULL, facts TEXT NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
INSERT INTO "applications" VALUES('Zoë','bob','{"wording": "it is me"}');
CREATE TABLE blacklist(owner TEXT NOT NULL, peer TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(owner, peer)) WITHOUT ROWID;
INSERT INTO "blacklist" VALUES('alice','mallory',70);
CREATE TABLE circles(user_id TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "circles" VALUES('alice',2);
CREATE TABLE contacts(user_id TEXT NOT NULL, timeline INTEGER NOT NULL, read_seq INTEGER NOT NULL DEFAULT 0,
  read_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1, peer_read_seq INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0, muted INTEGER NOT NULL DEFAULT 0, draft TEXT NOT NULL DEFAULT '', PRIMARY KEY(user_id, timeline)) WITHOUT ROWID;
INSERT INTO "contacts" VALUES('Zoë',2,1,0,1,1,0,0,'');
INSERT INTO "contacts" VALUES('alice',1,1,95,1,0,1,1,'not yet');
CREATE TABLE entries(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, sender TEXT NOT NULL,
  tail BLOB NOT NULL, kind INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(timeline, seq)) WITHOUT ROWID;
INSERT INTO "entries" VALUES(1,1,90,'alice',X'224E223A317D',0);
INSERT INTO "entries" VALUES(1,2,100,'alice',X'224E223A327D',1);
INSERT INTO "entries" VALUES(2,1,1099511627776,'Zoë',X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBFC0C1C2C3C4C5C6C7C8C9CACBCCCDCECFD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDFE0E1E2E3E4E5E6E7E8E9EAEBECEDEEEFF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF',0);
CREATE TABLE friend_groups(owner TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY(owner, position)) WITHOUT ROWID;
INSERT INTO "friend_groups" VALUES('alice',0,'near');
CREATE TABLE friends(owner TEXT NOT NULL, peer TEXT NOT NULL, remark TEXT NOT NULL, friend_groups TEXT NOT NULL,
  source TEXT NOT NULL, wording TEXT NOT NULL, added INTEGER NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
INSERT INTO "friends" VALUES('alice','Zoë','z','["near"]','AddSource_Type_web','hi',80);
CREATE TABLE group_applications(group_id TEXT NOT NULL, user_id TEXT NOT NULL, inviter TEXT NOT NULL, wording TEXT NOT NULL,
  time INTEGER NOT NULL, PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
INSERT INTO "group_applications" VALUES('g','Zoë','','please',99);
CREATE TABLE groups(group_id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,
  created INTEGER NOT NULL, facts TEXT NOT NULL DEFAULT '{}', dissolved INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1);
INSERT INTO "groups" VALUES('g','Public','team','alice',100,'{"introduction": "who are we?"}',0,4);
INSERT INTO "groups" VALUES('gone','Work','','',90,'{}',1,1);
CREATE TABLE media_blobs(uuid TEXT PRIMARY KEY, owner TEXT NOT NULL, object TEXT NOT NULL,
  touched INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "media_blobs" VALUES('u1','alice','o2',61);
CREATE TABLE media_dead(object TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "media_dead" VALUES('o0');
CREATE TABLE media_grants(uuid TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY(uuid, user_id)) WITHOUT ROWID;
INSERT INTO "media_grants" VALUES('u1','Zoë');
CREATE TABLE media_objects(object TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
  parts TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "media_objects" VALUES('o2','bb',3,'[3]');
CREATE TABLE media_refs(uuid TEXT NOT NULL, timeline INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(uuid, timeline, seq)) WITHOUT ROWID;
INSERT INTO "media_refs" VALUES('u1',1,1);
CREATE TABLE media_uploads(owner TEXT NOT NULL, upload TEXT NOT NULL, object TEXT NOT NULL, hash TEXT NOT NULL,
  size INTEGER NOT NULL, touched INTEGER NOT NULL, PRIMARY KEY(owner, upload)) WITHOUT ROWID;
INSERT INTO "media_uploads" VALUES('alice','1-2-x','o1','aa',8589934592,60);
CREATE TABLE members(group_id TEXT NOT NULL, user_id TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL,
  name_card TEXT NOT NULL, floor INTEGER NOT NULL, muted_until INTEGER NOT NULL DEFAULT 0, joined INTEGER NOT NULL DEFAULT 0, custom TEXT NOT NULL DEFAULT '{}', PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
INSERT INTO "members" VALUES('g','alice',0,'Owner','Al',1,0,100,'{"seat": "4"}');
CREATE TABLE mentions(timeline INTEGER NOT NULL, user_id TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(timeline, user_id, seq)) WITHOUT ROWID;
INSERT INTO "mentions" VALUES(1,'Zoë',2);
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('last_tiny_id','144115200000000000');
INSERT INTO "meta" VALUES('epoch','9f2c');
INSERT INTO "meta" VALUES('app_id','1400000001');
CREATE TABLE msg_keys(timeline INTEGER NOT NULL, sender TEXT NOT NULL, client_time INTEGER NOT NULL,
  random INTEGER NOT NULL, seq INTEGER NOT NULL, fingerprint BLOB NOT NULL,
  PRIMARY KEY(timeline, sender, client_time, random)) WITHOUT ROWID;
INSERT INTO "msg_keys" VALUES(1,'alice',50,60,2,X'7072696E74');
INSERT INTO "msg_keys" VALUES(2,'Zoë',51,4294967295,1,X'00FF');
CREATE TABLE outlets(outlet TEXT NOT NULL, timeline INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(outlet, timeline)) WITHOUT ROWID;
INSERT INTO "outlets" VALUES('push',1,2);
CREATE TABLE places(user_id TEXT NOT NULL, place TEXT NOT NULL, device TEXT NOT NULL,
  PRIMARY KEY(user_id, place)) WITHOUT ROWID;
INSERT INTO "places" VALUES('alice','mobile','d1');
CREATE TABLE receipts(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, user_id TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(timeline, seq, user_id)) WITHOUT ROWID;
INSERT INTO "receipts" VALUES(1,1,'Zoë',98);
CREATE TABLE receipts_wanted(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL,
  readers INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(timeline, seq)) WITHOUT ROWID;
INSERT INTO "receipts_wanted" VALUES(1,1,'alice',1,5);
CREATE TABLE timelines(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_seq INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1, act_seq INTEGER NOT NULL DEFAULT 0);
INSERT INTO "timelines" VALUES(1,'groupg',2,100,1,2);
INSERT INTO "timelines" VALUES(2,'c2cZoëalice',1,1099511627776,1,0);
CREATE INDEX members_of_user ON members(user_id);
CREATE INDEX members_position ON members(group_id, position);
CREATE INDEX friends_peer ON friends(peer, owner);
CREATE INDEX applications_peer ON applications(peer, owner);
CREATE INDEX media_uploads_touched ON media_uploads(touched);
CREATE INDEX media_blobs_object ON media_blobs(object, owner);
CREATE INDEX media_blobs_touched ON media_blobs(touched);
CREATE INDEX media_refs_entry ON media_refs(timeline, seq);
CREATE INDEX entries_acts ON entries(timeline, seq) WHERE kind=1;
CREATE INDEX receipts_wanted_sender ON receipts_wanted(sender, changed);
COMMIT;
PRAGMA user_version=8;
