"""Local stores as each version of the client's schema left them, with rows of every kind.

`python -m tests.releases.devices` writes that of the newest version. What is kept is never written anew.
"""

from __future__ import annotations

from pathlib import Path

from timim import rows

FOLDER = Path(__file__).parent

# What a table has: columns and tables that a version does not know yet are left out.
ROWS = """
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
"""
LATER = {  # by the version that brought the tables
    3: """
INSERT INTO acts VALUES(2,'g',9,'recall',12,'{}');
INSERT INTO receipts VALUES(2,'g',5,3,4);
"""
}


def kept(version: int) -> Path:
    return FOLDER / f"device_{version}.sql"


def written(version: int) -> str:
    """The file of this version, as a text."""
    tables = "".join(rows._STEPS[:version]).replace("INSERT INTO indexing VALUES(0);", "INSERT INTO indexing VALUES(0);\n")
    later = "".join(text for of, text in LATER.items() if of <= version)
    return f"{tables.strip()}\n{ROWS}{later}PRAGMA user_version={version};\n"


if __name__ == "__main__":
    newest = kept(rows.SCHEMA_VERSION)
    if newest.exists():
        raise SystemExit(f"{newest.name} is kept as it is")
    newest.write_text(written(rows.SCHEMA_VERSION))
