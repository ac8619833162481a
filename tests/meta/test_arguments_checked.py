"""Each argument of each public call is checked, in one form: a table of wrong values for all of `timim.__all__`.

The calls and their arguments come from the signatures. The client of these tests is not open: it has neither a store nor a
connection, so that a call that names its wrong argument has stored and sent nothing. A call that looks at the state of the
client first raises NotLoggedIn, which fails the test.
"""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

import timim
from timim import InvalidArgument, Message
from timim.engine.message_extensions import ExtensionRequests
from timim.ids import ConversationKey, ConversationType, GroupId, UserId
from timim.util.arguments import FilePath, checked

TEXTS = {"NUL": "a\0b", "lone surrogate": "a\ud800", "10 MB": "x" * 10_000_000}
NUMBERS = {"NaN": float("nan"), "over 64 bits": 2**70, "below 64 bits": -(2**70), "a text": "1"}
CONSTRUCTED = (timim.Client, timim.Filter, timim.Message, timim.OfflinePush, timim.Router)
SERVER_ELEMS = {"GroupTipElem", "GroupNoticeElem", "RelationElem"}
INTERNAL = {"bind", "bind_elems", "bind_unpacker", "check", "load_body", "received", "replace_elems", "update_from"}
ENDED_BY_PYTHON = {"Coverage": "a value without I/O", "ProgressBar": "shows any numbers", "EventStream": "has no arguments"}
ANY_VALUE = {("Router.provide", "kind"), ("Router.provide", "value")}  # any class, and any object
LIMITED_LATER = {"parts", "part", "cloud_custom_data"}  # a message's size is limited with all its parts
VALID = {"url": "ws://127.0.0.1:1", "user_sig": "signature"}
Call = tuple[Callable[..., Any], dict[str, Any]]  # a function, and the annotations of its arguments


def client() -> timim.Client:
    return timim.Client("ws://127.0.0.1:1", app_id=1, user_id="ann", user_sig="x", data_dir=":memory:")


def instances() -> dict[str, object]:
    """Return an object of each public class with methods; the client is not open."""
    ann = client()
    sound = timim.SoundElem(data=b"x")
    return {
        "Client": ann,
        "Conversation": ann.group("team"),
        "Filter": timim.F.is_group,
        "Router": timim.Router(),
        "TextField": timim.F.text,
        "Message": Message("x"),
        "Group": ann.groups.of("team"),
        "Groups": ann.groups,
        "Friends": ann.friends,
        "Follows": ann.follows,
        "ConversationList": ann.conversations,
        "ConversationLabels": ann.conversations.labels,
        "CloudSearch": ann.cloud_search,
        "Language": ann.language,
        "Statuses": ann.statuses,
        "GroupCounters": ann.groups.of("team").counters,
        "GroupPins": ann.groups.of("team").pins,
        "GroupTopics": ann.groups.of("team").topics,
        "LiveRoom": ann.groups.of("team").live,
        "MessageExtensions": timim.MessageExtensions(
            ExtensionRequests(ann.engine.connection, ConversationKey(ConversationType.C2C, "bob"), 1)
        ),
        "DeadLetters": ann.dead_letters,
        "Profiles": ann.profiles,
        "OwnProfile": ann.profile,
        "SearchResult": timim.SearchResult([], find=lambda text: [], gaps={}, next=None, requests=0),
        "SoundElem": sound,
        "FileElem": timim.FileElem(data=b"x"),
        "VideoElem": timim.VideoElem(data=b"x"),
        "ImageElem": timim.ImageElem(data=b"x"),
        "ImageVariant": timim.ImageVariant(type=timim.ImageType.THUMB, width=1, height=1, size=1),
        "MergerElem": timim.MergerElem(),
    }


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    return {name: hints.get(name) for name in inspect.signature(function).parameters}


def public_calls() -> dict[str, Call]:
    """Return each public call that has arguments: functions, constructors and methods."""
    found: dict[str, Call] = {}
    objects = instances()
    for name in timim.__all__:
        value = getattr(timim, name)
        if inspect.isfunction(value):
            found[name] = (value, annotations_of(value))
        elif inspect.isclass(value) and not issubclass(value, timim.TimimError | enum.Enum):
            if value in CONSTRUCTED:
                found[name] = (value, {k: v for k, v in annotations_of(value.__init__).items() if k != "self"})
            elif issubclass(value, timim.Elem) and name not in SERVER_ELEMS | {"Elem"}:
                found[name] = (value, typing.get_type_hints(value, include_extras=True) | {})
                fields = value.model_fields
                found[name] = (value, {k: v for k, v in found[name][1].items() if k in fields})
            for method, function in inspect.getmembers(value, inspect.isfunction):
                public = (
                    not method.startswith("_")
                    and method not in INTERNAL
                    and not hasattr(BaseModel, method)
                    and not hasattr(Sequence, method)
                )
                if public and list(inspect.signature(function).parameters) != ["self"] and name not in ENDED_BY_PYTHON:
                    assert name in objects, f"add an object of {name} to instances()"
                    bound = getattr(objects[name], method)
                    found[f"{name}.{method}"] = (bound, annotations_of(bound))
    return found


def members(hint: Any) -> tuple[Any, ...]:
    if hint in (UserId, GroupId, FilePath):
        return (hint,)
    if typing.get_origin(hint) is Annotated:
        return members(typing.get_args(hint)[0])
    if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(one for part in typing.get_args(hint) for one in members(part))
    return (hint,)


def is_text(hint: Any) -> bool:
    return hint in (str, UserId, GroupId) or hint == FilePath


def valid(name: str, hint: Any) -> Any:
    """Return a value that this argument may have."""
    kind = members(hint)[0]
    if name in VALID:
        return VALID[name]
    if is_text(kind):
        return "x"
    if kind is timim.Client:
        return client()
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)[0]
    if typing.get_origin(kind) is type:
        return typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    origin = typing.get_origin(kind) or kind
    made: dict[Any, Any] = {bool: True, int: 1, float: 1.0, bytes: b"x", Message: Message("x"), Path: Path("x")}
    made[timim.SoundElem] = timim.SoundElem(data=b"x", duration=1)
    made |= {Sequence: [], Mapping: {}, Callable: print, tuple: ()}
    return made[origin]


def wrong(name: str, hint: Any, *, elem: bool) -> Iterator[tuple[str, object]]:
    """Yield values that this argument must not have, and their names."""
    kinds = members(hint)
    yield "an object", object()
    if NoneType not in kinds:
        yield "None", None
    if any(kind in (UserId, GroupId) or kind == FilePath for kind in kinds):
        yield "empty", ""
    if any(is_text(kind) for kind in kinds):
        yield from ((case, text) for case, text in TEXTS.items() if case != "10 MB" or not (elem or name in LIMITED_LATER))
        if not elem:
            yield "bytes", b"x"
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            yield (
                "another enum's",
                next(one for one in (timim.Priority.LOW, timim.MemberRole.OWNER) if not isinstance(one, kind)),
            )
        elif kind in (int, float) and bool not in kinds and str not in kinds:
            numbers = {k: v for k, v in NUMBERS.items() if k != "over 64 bits"} if kind is float else NUMBERS
            yield from ((case, number) for case, number in numbers.items() if not elem)
            yield from (("True", True),) if not elem else ()
        elif kind is bool and not elem:
            yield from (("a number", 1), ("a text", "yes"))
        elif kind is bytes and not {str, Path} & set(kinds):
            yield "a text", "x"
        elif typing.get_origin(kind) in (type, Literal) and not any(map(is_text, kinds)):
            yield from (("a text", "nothing"), ("a class", int))
        elif typing.get_origin(kind) is Sequence and not elem:
            yield "a set", {"x"}
            yield from ((f"a list of {case}", [value]) for case, value in wrong(name, typing.get_args(kind)[0], elem=elem))
        elif typing.get_origin(kind) is Mapping and not elem:
            inner = dict(wrong(name, typing.get_args(kind)[1], elem=elem))
            yield from ((f"a mapping to {case}", {"k": value}) for case, value in inner.items())
            yield from ((f"a mapping of {case}", {value: "v"}) for case, value in inner.items())
            yield "a list", ["x"]


CALLS = public_calls()


async def outcome(call: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> BaseException | None:
    try:
        result = call(*args, **kwargs)
        if inspect.isawaitable(result):
            await result
        elif isinstance(result, AsyncIterator):
            await anext(result)
        elif hasattr(result, "__aenter__"):
            async with result:
                pass
    except Exception as exc:  # noqa: BLE001  the test judges it
        return exc
    return None


async def accepted(label: str, function: Callable[..., Any], hints: dict[str, Any], argument: str) -> list[str]:
    """Return the wrong values that a call accepts, or refuses without naming the argument."""
    found: list[str] = []
    elem = inspect.isclass(function) and issubclass(function, timim.Elem)
    parameters = {} if elem else inspect.signature(function).parameters
    for case, value in wrong(argument, hints[argument], elem=elem):
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, hint in hints.items():
            parameter = parameters.get(name)
            needed = parameter.default is parameter.empty if parameter else function.model_fields[name].is_required()  # type: ignore[attr-defined]
            if name == argument or needed:
                given = value if name == argument else valid(name, hint)
                if parameter is not None and parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                    args.append(given)
                else:
                    kwargs[name] = given
        error = await outcome(function, args, kwargs)
        names = {"part", "text"} if argument.startswith("part") else {argument}
        if not isinstance(error, InvalidArgument) or not any(name in str(error) for name in names):
            found.append(f"{label}({argument}={case}): {type(error).__name__}: {str(error)[:200]}")
        elif len(str(error)) > 300:
            found.append(f"{label}({argument}={case}) says too much: {str(error)[:400]}")
    return found


@pytest.mark.parametrize(
    "label, argument", sorted({(label, name) for label, (_, hints) in CALLS.items() for name in hints} - ANY_VALUE)
)
async def test_a_wrong_argument_is_refused_by_its_name_before_anything_is_stored_or_sent(label: str, argument: str) -> None:
    function, hints = CALLS[label]
    assert await accepted(label, function, hints, argument) == []


def test_the_table_has_all_public_calls() -> None:
    assert len(CALLS) > 80
    assert {"Client", "Client.off", "Conversation.send", "Message.edit", "TextElem", "SoundElem.download", "sign_user"} <= set(
        CALLS
    )


async def test_a_new_argument_without_a_check_fails_the_test() -> None:
    async def send(*, text: str) -> None: ...

    hints = annotations_of(send)
    assert len(await accepted("send", send, hints, "text")) == 6
    assert await accepted("send", checked(InvalidArgument)(send), hints, "text") != []  # `str` says nothing of NUL


@pytest.mark.parametrize("events", [(), ("message",), (timim.TextElem,)])
def test_on_names_the_events_that_it_does_not_know(events: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument, match="events"):
        client().on(*events)


def test_the_text_says_what_was_given_and_what_is_right() -> None:
    ann = client()
    for call, text in (
        (lambda: ann.conversation("C2C", "bob"), "type: must be a ConversationType such as ConversationType.C2C, not 'C2C'"),  # type: ignore[arg-type]
        (lambda: ann.c2c(9), "user_id: must be a string, not 9"),  # type: ignore[arg-type]
        (lambda: ann.on_new_message("x"), "handler: must be callable, not 'x'"),  # type: ignore[type-var]
        (lambda: ann.on("message"), "events[0]: must be a subclass of ClientEvent, not 'message'"),  # type: ignore[call-overload]
        (lambda: ann.c2c("bob").wait_for(bool, timeout="5"), "timeout: must be a valid number, not '5'"),  # type: ignore[arg-type]
        (lambda: timim.sign_user(1, 5, "bob"), "secret_key: must be a valid string, not int"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgument) as refused:
            call()
        assert refused.value.info == text


def test_a_missing_or_unknown_argument_is_pythons_own_type_error() -> None:
    ann = client()
    with pytest.raises(TypeError, match="missing a required argument: 'handler'"):
        ann.off()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'loud'"):
        ann.wait_for(bool, loud=True)  # type: ignore[call-arg]


def test_the_signature_stays_visible() -> None:
    assert list(inspect.signature(timim.Conversation.send).parameters)[:3] == ["self", "parts", "push"]
    assert inspect.iscoroutinefunction(timim.Conversation.send)
    assert (timim.Conversation.send.__doc__ or "").startswith("Send text, elems or one Message")
