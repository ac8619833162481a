"""Tests of group types, roles and join options: named values that equal Tencent's strings."""

from __future__ import annotations

import pytest

from timim import GroupType, JoinOption, MemberRole
from timim.groups.types import group_info_from_wire
from timim.protocol.groups import GroupInfoItem


def test_named_values_equal_the_strings_of_the_wire() -> None:
    info = group_info_from_wire(GroupInfoItem(group_id="g", type="Public", apply_option="NeedPermission"))
    assert info.type is GroupType.PUBLIC
    assert info.join_option is JoinOption.APPROVAL
    assert (info.type, info.join_option, MemberRole("Owner")) == ("Public", "NeedPermission", "Owner")


def test_a_name_of_a_newer_server_keeps_its_text() -> None:
    info = group_info_from_wire(GroupInfoItem(group_id="g", type="Live", apply_option="Sometimes"))
    assert (info.type, str(info.join_option), info.type.name) == ("Live", "Sometimes", "Live")
    assert "Live" not in list(GroupType)


def test_only_strings_become_named_values() -> None:
    with pytest.raises(ValueError, match="not a valid"):
        GroupType(7)  # type: ignore[arg-type]
