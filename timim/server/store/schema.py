"""The schema as a list of migration steps. A released step never changes; a new database executes all of them.

The steps are written in the DDL of SQLite, and `for_postgres` translates them to PostgreSQL. A step contains nothing that
the two databases understand differently. The key of every table that grows begins with the timeline or the user.
"""

from __future__ import annotations

import re

_SCHEMA_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE accounts(user_id TEXT PRIMARY KEY, tiny_id INTEGER NOT NULL UNIQUE, nickname TEXT NOT NULL,
  face_url TEXT NOT NULL, custom TEXT NOT NULL);
CREATE TABLE groups(group_id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE members(group_id TEXT NOT NULL, user_id TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL,
  name_card TEXT NOT NULL, floor INTEGER NOT NULL, PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
CREATE INDEX members_of_user ON members(user_id);
CREATE TABLE timelines(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_seq INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1);
CREATE TABLE entries(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, sender TEXT NOT NULL,
  tail BLOB NOT NULL, PRIMARY KEY(timeline, seq)) WITHOUT ROWID;
CREATE TABLE msg_keys(timeline INTEGER NOT NULL, sender TEXT NOT NULL, client_time INTEGER NOT NULL,
  random INTEGER NOT NULL, seq INTEGER NOT NULL, fingerprint BLOB NOT NULL,
  PRIMARY KEY(timeline, sender, client_time, random)) WITHOUT ROWID;
CREATE TABLE contacts(user_id TEXT NOT NULL, timeline INTEGER NOT NULL, read_seq INTEGER NOT NULL DEFAULT 0,
  read_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1, PRIMARY KEY(user_id, timeline)) WITHOUT ROWID;
"""
_SCHEMA_2 = """
ALTER TABLE accounts ADD COLUMN allow_type TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE groups ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';
ALTER TABLE groups ADD COLUMN dissolved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN muted_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN custom TEXT NOT NULL DEFAULT '{}';
CREATE INDEX members_position ON members(group_id, position);
CREATE TABLE group_applications(group_id TEXT NOT NULL, user_id TEXT NOT NULL, inviter TEXT NOT NULL, wording TEXT NOT NULL,
  time INTEGER NOT NULL, PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
CREATE TABLE friends(owner TEXT NOT NULL, peer TEXT NOT NULL, remark TEXT NOT NULL, friend_groups TEXT NOT NULL,
  source TEXT NOT NULL, wording TEXT NOT NULL, added INTEGER NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
CREATE INDEX friends_peer ON friends(peer, owner);
CREATE TABLE friend_groups(owner TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY(owner, position)) WITHOUT ROWID;
CREATE TABLE applications(owner TEXT NOT NULL, peer TEXT NOT NULL, facts TEXT NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
CREATE INDEX applications_peer ON applications(peer, owner);
CREATE TABLE blacklist(owner TEXT NOT NULL, peer TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(owner, peer)) WITHOUT ROWID;
"""
FIRST_TINY_ID = 144_115_200_000_000_000  # as large as Tencent's ids in the web client, below 2**63; sent as a string

# The last tiny id has a row of its own: the row lock serializes nodes that create accounts at the same time.
_SCHEMA_3 = f"""
INSERT INTO meta(key, value) SELECT 'last_tiny_id', CAST(coalesce(max(tiny_id), {FIRST_TINY_ID}) AS TEXT) FROM accounts;
"""

# `media_refs` has a row for each entry and each blob that the entry refers to. The bytes of an object are in the blob store.
_SCHEMA_4 = """
CREATE TABLE media_uploads(owner TEXT NOT NULL, upload TEXT NOT NULL, object TEXT NOT NULL, hash TEXT NOT NULL,
  size INTEGER NOT NULL, touched INTEGER NOT NULL, PRIMARY KEY(owner, upload)) WITHOUT ROWID;
CREATE INDEX media_uploads_touched ON media_uploads(touched);
CREATE TABLE media_objects(object TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
  parts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE media_blobs(uuid TEXT PRIMARY KEY, owner TEXT NOT NULL, object TEXT NOT NULL,
  touched INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX media_blobs_object ON media_blobs(object, owner);
CREATE INDEX media_blobs_touched ON media_blobs(touched);
CREATE TABLE media_refs(uuid TEXT NOT NULL, timeline INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(uuid, timeline, seq)) WITHOUT ROWID;
CREATE INDEX media_refs_entry ON media_refs(timeline, seq);
CREATE TABLE media_grants(uuid TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY(uuid, user_id)) WITHOUT ROWID;
CREATE TABLE media_dead(object TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SCHEMA_5 = """
CREATE TABLE outlets(outlet TEXT NOT NULL, timeline INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(outlet, timeline)) WITHOUT ROWID;
"""
_SCHEMA_6 = """
ALTER TABLE entries ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entries_acts ON entries(timeline, seq) WHERE kind=1;
ALTER TABLE timelines ADD COLUMN act_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN peer_read_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN draft TEXT NOT NULL DEFAULT '';
CREATE TABLE receipts_wanted(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, sender TEXT NOT NULL,
  readers INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(timeline, seq)) WITHOUT ROWID;
CREATE INDEX receipts_wanted_sender ON receipts_wanted(sender, changed);
CREATE TABLE receipts(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, user_id TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(timeline, seq, user_id)) WITHOUT ROWID;
CREATE TABLE mentions(timeline INTEGER NOT NULL, user_id TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(timeline, user_id, seq)) WITHOUT ROWID;
"""

# Groups and relationships have versions: a changeset is stored only if the versions from which it was decided are current.
_SCHEMA_7 = """
ALTER TABLE groups ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE TABLE circles(user_id TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
"""
_SCHEMA_8 = """
CREATE TABLE places(user_id TEXT NOT NULL, place TEXT NOT NULL, device TEXT NOT NULL,
  PRIMARY KEY(user_id, place)) WITHOUT ROWID;
"""

# `settings_version` increases with each change of pinned, muted and draft. `settings_changed` maps the name of a setting to the
# time of its last change in milliseconds and the device that made it, as JSON. That of a timeline is the highest version of a
# deleted contact: the version of a user who joins the group again is above it.
_SCHEMA_9 = """
ALTER TABLE contacts ADD COLUMN settings_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN settings_changed TEXT NOT NULL DEFAULT '{}';
ALTER TABLE timelines ADD COLUMN settings_version INTEGER NOT NULL DEFAULT 0;
"""

# Logins of a user that have ended: all until a time, or one token. `since` is the begin of the login that took a device slot.
_SCHEMA_10 = """
CREATE TABLE revocations(user_id TEXT PRIMARY KEY, logins_until INTEGER NOT NULL, tokens_until INTEGER NOT NULL,
  signed_until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ended_tokens(user_id TEXT NOT NULL, token TEXT NOT NULL, begun INTEGER NOT NULL, expires INTEGER NOT NULL,
  PRIMARY KEY(user_id, token)) WITHOUT ROWID;
ALTER TABLE places ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_applications ADD COLUMN consent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX media_blobs_owner ON media_blobs(owner, touched);
"""

# Callbacks that wait for delivery, and dead letters, whose `dead` is the time at which they were given up.
_SCHEMA_11 = """
CREATE TABLE callbacks(id INTEGER PRIMARY KEY, lane TEXT NOT NULL, command TEXT NOT NULL, body BLOB NOT NULL,
  client_ip TEXT NOT NULL, platform TEXT NOT NULL, time INTEGER NOT NULL, dead INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '');
CREATE INDEX callbacks_lane ON callbacks(dead, lane, id);
"""

# `deleted` is 1 for a deleted account, and 2 for one that was created again. An administrator's mutes end at times in seconds.
# `reset_version` is the `settings_version` at which an administrator set the read seq back.
_SCHEMA_12 = """
ALTER TABLE accounts ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN muted_c2c INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN muted_groups INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN reset_version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blacklist_peer ON blacklist(peer, owner);
"""

# `follows_followed` finds the followers of a user.
_SCHEMA_13 = """
CREATE TABLE follows(follower TEXT NOT NULL, followed TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(follower, followed)) WITHOUT ROWID;
CREATE INDEX follows_followed ON follows(followed, follower);
"""

# Labels of conversations, see labels.py, and times without offline pushes, see do_not_disturb.py. Groups have numbers, because
# the web client names a group by one.
_SCHEMA_14 = """
CREATE TABLE conversation_labels(user_id TEXT NOT NULL, conversation TEXT NOT NULL, label TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(user_id, conversation, label)) WITHOUT ROWID;
CREATE TABLE conversation_groups(user_id TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY(user_id, name), UNIQUE(user_id, number)) WITHOUT ROWID;
CREATE TABLE quiet_times(user_id TEXT PRIMARY KEY, begin_time INTEGER NOT NULL, end_time INTEGER NOT NULL,
  daily INTEGER NOT NULL) WITHOUT ROWID;
"""

# The words of the entries up to `last` of a timeline, by the rules of folding `rules`. A search makes the index.
_SCHEMA_15 = """
CREATE TABLE search_words(timeline INTEGER NOT NULL, word TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(timeline, word, seq)) WITHOUT ROWID;
CREATE TABLE search_indexes(timeline INTEGER PRIMARY KEY, last INTEGER NOT NULL, rules TEXT NOT NULL);
"""

# A row of `message_extensions` is a key of a message: see message_extensions.py.
# `status` is a text that the user shows to others, `watched` a JSON list of the users whose status this one watches.
_SCHEMA_16 = """
ALTER TABLE accounts ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN watched TEXT NOT NULL DEFAULT '[]';
CREATE TABLE message_extensions(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  version INTEGER NOT NULL, PRIMARY KEY(timeline, seq, key)) WITHOUT ROWID;
"""

# A deleted topic keeps its row. `timeline` has its messages; the members of its group have contacts with it.
_SCHEMA_17 = """
CREATE TABLE topics(topic_id TEXT PRIMARY KEY, group_id TEXT NOT NULL, timeline INTEGER NOT NULL, created INTEGER NOT NULL,
  facts TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX topics_group ON topics(group_id, created);
"""

# Deletions of one user, see deletions.py, and the last number of each user's log.
_SCHEMA_18 = """
CREATE TABLE deletions(user_id TEXT NOT NULL, timeline INTEGER NOT NULL, kind INTEGER NOT NULL, seq INTEGER NOT NULL,
  number INTEGER NOT NULL, PRIMARY KEY(user_id, timeline, kind, seq)) WITHOUT ROWID;
CREATE INDEX deletions_number ON deletions(user_id, number);
CREATE TABLE deletion_logs(user_id TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3, _SCHEMA_4, _SCHEMA_5, _SCHEMA_6, _SCHEMA_7, _SCHEMA_8)
STEPS += (_SCHEMA_9, _SCHEMA_10, _SCHEMA_11, _SCHEMA_12)
STEPS += (_SCHEMA_13, _SCHEMA_14, _SCHEMA_15, _SCHEMA_16, _SCHEMA_17, _SCHEMA_18)
VERSION = len(STEPS)


def too_new(version: int) -> str:
    """Return the error text for a database that a later release has migrated."""
    return f"the database was migrated by a newer timim (schema {version}, this one knows {VERSION}); upgrade timim"


def for_postgres(step: str) -> str:
    """Translate a migration step from SQLite's SQL to PostgreSQL's."""
    step = step.replace(" WITHOUT ROWID", "").replace("BLOB", "BYTEA")
    step = re.sub(r"TEXT (PRIMARY KEY|NOT NULL)", r'TEXT COLLATE "C" \1', step)  # byte order, as in SQLite
    step = step.replace("id INTEGER PRIMARY KEY", "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
    return re.sub(r"\bINTEGER\b", "BIGINT", step)
