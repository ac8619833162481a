"""Fields of public objects cannot be assigned when the assignment would have no effect; the error names the remedy."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import pytest

import timim
from tests.meta.test_arguments_checked import instances
from timim import Message, MessageStatus

ASSIGNABLE = {("Message", "cloud_custom_data")}
PAGE = timim.Page([], complete=True, interval=None, source="local", requests=0)


def fields() -> Iterator[tuple[str, str, object]]:
    """Yield the name of each class with public objects, each of its public fields, and an object."""
    for name, instance in {**instances(), "Page": PAGE, "Coverage": timim.Coverage()}.items():
        inherited = set(dir(type(instance).__mro__[1])) if isinstance(instance, timim.Elem) else set()
        for attribute in sorted(set(dir(instance)) - inherited):
            if attribute.startswith("_") or (name, attribute) in ASSIGNABLE:
                continue
            static = inspect.getattr_static(instance, attribute)
            if not callable(static) and not isinstance(static, classmethod):
                yield name, attribute, instance


FIELDS = list(fields())


@pytest.mark.parametrize("name,attribute,instance", FIELDS, ids=[f"{name}.{field}" for name, field, _ in FIELDS])
def test_an_assignment_that_would_have_no_effect_is_refused(name: str, attribute: str, instance: object) -> None:
    with pytest.raises((AttributeError, ValueError)) as refused:
        setattr(instance, attribute, 1)
    if name in {"Client", "Conversation", "Group", "Message", "SearchResult"}:
        assert str(refused.value).startswith(f"{attribute}: cannot be assigned; ")


def test_the_fields_of_the_classes_with_state_are_found() -> None:
    found = {name for name, _, _ in FIELDS}
    assert found >= {"Client", "Conversation", "Group", "ImageElem", "Message", "Page", "SearchResult"}
    assert ("Message", "custom_int") in {(name, field) for name, field, _ in FIELDS}


def test_dataclasses_are_frozen() -> None:
    classes = [value for value in vars(timim).values() if inspect.isclass(value) and dataclasses.is_dataclass(value)]
    assert classes
    assert [one.__name__ for one in classes if not one.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "field,remedy",
    {
        "status": "use await message.remove() or message.resend()",
        "is_read": "use await message.conversation.mark_read(message)",
        "custom_int": "use await message.set_custom_int(…)",
        "priority": "pass priority= to conversation.send()",
        "mentions": "pass mention= to conversation.send()",
        "seq": "the client and the server set it",
        "elems": "use message.add(…) before send(), and await message.edit(…) after it",
    }.items(),
)
def test_the_error_names_the_call_that_changes_the_field(field: str, remedy: str) -> None:
    with pytest.raises(AttributeError) as refused:
        setattr(Message("x"), field, 1)
    assert str(refused.value) == f"{field}: cannot be assigned; {remedy}"


def test_cloud_custom_data_is_assigned_before_the_message_is_sent_only() -> None:
    message = Message("x")
    message.cloud_custom_data = "before"
    assert message.cloud_custom_data == "before"
    message._status = MessageStatus.SENDING
    with pytest.raises(AttributeError, match=r"after send\(\); use await message.edit"):
        message.cloud_custom_data = "after"
    assert message.cloud_custom_data == "before"
