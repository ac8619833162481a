CREATE FUNCTION public.timim_append_2(names text[], times bigint[], senders text[], client_times bigint[], randoms bigint[], prints bytea[], tails bytea[], receipts boolean[], contact_rows bigint[], contact_users text[], mention_rows bigint[], mention_users text[]) RETURNS TABLE(number bigint, seq bigint, at bigint, known bytea)
    LANGUAGE plpgsql
    AS $$
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
    JOIN msg_keys k ON k.timeline = i.id AND k.sender = i.sender AND k.client_time = i.client_time AND k.random = i.random
    JOIN entries e ON e.timeline = k.timeline AND e.seq = k.seq
  ),
  fresh AS (
    SELECT i.*, CASE WHEN i.client_time IS NULL THEN i.n
      ELSE min(i.n) OVER (PARTITION BY i.id, i.sender, i.client_time, i.random) END AS first_n
    FROM input i WHERE NOT EXISTS (SELECT 1 FROM standing s WHERE s.n = i.n)
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
  SELECT f.n, m.seq, m.at, CASE WHEN f.n = f.first_n THEN NULL ELSE m.print END
  FROM fresh f JOIN numbered m ON m.n = f.first_n;
END $$;
CREATE TABLE public.accounts (
    user_id text NOT NULL COLLATE pg_catalog."C",
    tiny_id bigint NOT NULL,
    nickname text NOT NULL COLLATE pg_catalog."C",
    face_url text NOT NULL COLLATE pg_catalog."C",
    custom text NOT NULL COLLATE pg_catalog."C",
    allow_type text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    details text DEFAULT '{}'::text NOT NULL COLLATE pg_catalog."C",
    version bigint DEFAULT 1 NOT NULL
);
CREATE TABLE public.applications (
    owner text NOT NULL COLLATE pg_catalog."C",
    peer text NOT NULL COLLATE pg_catalog."C",
    facts text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.blacklist (
    owner text NOT NULL COLLATE pg_catalog."C",
    peer text NOT NULL COLLATE pg_catalog."C",
    "time" bigint NOT NULL
);
CREATE TABLE public.circles (
    user_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL
);
CREATE TABLE public.contacts (
    user_id text NOT NULL COLLATE pg_catalog."C",
    timeline bigint NOT NULL,
    read_seq bigint DEFAULT 0 NOT NULL,
    read_time bigint DEFAULT 0 NOT NULL,
    floor bigint DEFAULT 1 NOT NULL,
    peer_read_seq bigint DEFAULT 0 NOT NULL,
    pinned bigint DEFAULT 0 NOT NULL,
    muted bigint DEFAULT 0 NOT NULL,
    draft text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.entries (
    timeline bigint NOT NULL,
    seq bigint NOT NULL,
    "time" bigint NOT NULL,
    sender text NOT NULL COLLATE pg_catalog."C",
    tail bytea NOT NULL,
    kind bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.friend_groups (
    owner text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.friends (
    owner text NOT NULL COLLATE pg_catalog."C",
    peer text NOT NULL COLLATE pg_catalog."C",
    remark text NOT NULL COLLATE pg_catalog."C",
    friend_groups text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    wording text NOT NULL COLLATE pg_catalog."C",
    added bigint NOT NULL
);
CREATE TABLE public.group_applications (
    group_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    inviter text NOT NULL COLLATE pg_catalog."C",
    wording text NOT NULL COLLATE pg_catalog."C",
    "time" bigint NOT NULL
);
CREATE TABLE public.groups (
    group_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    created bigint NOT NULL,
    facts text DEFAULT '{}'::text NOT NULL COLLATE pg_catalog."C",
    dissolved bigint DEFAULT 0 NOT NULL,
    version bigint DEFAULT 1 NOT NULL
);
CREATE TABLE public.media_blobs (
    uuid text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    object text NOT NULL COLLATE pg_catalog."C",
    touched bigint NOT NULL
);
CREATE TABLE public.media_dead (
    object text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.media_grants (
    uuid text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.media_objects (
    object text NOT NULL COLLATE pg_catalog."C",
    hash text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    parts text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.media_refs (
    uuid text NOT NULL COLLATE pg_catalog."C",
    timeline bigint NOT NULL,
    seq bigint NOT NULL
);
CREATE TABLE public.media_uploads (
    owner text NOT NULL COLLATE pg_catalog."C",
    upload text NOT NULL COLLATE pg_catalog."C",
    object text NOT NULL COLLATE pg_catalog."C",
    hash text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    touched bigint NOT NULL
);
CREATE TABLE public.members (
    group_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    role text NOT NULL COLLATE pg_catalog."C",
    name_card text NOT NULL COLLATE pg_catalog."C",
    floor bigint NOT NULL,
    muted_until bigint DEFAULT 0 NOT NULL,
    joined bigint DEFAULT 0 NOT NULL,
    custom text DEFAULT '{}'::text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.mentions (
    timeline bigint NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL
);
CREATE TABLE public.meta (
    key text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.msg_keys (
    timeline bigint NOT NULL,
    sender text NOT NULL COLLATE pg_catalog."C",
    client_time bigint NOT NULL,
    random bigint NOT NULL,
    seq bigint NOT NULL,
    fingerprint bytea NOT NULL
);
CREATE TABLE public.outlets (
    outlet text NOT NULL COLLATE pg_catalog."C",
    timeline bigint NOT NULL,
    seq bigint NOT NULL
);
CREATE TABLE public.places (
    user_id text NOT NULL COLLATE pg_catalog."C",
    place text NOT NULL COLLATE pg_catalog."C",
    device text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.receipts (
    timeline bigint NOT NULL,
    seq bigint NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    "time" bigint NOT NULL
);
CREATE TABLE public.receipts_wanted (
    timeline bigint NOT NULL,
    seq bigint NOT NULL,
    sender text NOT NULL COLLATE pg_catalog."C",
    readers bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.timelines (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    last_seq bigint DEFAULT 0 NOT NULL,
    last_time bigint DEFAULT 0 NOT NULL,
    floor bigint DEFAULT 1 NOT NULL,
    act_seq bigint DEFAULT 0 NOT NULL
);
ALTER TABLE public.timelines ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.timelines_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.timim_schema (
    version bigint NOT NULL
);
INSERT INTO public.accounts VALUES ('alice', 7, 'Al''ice 😀', 'http://127.0.0.1/a.png', '{"k": "v"}', 'AllowType_Type_AllowAny', '{"Tag_Profile_IM_SelfSignature": "你好\n"}', 3);
INSERT INTO public.accounts VALUES ('Zoë', 6, '', '', '{}', '', '{}', 1);
INSERT INTO public.applications VALUES ('Zoë', 'bob', '{"wording": "it is me"}');
INSERT INTO public.blacklist VALUES ('alice', 'mallory', 70);
INSERT INTO public.circles VALUES ('alice', 2);
INSERT INTO public.contacts VALUES ('alice', 1, 1, 95, 1, 0, 1, 1, 'not yet');
INSERT INTO public.contacts VALUES ('Zoë', 2, 1, 0, 1, 1, 0, 0, '');
INSERT INTO public.entries VALUES (1, 1, 90, 'alice', '\x224e223a317d', 0);
INSERT INTO public.entries VALUES (1, 2, 100, 'alice', '\x224e223a327d', 1);
INSERT INTO public.entries VALUES (2, 1, 1099511627776, 'Zoë', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 0);
INSERT INTO public.friend_groups VALUES ('alice', 0, 'near');
INSERT INTO public.friends VALUES ('alice', 'Zoë', 'z', '["near"]', 'AddSource_Type_web', 'hi', 80);
INSERT INTO public.group_applications VALUES ('g', 'Zoë', '', 'please', 99);
INSERT INTO public.groups VALUES ('g', 'Public', 'team', 'alice', 100, '{"introduction": "who are we?"}', 0, 4);
INSERT INTO public.groups VALUES ('gone', 'Work', '', '', 90, '{}', 1, 1);
INSERT INTO public.media_blobs VALUES ('u1', 'alice', 'o2', 61);
INSERT INTO public.media_dead VALUES ('o0');
INSERT INTO public.media_grants VALUES ('u1', 'Zoë');
INSERT INTO public.media_objects VALUES ('o2', 'bb', 3, '[3]');
INSERT INTO public.media_refs VALUES ('u1', 1, 1);
INSERT INTO public.media_uploads VALUES ('alice', '1-2-x', 'o1', 'aa', 8589934592, 60);
INSERT INTO public.members VALUES ('g', 'alice', 0, 'Owner', 'Al', 1, 0, 100, '{"seat": "4"}');
INSERT INTO public.mentions VALUES (1, 'Zoë', 2);
INSERT INTO public.meta VALUES ('last_tiny_id', '144115200000000000');
INSERT INTO public.meta VALUES ('epoch', '9f2c');
INSERT INTO public.meta VALUES ('app_id', '1400000001');
INSERT INTO public.msg_keys VALUES (1, 'alice', 50, 60, 2, '\x7072696e74');
INSERT INTO public.msg_keys VALUES (2, 'Zoë', 51, 4294967295, 1, '\x00ff');
INSERT INTO public.outlets VALUES ('push', 1, 2);
INSERT INTO public.places VALUES ('alice', 'mobile', 'd1');
INSERT INTO public.receipts VALUES (1, 1, 'Zoë', 98);
INSERT INTO public.receipts_wanted VALUES (1, 1, 'alice', 1, 5);
INSERT INTO public.timelines VALUES (1, 'groupg', 2, 100, 1, 2);
INSERT INTO public.timelines VALUES (2, 'c2cZoëalice', 1, 1099511627776, 1, 0);
INSERT INTO public.timim_schema VALUES (8);
SELECT pg_catalog.setval('public.timelines_id_seq', 2, true);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_tiny_id_key UNIQUE (tiny_id);
ALTER TABLE ONLY public.applications
    ADD CONSTRAINT applications_pkey PRIMARY KEY (owner, peer);
ALTER TABLE ONLY public.blacklist
    ADD CONSTRAINT blacklist_pkey PRIMARY KEY (owner, peer);
ALTER TABLE ONLY public.circles
    ADD CONSTRAINT circles_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (user_id, timeline);
ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (timeline, seq);
ALTER TABLE ONLY public.friend_groups
    ADD CONSTRAINT friend_groups_pkey PRIMARY KEY (owner, "position");
ALTER TABLE ONLY public.friends
    ADD CONSTRAINT friends_pkey PRIMARY KEY (owner, peer);
ALTER TABLE ONLY public.group_applications
    ADD CONSTRAINT group_applications_pkey PRIMARY KEY (group_id, user_id);
ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (group_id);
ALTER TABLE ONLY public.media_blobs
    ADD CONSTRAINT media_blobs_pkey PRIMARY KEY (uuid);
ALTER TABLE ONLY public.media_dead
    ADD CONSTRAINT media_dead_pkey PRIMARY KEY (object);
ALTER TABLE ONLY public.media_grants
    ADD CONSTRAINT media_grants_pkey PRIMARY KEY (uuid, user_id);
ALTER TABLE ONLY public.media_objects
    ADD CONSTRAINT media_objects_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.media_objects
    ADD CONSTRAINT media_objects_pkey PRIMARY KEY (object);
ALTER TABLE ONLY public.media_refs
    ADD CONSTRAINT media_refs_pkey PRIMARY KEY (uuid, timeline, seq);
ALTER TABLE ONLY public.media_uploads
    ADD CONSTRAINT media_uploads_pkey PRIMARY KEY (owner, upload);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (group_id, user_id);
ALTER TABLE ONLY public.mentions
    ADD CONSTRAINT mentions_pkey PRIMARY KEY (timeline, user_id, seq);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.msg_keys
    ADD CONSTRAINT msg_keys_pkey PRIMARY KEY (timeline, sender, client_time, random);
ALTER TABLE ONLY public.outlets
    ADD CONSTRAINT outlets_pkey PRIMARY KEY (outlet, timeline);
ALTER TABLE ONLY public.places
    ADD CONSTRAINT places_pkey PRIMARY KEY (user_id, place);
ALTER TABLE ONLY public.receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (timeline, seq, user_id);
ALTER TABLE ONLY public.receipts_wanted
    ADD CONSTRAINT receipts_wanted_pkey PRIMARY KEY (timeline, seq);
ALTER TABLE ONLY public.timelines
    ADD CONSTRAINT timelines_name_key UNIQUE (name);
ALTER TABLE ONLY public.timelines
    ADD CONSTRAINT timelines_pkey PRIMARY KEY (id);
CREATE INDEX applications_peer ON public.applications USING btree (peer, owner);
CREATE INDEX entries_acts ON public.entries USING btree (timeline, seq) WHERE (kind = 1);
CREATE INDEX friends_peer ON public.friends USING btree (peer, owner);
CREATE INDEX media_blobs_object ON public.media_blobs USING btree (object, owner);
CREATE INDEX media_blobs_touched ON public.media_blobs USING btree (touched);
CREATE INDEX media_refs_entry ON public.media_refs USING btree (timeline, seq);
CREATE INDEX media_uploads_touched ON public.media_uploads USING btree (touched);
CREATE INDEX members_of_user ON public.members USING btree (user_id);
CREATE INDEX members_position ON public.members USING btree (group_id, "position");
CREATE INDEX receipts_wanted_sender ON public.receipts_wanted USING btree (sender, changed);
