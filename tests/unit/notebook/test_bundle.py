"""Tests of objects as HTML: what is shown, that texts of users are escaped, and that an output is bounded."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

import timim
from tests.unit.message_parts.test_text_form import GROUP, received
from timim import (
    ConversationKey,
    ConversationType,
    CustomElem,
    FaceElem,
    FileElem,
    GroupNoticeElem,
    GroupNoticeType,
    GroupTipElem,
    GroupTipType,
    HistoryCoverage,
    ImageElem,
    Interval,
    LocationElem,
    Message,
    MessageStatus,
    Page,
    QuotedMessage,
    RelationElem,
    RelationType,
    SearchResult,
    SenderMember,
    SenderProfile,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
    merge_messages,
)
from timim.elems import AnyElem
from timim.message_parts.fields import MessageState
from timim.message_parts.quotes import embed_quote
from timim.notebook import load_previews
from timim.notebook.bundle import mimebundle
from timim.notebook.previews import PREVIEWS

MEDIA = Path(__file__).resolve().parents[3] / "examples" / "media"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'></div></style>\u202e&amp;"
ALLOWED = set("style div span table thead tbody tr th td details summary img audio video mark b i br".split())
EMPTY = {"img", "br"}


class Checker(HTMLParser):
    """Checks that markup is well formed and has only allowed tags, no handlers of events, and no addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.kinds: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        self.kinds.append(tag)
        if tag not in EMPTY:
            self.open.append(tag)
        for name, value in attrs:
            assert name in {"class", "style", "title", "alt", "src", "poster", "controls", "preload", "dir"}, name
            if name in ("src", "poster"):
                assert value is not None
                assert value.startswith("data:"), value[:80]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.words.append(data)


def shown(value: object) -> Checker:
    return Checker(mimebundle(value)["text/html"])


def text_of(value: object) -> str:
    return "".join(shown(value).words)


def one(*elems: AnyElem, sender: str = "alice", seq: int = 17) -> Message:
    return received(*elems, key=GROUP, sender=sender, seq=seq)


def page(*messages: Message, complete: bool = True, gaps: tuple[Interval, ...] = ()) -> Page:
    seqs = [message.seq for message in messages]
    interval = Interval(min(seqs), max(seqs))
    return Page(messages, complete=complete, interval=interval, source="local", requests=0, gaps=gaps)


def hostile_message() -> Message:
    elems: tuple[AnyElem, ...] = (
        TextElem(text=HOSTILE),
        FileElem(data=b"x", filename=HOSTILE),
        CustomElem(desc=HOSTILE),
        LocationElem(desc=HOSTILE, latitude=1, longitude=2),
        FaceElem(index=1),
        UnknownElem(MsgType=HOSTILE, content=b"{}"),
        GroupTipElem(type=GroupTipType.JOIN, operator=HOSTILE, users=(HOSTILE,), reason=HOSTILE),
        GroupNoticeElem(type=GroupNoticeType.APPLIED, group_id=HOSTILE, operator=HOSTILE, text=HOSTILE),
        RelationElem(type=RelationType.APPLICATION_ADDED, users=(HOSTILE,), wording=HOSTILE),
        merge_messages([one(TextElem(text=HOSTILE), sender=HOSTILE)], title=HOSTILE, abstracts=[HOSTILE]),
        VideoElem(data=HOSTILE.encode()),
    )
    message = one(*elems, sender=HOSTILE)
    message._key = ConversationKey(ConversationType.GROUP, HOSTILE)
    message._cloud_custom_data = embed_quote(QuotedMessage(1, "1-1", HOSTILE, HOSTILE), "")
    message._sender_profile = SenderProfile(HOSTILE, HOSTILE)
    message._sender_member = SenderMember(HOSTILE, HOSTILE)
    message._mentions = (HOSTILE,)
    message._state = MessageState(reactions={HOSTILE: ("bob",)})
    return message


@pytest.mark.requirement("P08")
def test_texts_and_names_of_users_are_escaped_everywhere() -> None:
    message = hostile_message()
    key = ConversationKey(ConversationType.C2C, HOSTILE)
    coverage = HistoryCoverage((), (Interval(1, 2),), 1, 2)
    result = SearchResult([message], find=lambda text: [(0, 8), (10, 12)], gaps={key: coverage}, next=None, requests=0)
    values = [
        message,
        *message.elems,
        page(message),
        result,
        coverage,
        timim.ReadReceipt(key, 1, HOSTILE),
        timim.HandlerFailed(print, message, ValueError(HOSTILE)),
        timim.HandlerFailed(print, [message], timim.TimimError(HOSTILE)),
        timim.ProfileChanged(HOSTILE, 1, {HOSTILE: HOSTILE}, message),
        timim.Profile(HOSTILE, HOSTILE, HOSTILE, details={HOSTILE: HOSTILE}),
        timim.Friend(HOSTILE, HOSTILE, groups=(HOSTILE,)),
        timim.FriendApplication(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, sent=False),
        timim.StoreReplaced(Path("x")),
        QuotedMessage(1, "1-1", HOSTILE, HOSTILE),
    ]
    for value in values:
        words = "".join(shown(value).words)
        assert "\u202e" not in words
    assert HOSTILE.replace("\u202e", "\ufffd") in text_of(message)


def test_a_client_and_its_conversations_are_escaped() -> None:
    client = timim.Client("ws://127.0.0.1:1", app_id=1, user_id="<b>ann", user_sig="x", data_dir=":memory:")
    bob = client.c2c("<i>bob")
    for value in (client, bob, client.conversations, client.groups.of("<u>team")):
        shown(value)
    assert "<b>ann" in text_of(client)
    assert "logged out" in text_of(client)
    assert "<i>bob" in text_of(bob)


def test_each_kind_of_elem_is_named() -> None:
    words = text_of(
        one(
            FaceElem(index=7),
            FileElem(data=b"x" * 2500, filename="报告.pdf"),
            LocationElem(desc="Paris", latitude=48.85, longitude=2.35),
        )
    )
    for part in ("number 7", "报告.pdf", "2.5 KB", "Paris", "48.85000, 2.35000"):
        assert part in words
    assert "join" in text_of(one(GroupTipElem(type=GroupTipType.JOIN, users=("bob",))))
    assert "12345" in text_of(one(GroupTipElem(type=12345)))


def test_a_chat_is_oldest_first_with_its_gaps_marked() -> None:
    messages = [one(TextElem(text=f"text {seq}"), seq=seq) for seq in (9, 8, 4, 3)]
    words = text_of(page(*messages, complete=False, gaps=(Interval(5, 7),)))
    order = [words.index(part) for part in ("not proven complete", "text 3", "text 4", "seqs 5 to 7", "text 8", "text 9")]
    assert order == sorted(order)
    assert "complete" in text_of(page(*messages))
    assert "may be missing" not in text_of(page(*messages))
    assert "may be missing" in text_of(page(*messages, complete=False))


def test_a_message_shows_its_state_quote_and_reactions() -> None:
    message = one(TextElem(text="answer"))
    message._cloud_custom_data = embed_quote(QuotedMessage(3, "1-1", "bob", "the question"), "")
    message._state = MessageState(version=1, reactions={"👍": ("bob", "carol")})
    words = text_of(message)
    for part in ("alice", "#17", "edited", "the question", "👍 2", "group team"):
        assert part in words
    message._status = MessageStatus.FAILED
    assert "failed" in text_of(message)
    message._state = MessageState(recall_seq=1, recaller="bob")
    assert "recalled by" in text_of(message)
    assert "answer" not in text_of(message)
    assert "not sent" in text_of(Message("x"))


def test_found_words_are_marked() -> None:
    result = SearchResult([one(TextElem(text="an invoice"))], find=lambda text: [(3, 10)], gaps={}, next=None, requests=0)
    assert "<mark>invoice</mark>" in mimebundle(result)["text/html"]


def test_a_merged_message_unfolds_layer_by_layer_to_a_limit() -> None:
    merger = merge_messages([one(TextElem(text="layer 1"))], title="title 1")
    for layer in range(2, 6):
        merger = merge_messages([one(TextElem(text=f"layer {layer}"), merger)], title=f"title {layer}")
    checked = shown(one(merger))
    assert checked.kinds.count("details") == 3
    words = "".join(checked.words)
    assert [f"layer {layer}" in words for layer in (5, 4, 3)] == [True, True, True]
    assert "title 2" in words  # the first layer that does not unfold: its abstract is shown
    assert "layer 1" not in words


@pytest.mark.requirement("P08")
async def test_pictures_and_sounds_are_inside_the_output_once_they_are_in_memory() -> None:
    picture, sound = MEDIA / "astronaut.png", MEDIA / "hello-en.wav"
    small = one(
        ImageElem(path=MEDIA / "rocket.jpg"), SoundElem(path=sound), ImageElem(path=picture), ImageElem(data=b"no picture")
    )
    assert "img" not in shown(small).kinds
    await load_previews(page(small))
    checked = shown(small)
    assert checked.kinds.count("img") == 1
    assert checked.kinds.count("audio") == 1
    assert "many for an output" in "".join(checked.words) or "the limit is" in "".join(checked.words)  # the png has 800 KB
    assert PREVIEWS.missing([]) == []


@pytest.mark.requirement("P08")
def test_an_output_is_bounded() -> None:
    long = "好" * 100_000
    crowd = [one(*[CustomElem(desc=long)] * 300, TextElem(text=long), sender=long, seq=seq) for seq in range(1000, 0, -1)]
    html = mimebundle(page(*crowd, gaps=tuple(Interval(seq, seq) for seq in range(1, 1000, 2))))["text/html"]
    assert len(html) < 600_000
    assert "950 older messages" in html
    assert "more characters" in html
    many = tuple(Interval(seq, seq) for seq in range(1, 200_000, 2))
    assert len(mimebundle(HistoryCoverage(many, many, 1, 200_000))["text/html"]) < 50_000
    few = [one(*[CustomElem(desc="d" * 300)] * 20, seq=seq) for seq in range(1, 301)]
    merger = merge_messages(few, title="t" * 1000)
    assert len(mimebundle(one(*[merger] * 20))["text/html"]) < 1_000_000


def test_a_bar_shows_the_parts_that_are_missing() -> None:
    coverage = HistoryCoverage((Interval(1, 4), Interval(9, 100)), (Interval(5, 8),), 1, 100, synced=False)
    html = mimebundle(coverage)["text/html"]
    assert "left:0.000%;width:4.000%" in html
    assert "left:8.000%;width:92.000%" in html
    words = text_of(coverage)
    assert "4 missing" in words
    assert "seqs 5 to 8" in words
    assert "retry" in words


def test_light_and_dark_are_chosen_by_the_notebook_and_else_by_the_browser() -> None:
    html = mimebundle(Message("x"))["text/html"]
    for rule in (
        "prefers-color-scheme:dark",
        'data-jp-theme-light="false"',
        'data-jp-theme-light="true"',
        "vscode-dark",
        "vscode-light",
    ):
        assert rule in html


def test_an_object_without_more_to_show_is_plain_text() -> None:
    assert mimebundle(timim.Router()) == {"text/plain": "<Router>"}
