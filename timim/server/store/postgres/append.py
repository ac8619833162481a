"""PostgreSQL's hot path: a batch of appends in one statement, with the effect of calling `timelines.append` for each.

Timelines are locked in the order of their names, so batches of several nodes cannot deadlock. The queries after the locks
use a new snapshot, so they see the msg_ids that other nodes committed before the locks were granted.

A node of an older version stores a msg_id without its source. A resend of the same content is recognised by the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base import NewEntry


class Function(NamedTuple):
    """A function in the database, and the statement that creates it."""

    name: str  # a changed text needs a new name, because nodes of the old and the new release run at the same time
    text: str


FUNCTION = Function(
    "timim_append_4",
    """
CREATE FUNCTION timim_append_4(names text[], times bigint[], senders text[], client_times bigint[], randoms bigint[],
  prints bytea[], tails bytea[], receipts boolean[], contact_rows bigint[], contact_users text[],
  mention_rows bigint[], mention_users text[],
  check_rows bigint[], check_kinds bigint[], check_keys text[], check_versions bigint[])
RETURNS TABLE(number bigint, seq bigint, at bigint, known bytea) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO timelines(name)
    SELECT DISTINCT u.name FROM unnest(names) AS u(name)
      WHERE NOT EXISTS (SELECT 1 FROM timelines t WHERE t.name = u.name) ORDER BY u.name
    ON CONFLICT(name) DO NOTHING;
  PERFORM 1 FROM timelines t WHERE t.name = ANY(names) ORDER BY t.name FOR UPDATE;
  RETURN QUERY WITH
  input AS (
    SELECT u.n, t.id, t.last_seq, t.last_time, u.at, u.sender, u.client_time, u.random, u.print, u.tail, u.receipt
    FROM unnest(names, times, senders, client_times, randoms, prints, tails, receipts)
      WITH ORDINALITY AS u(name, at, sender, client_time, random, print, tail, receipt, n)
    JOIN timelines t ON t.name = u.name
  ),
  standing AS (
    SELECT i.n, k.seq, e.time AS at, k.fingerprint FROM input i
    JOIN msg_keys k ON k.timeline = i.id AND k.sender = i.sender AND k.client_time = i.client_time
      AND k.random = ANY (ARRAY[i.random, i.random & 4294967295]) AND (k.random = i.random OR k.fingerprint = i.print)
    JOIN entries e ON e.timeline = k.timeline AND e.seq = k.seq
  ),
  outdated AS (
    SELECT DISTINCT c.n, senders[c.n] AS sender
    FROM unnest(check_rows, check_kinds, check_keys, check_versions) AS c(n, kind, key, version)
    WHERE CASE c.kind
      WHEN 1 THEN NOT EXISTS (SELECT 1 FROM accounts a WHERE a.user_id = c.key AND a.version <= c.version)
      WHEN 2 THEN NOT EXISTS
        (SELECT 1 FROM groups g WHERE g.group_id = c.key AND g.version <= c.version AND g.dissolved = 0)
      ELSE EXISTS (SELECT 1 FROM circles r WHERE r.user_id = c.key AND r.version > c.version)
    END
  ),
  stale AS (
    SELECT DISTINCT i.n FROM input i JOIN outdated o ON o.sender = i.sender AND o.n <= i.n
  ),
  fresh AS (
    SELECT i.*, CASE WHEN i.client_time IS NULL THEN i.n
      ELSE min(i.n) OVER (PARTITION BY i.id, i.sender, i.client_time, i.random) END AS first_n
    FROM input i WHERE NOT EXISTS (SELECT 1 FROM standing s WHERE s.n = i.n)
      AND NOT EXISTS (SELECT 1 FROM stale x WHERE x.n = i.n)
  ),
  numbered AS (
    SELECT f.n, f.id, f.sender, f.client_time, f.random, f.print, f.tail, f.receipt,
      f.last_seq + row_number() OVER line AS seq, greatest(f.last_time, max(f.at) OVER line) AS at
    FROM fresh f WHERE f.n = f.first_n WINDOW line AS (PARTITION BY f.id ORDER BY f.n)
  ),
  keys AS (
    INSERT INTO msg_keys(timeline, sender, client_time, random, seq, fingerprint)
    SELECT m.id, m.sender, m.client_time, m.random, m.seq, m.print FROM numbered m WHERE m.client_time IS NOT NULL
  ),
  stored AS (
    INSERT INTO entries(timeline, seq, time, sender, tail) SELECT m.id, m.seq, m.at, m.sender, m.tail FROM numbered m
  ),
  wanted AS (
    INSERT INTO receipts_wanted(timeline, seq, sender) SELECT m.id, m.seq, m.sender FROM numbered m WHERE m.receipt
  ),
  called AS (
    INSERT INTO mentions(timeline, user_id, seq) SELECT m.id, c.user_id, m.seq
    FROM unnest(mention_rows, mention_users) AS c(n, user_id) JOIN numbered m ON m.n = c.n
  ),
  heads AS (
    UPDATE timelines t SET last_seq = h.seq, last_time = h.at
    FROM (SELECT m.id, max(m.seq) AS seq, max(m.at) AS at FROM numbered m GROUP BY m.id) h WHERE t.id = h.id
  ),
  listed AS (
    INSERT INTO contacts(user_id, timeline)
    SELECT c.user_id, m.id FROM unnest(contact_rows, contact_users) AS c(n, user_id)
    JOIN numbered m ON m.n = c.n AND m.seq = 1 ORDER BY c.user_id
    ON CONFLICT(user_id, timeline) DO NOTHING
  )
  SELECT s.n, s.seq, s.at, s.fingerprint FROM standing s
  UNION ALL
  SELECT x.n, 0, 0, NULL FROM stale x WHERE NOT EXISTS (SELECT 1 FROM standing s WHERE s.n = x.n)
  UNION ALL
  SELECT f.n, m.seq, m.at, CASE WHEN f.n = f.first_n THEN NULL ELSE m.print END
  FROM fresh f JOIN numbered m ON m.n = f.first_n;
END $$
""",
)
CALL = f"SELECT * FROM {FUNCTION.name}($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)"


def arguments(entries: Sequence[NewEntry]) -> tuple[list[Any], ...]:
    """Return the arguments of the function for these entries.

    Each row that the function returns is (number of the entry, counted from 1; seq, or 0 if a version of its checks is
    outdated, or one of an earlier entry of the same sender; time; fingerprint of the existing entry, or None for a new one).
    """
    contacts = [(n, user) for n, entry in enumerate(entries, 1) for user in entry.contacts]
    mentions = [(n, user) for n, entry in enumerate(entries, 1) for user in entry.mentions]
    checks = [(n, check) for n, entry in enumerate(entries, 1) for check in entry.checks]
    return (
        [entry.timeline for entry in entries],
        [entry.time for entry in entries],
        [entry.sender for entry in entries],
        [entry.msg_key.client_time if entry.msg_key else None for entry in entries],
        [entry.msg_key.random if entry.msg_key else None for entry in entries],
        [entry.fingerprint for entry in entries],
        [entry.tail for entry in entries],
        [entry.receipt for entry in entries],
        [n for n, _ in contacts],
        [user for _, user in contacts],
        [n for n, _ in mentions],
        [user for _, user in mentions],
        [n for n, _ in checks],
        [check.kind for _, check in checks],
        [check.key for _, check in checks],
        [check.version for _, check in checks],
    )
