"""Bodies of groups: creating one, and what its members see of it."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply


class NewMember(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role", default="")


class CreateGroup(Body):
    """Without a GroupId the server makes one (`@TGS#…`)."""

    type: str = msgspec.field(name="Type")
    name: str = msgspec.field(name="Name")
    group_id: str = msgspec.field(name="GroupId", default="")
    owner: str = msgspec.field(name="Owner_Account", default="")
    members: list[NewMember] = msgspec.field(name="MemberList", default_factory=list)
    introduction: str = msgspec.field(name="Introduction", default="")
    notification: str = msgspec.field(name="Notification", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")


class CreateGroupReply(Reply):
    group_id: str = msgspec.field(name="GroupId", default="")
    type: str = msgspec.field(name="Type", default="")


CREATE_GROUP = Command("group_open_http_svc.create_group", CreateGroup, CreateGroupReply)
