"""Tests of the table of permissions against the rules of the specification, written a second time."""

from __future__ import annotations

from tests.support.users import TYPES
from timim.server.social.group_permissions import ADMIN, JOINING, MEMBER, OWNER, PERMISSIONS, Permission


def test_the_table_matches_the_specification() -> None:
    """Test against rules written by hand. The test of the matrix is generated from the table, so it cannot find a wrong row."""
    everybody = {OWNER, ADMIN, MEMBER}
    work = {OWNER, MEMBER}
    assert (
        PERMISSIONS[Permission.INVITE, "Work"]
        == PERMISSIONS[Permission.EDIT, "Work"]
        == PERMISSIONS[Permission.QUIT, "Work"]
        == work
    )
    assert PERMISSIONS[Permission.SET_ADMIN, "Work"] == PERMISSIONS[Permission.APPROVE, "Work"] == set()
    assert PERMISSIONS[Permission.INVITE, "AVChatRoom"] == PERMISSIONS[Permission.KICK, "AVChatRoom"] == set()
    assert (
        PERMISSIONS[Permission.APPROVE, "Public"]
        == PERMISSIONS[Permission.KICK, "Public"]
        == PERMISSIONS[Permission.EDIT, "Public"]
        == {OWNER, ADMIN}
    )
    assert OWNER not in PERMISSIONS[Permission.QUIT, "Public"]
    assert PERMISSIONS[Permission.SPEAK, "Public"] == PERMISSIONS[Permission.READ, "Meeting"] == everybody
    assert PERMISSIONS[Permission.RECALL, "Public"] == PERMISSIONS[Permission.MENTION_ALL, "Meeting"] == {OWNER, ADMIN}
    assert PERMISSIONS[Permission.RECALL, "Work"] == PERMISSIONS[Permission.MENTION_ALL, "AVChatRoom"] == {OWNER}
    for type in TYPES:
        assert PERMISSIONS[Permission.DISSOLVE, type] <= {OWNER}
        assert PERMISSIONS[Permission.TRANSFER, type] <= {OWNER}
        assert PERMISSIONS[Permission.SET_ADMIN, type] <= {OWNER}
    joining = {"Work": "DisableApply", "Public": "NeedPermission", "Meeting": "FreeAccess", "AVChatRoom": "FreeAccess"}
    assert joining.items() <= JOINING.items()
