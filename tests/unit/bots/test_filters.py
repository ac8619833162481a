"""Tests of filters: each field, their combinations, and the refusal of `and`, `or` and `not`."""

from __future__ import annotations

import pytest

from timim import ALL, F, Filter, ImageElem, InvalidArgument, Message, TextElem
from timim.testing import OfflineUser

ALICE, TEAM = OfflineUser("alice"), OfflineUser("bob", group_id="team")
ORDER = ALICE.message("/order 3")
NOTE = TEAM.message(Message("Hello, World", ImageElem(data=b"x")))


@pytest.mark.parametrize(
    "check, expected",
    [
        (F.text, (True, True)),
        (F.text.startswith("/order", "/cancel"), (True, False)),
        (F.text.endswith("World"), (False, True)),
        (F.text.contains("o, w", "3"), (True, False)),
        (F.text.lower().contains("o, w"), (False, True)),
        (F.text.matches(r"^\W\w+ \d$"), (True, False)),
        (F.text == "/order 3", (True, False)),
        (F.text != "/order 3", (False, True)),
        (F.sender == "bob", (False, True)),
        (F.sender.in_(["alice", "carol"]), (True, False)),
        (F.peer == "team", (False, True)),
        (F.is_group, (False, True)),
        (F.is_c2c, (True, False)),
        (F.is_reply, (False, False)),
        (F.has(ImageElem), (False, True)),
        (F.has(TextElem, ImageElem), (True, True)),
        (F.mentions("alice"), (False, False)),
    ],
    ids=repr,
)
def test_a_filter_is_satisfied_by_the_messages_that_its_name_says(check: Filter, expected: tuple[bool, bool]) -> None:
    assert (check(ORDER), check(NOTE)) == expected
    assert ((~check)(ORDER), (~check)(NOTE)) == (not expected[0], not expected[1])


def test_filters_combine_with_each_other_and_with_functions() -> None:
    def is_long(message: Message) -> bool:
        return len(message.text) > 9

    assert (F.is_group & F.text.contains("World") & ~F.is_c2c)(NOTE)
    assert not (F.is_group & F.text.startswith("/"))(NOTE)
    assert (F.is_group | F.text.startswith("/"))(ORDER)
    assert (F.is_group & is_long)(NOTE)
    assert (is_long & F.is_group)(NOTE)
    assert (is_long | F.is_c2c)(ORDER)
    assert not (is_long | F.is_group)(ORDER)
    assert repr(F.is_group & is_long | ~(F.sender == "bob")).startswith("((F.is_group & test_filters")


def test_a_mention_of_everybody_mentions_each_user() -> None:
    message = TEAM.message("look")
    message._mentions = (ALL,)
    assert F.mentions("alice")(message)


def test_a_filter_is_evaluated_later_with_the_present_members_of_a_set() -> None:
    admins: set[str] = set()
    check = F.sender.in_(admins)
    assert not check(ORDER)
    admins.add("alice")
    assert check(ORDER)


def test_a_message_that_was_not_received_is_in_no_conversation() -> None:
    assert not (F.is_group | F.is_c2c | F.peer)(Message("x"))


def test_words_of_python_for_conditions_are_refused() -> None:
    for check in (F.is_group, F.text, F.sender == "bob"):
        with pytest.raises(TypeError, match=r"combine filters with & \| ~ instead of and, or, not"):
            assert check
    with pytest.raises(InvalidArgument, match="check: must be callable"):
        Filter("x")  # type: ignore[arg-type]
