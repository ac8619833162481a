"""Tests of R13: only current participants get content. Each route of the media endpoint is tried by each kind of stranger."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx2
import pytest

import timim
from tests.support.media_proxy import proxied_server
from timim import FileElem, UnknownElem
from timim.protocol.elems import encode_elem
from timim.protocol.web_client import PRE_SIGN, PreSignRequest
from timim.server.content import downloads
from timim.server.content.downloads import Downloads
from timim.server.content.uploads import Uploads
from timim.server.endpoints.media import MediaEndpoint, _ContentResponse
from timim.server.sessions.auth import Auth, sign_login
from timim.server.store.base import Blob
from timim.testing import EventRecorder, LocalServer, RunningServer, local_server, running_server
from timim.testing.server import SECRET_KEY

SECRET = b"what only participants may read"


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@dataclass(frozen=True)
class Place:
    """A server with content in a group, an unfinished upload of alice, and tokens of participants and others."""

    media_url: str
    http: httpx2.AsyncClient
    tokens: dict[str, str]
    uuid: str
    upload: str
    signed: dict[str, str]  # signed addresses of the content by user, from when both were members

    async def ask(self, method: str, path: str, token: str = "", **options: object) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = path if path.startswith("http") else self.media_url + path
        return await self.http.request(method, url, headers=headers, **options)  # type: ignore[arg-type]


@pytest.fixture
async def place(server: RunningServer) -> AsyncIterator[Place]:
    async with place_on(server) as here:
        yield here


@asynccontextmanager
async def place_on(server: RunningServer | LocalServer) -> AsyncIterator[Place]:
    async with (
        server.client("alice") as alice,
        server.client("bob") as bob,
        server.client("gone") as gone,
        server.client("stranger") as stranger,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        group = await alice.groups.create("Public", name="team", members=["bob", "gone"])
        watch, left = EventRecorder(bob), EventRecorder(gone)
        await group.conversation.send(FileElem(data=SECRET, filename="f"))
        elem = (await watch.wait_for_message(lambda m: isinstance(m[0], FileElem)))[0]
        same = (await left.wait_for_message(lambda m: isinstance(m[0], FileElem)))[0]
        assert isinstance(elem, FileElem)
        assert isinstance(same, FileElem)
        signed = {"bob": await elem.signed_url(), "gone": await same.signed_url()}
        await group.kick("gone")
        tokens = {who.user_id: who.engine.connection.server_info.token for who in (alice, bob, gone, stranger)}
        upload = uuid4().hex
        here = Place(alice.engine.connection.server_info.media_url, http, tokens, elem.uuid, upload, signed)
        begun = await here.ask("POST", "", tokens["alice"], json=announced(upload))
        assert begun.status_code == 200
        yield here


def announced(upload: str, content: bytes = b"to come") -> dict[str, object]:
    return {"Upload": upload, "Kind": "file", "Size": len(content), "Hash": hashlib.sha256(content).hexdigest()}


def altered(token: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def token_of(user: str, *, key: str = SECRET_KEY, now: float | None = None) -> str:
    """Return a session token that was signed at another time or with another key."""
    at = int(time.time() if now is None else now)
    return sign_login(key, user, begun_ms=at * 1000, signed_at=at, expires_at=at + 3600).token


ROUTES = MediaEndpoint(cast("Downloads", None), cast("Uploads", None), cast("Auth", None)).routes()
ALL = sorted((route.path, method) for route in ROUTES for method in route.methods or ())
TABLE = [row for row in ALL if row[1] != "OPTIONS"]
NOBODY: dict[str, Callable[[Place], str]] = {
    "without a token": lambda _: "",
    "an altered token": lambda place: altered(place.tokens["alice"]),
    "an expired token": lambda _: token_of("alice", now=time.time() - 7200),
    "another key": lambda _: token_of("alice", key="another key"),
}
STRANGERS: dict[str, Callable[[Place], str]] = {
    "a stranger": lambda place: place.tokens["stranger"],
    "a former member": lambda place: place.tokens["gone"],
}


async def attempt(place: Place, path: str, method: str, token: str) -> httpx2.Response:
    """Request this route for alice's upload or for the content of the group, and return the reply."""
    if path == "/media/web/{uuid}":  # this route accepts no token, only addresses signed for an upload
        address = urlsplit(place.signed.get("bob", ""))
        return await place.ask(method, f"/web/{place.uuid}?{address.query}&kind=file", token, content=b"x")
    if path == "/media":
        return await place.ask(method, "", token, json=announced(uuid4().hex))
    url = path.removeprefix("/media").format(uuid=place.uuid, upload=place.upload)
    if method == "PUT":
        return await place.ask(method, url, token, params={"offset": "0"}, content=b"to come")
    return await place.ask(method, url, token)


@pytest.mark.parametrize("who", NOBODY)
@pytest.mark.requirement("R13", "H13")
async def test_no_route_serves_a_request_without_login(place: Place, who: str) -> None:
    await check_nobody(place, who)


async def check_nobody(place: Place, who: str) -> None:
    """Check that each route refuses a request without a valid token."""
    for path, method in TABLE:
        reply = await attempt(place, path, method, NOBODY[who](place))
        assert reply.status_code == 401, (method, path)
        assert SECRET not in reply.content


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.requirement("R13", "H13")
async def test_no_route_serves_the_content_of_others(place: Place, who: str) -> None:
    await check_strangers(place, who)


async def check_strangers(place: Place, who: str) -> None:
    """Check that each route answers a stranger as if the content did not exist."""
    token = STRANGERS[who](place)
    nowhere = Place(place.media_url, place.http, place.tokens, uuid4().hex, uuid4().hex, {})
    for path, method in TABLE:
        if (path, method) == ("/media", "POST"):
            continue  # creates an upload of the stranger's own
        reply, nothing = await attempt(place, path, method, token), await attempt(nowhere, path, method, token)
        # the reply is the same as for content that does not exist
        assert (reply.status_code, reply.content) == (nothing.status_code, nothing.content)
        assert reply.status_code == (401 if "web" in path else 200 if method == "DELETE" else 404), (method, path)
        assert SECRET not in reply.content
    mine = await place.ask("PUT", f"/uploads/{place.upload}", place.tokens["alice"], params={"offset": "0"}, content=b"to come")
    assert mine.status_code == 200  # alice's upload is unchanged


@pytest.mark.requirement("R13")
async def test_a_preflight_request_reveals_nothing(place: Place) -> None:
    for path, method in ALL:
        if method == "OPTIONS":
            told = await place.ask(method, path.removeprefix("/media").format(uuid=place.uuid))
            nothing = await place.ask(method, path.removeprefix("/media").format(uuid=uuid4().hex))
            assert (told.status_code, told.content) == (nothing.status_code, nothing.content) == (204, b"")
            assert told.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in told.headers


@pytest.mark.requirement("R13")
async def test_participants_are_served(place: Place) -> None:
    for who in ("alice", "bob"):
        assert (await place.ask("GET", f"/{place.uuid}", place.tokens[who])).content == SECRET
    reply = await place.ask("GET", place.signed["bob"])
    assert reply.content == SECRET
    assert reply.headers["content-disposition"] == "attachment"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert (await place.ask("HEAD", place.signed["bob"])).content == b""


@pytest.mark.requirement("R13", "H13")
async def test_a_signed_address_opens_nothing_for_a_former_member(place: Place) -> None:
    await check_former_address(place)


async def check_former_address(place: Place) -> None:
    assert (await place.ask("GET", place.signed["gone"])).status_code == 404


@pytest.mark.requirement("R13", "H14")
async def test_an_altered_address_opens_nothing(place: Place) -> None:
    await check_addresses(place)


async def check_addresses(place: Place) -> None:
    """Check that a signed address is refused after any change, and as an address for an upload."""
    other = b"another"
    begun = announced(uuid4().hex, other)
    await place.ask("POST", "", place.tokens["bob"], json=begun)
    done = await place.ask("PUT", f"/uploads/{begun['Upload']}", place.tokens["bob"], params={"offset": "0"}, content=other)
    parts = urlsplit(place.signed["bob"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (await place.ask("GET", parts.geturl())).status_code == 200
    changed = (
        parts._replace(query=urlencode({**query, "user": "alice"})),
        parts._replace(query=urlencode({**query, "expires": str(int(query["expires"]) + 1)})),
        parts._replace(query=urlencode({**query, "expires": "never"})),
        parts._replace(query=urlencode({**query, "sign": altered(query["sign"])})),
        parts._replace(query=urlencode({**query, "sign": ""})),
        parts._replace(query=urlencode({**query, "sign": "\u4f60"})),
        parts._replace(path=f"/media/{json.loads(done.content)['UUID']}"),
    )
    for address in changed:
        assert (await place.ask("GET", address.geturl())).status_code == 401, address.query
    for kind in ("", "&kind=file", "&kind=none"):
        upload = parts._replace(path=f"/media/web/{place.uuid}", query=parts.query + kind)
        assert (await place.ask("PUT", upload.geturl(), content=b"x")).status_code == 401, kind


async def check_headers(place: Place) -> None:
    """Check that a browser shows no content: neither by a token nor by an address, neither whole nor in part."""
    page = b"<html><script>alert(1)</script></html>"
    begun = announced(uuid4().hex, page)
    await place.ask("POST", "", place.tokens["bob"], json=begun)
    done = await place.ask("PUT", f"/uploads/{begun['Upload']}", place.tokens["bob"], params={"offset": "0"}, content=page)
    uuid = json.loads(done.content)["UUID"]
    address = json.loads((await place.ask("GET", f"/{uuid}/url", place.tokens["bob"])).content)["Url"]
    token = {"Authorization": f"Bearer {place.tokens['bob']}"}
    for method in ("GET", "HEAD"):
        for url, headers in ((f"{place.media_url}/{uuid}", token), (address, {})):
            for asked in ({}, {"Range": "bytes=0-9"}):
                reply = await place.http.request(method, url, headers=headers | asked)
                assert reply.status_code == (206 if asked else 200)
                assert reply.headers["content-type"] == "application/octet-stream"
                assert reply.headers["content-disposition"] == "attachment"
                assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.requirement("H16")
async def test_a_browser_shows_no_content(place: Place) -> None:
    await check_headers(place)


class AnyMac:
    """The module hmac, for which all signatures are equal."""

    digest = staticmethod(hmac.digest)

    @staticmethod
    def compare_digest(one: bytes, other: bytes) -> bool:
        return True


async def find_for_all(self: Downloads, uuid: str, user: str) -> Blob:
    for participant in ("alice", "bob", user):
        if (blob := await self._store.readable(uuid, participant)) is not None:
            return blob
    raise timim.MediaGone("no such content")


async def accept_any_token(self: Auth, token: str) -> str:
    return "alice"


MUTANTS: dict[str, tuple[tuple[object, str, object], Callable[[Place], Awaitable[None]]]] = {
    "takes any token": ((Auth, "user_of", accept_any_token), lambda place: check_nobody(place, "an altered token")),
    "serves strangers": ((Downloads, "find", find_for_all), lambda place: check_strangers(place, "a stranger")),
    "serves former members": ((Downloads, "find", find_for_all), lambda place: check_strangers(place, "a former member")),
    "serves old addresses": ((Downloads, "find", find_for_all), check_former_address),
    "takes any address": ((downloads, "hmac", AnyMac), check_addresses),
    "shows pages": ((_ContentResponse, "media_type", "text/html"), check_headers),
}
PROVED: dict[object, str] = {check_addresses: "H14", check_headers: "H16"}


@pytest.mark.parametrize(
    "mutant, check",
    [pytest.param(*row, marks=pytest.mark.requirement(PROVED.get(row[1], "H13")), id=name) for name, row in MUTANTS.items()],
)
async def test_a_server_that_serves_anybody_is_detected(
    mutant: tuple[object, str, object], check: Callable[[Place], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_server() as server, place_on(server) as place:
        monkeypatch.setattr(*mutant)
        with pytest.raises(AssertionError):
            await check(place)


@pytest.mark.requirement("R13")
async def test_an_expired_address_opens_nothing_and_the_client_does_not_need_it() -> None:
    async with (
        running_server(media_url_s=1) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        watch = EventRecorder(bob)
        sent = await alice.c2c("bob").send(FileElem(data=SECRET, filename="f"))
        mine = sent[0]
        assert isinstance(mine, FileElem)
        address = await mine.signed_url()
        ends = int(parse_qs(urlsplit(address).query)["expires"][0])
        reply = await http.get(address)
        while reply.status_code == 200 and time.time() < ends + 20:
            reply = await http.get(address)
        assert reply.status_code == 401
        assert json.loads(reply.content)["ErrorCode"] == 70001
        # a message with an expired address; the client fetches the content by its uuid
        stale = FileElem(uuid=mine.uuid, url=address, size=len(SECRET), filename="stale")
        await bob_gets(alice, stale)
        got = (await watch.wait_for_message(lambda m: isinstance(m[0], FileElem) and m[0].filename == "stale"))[0]
        assert isinstance(got, FileElem)
        assert got.url == address
        assert await got.read() == SECRET


async def bob_gets(alice: timim.Client, elem: FileElem) -> None:
    raw = json.loads(encode_elem(elem))
    await alice.c2c("bob").send(UnknownElem(MsgType=raw["MsgType"], content=json.dumps(raw["MsgContent"]).encode()))


@pytest.mark.requirement("R12")
async def test_an_unacceptable_upload_is_refused_before_its_bytes(place: Place) -> None:
    cases: list[tuple[dict[str, object], int, int]] = [
        ({"Kind": "spreadsheet"}, 400, 6017),
        ({"Size": 0}, 400, 7006),
        ({"Size": -1}, 400, 7006),
        ({"Kind": "image", "Size": 29 * 1024 * 1024}, 413, 7005),
        ({"Size": 101 * 1024 * 1024}, 413, 7005),
        ({"Hash": "00"}, 400, 6017),
        ({"Upload": "../../etc/passwd"}, 400, 6017),
        ({"Upload": 5}, 400, 60003),
        ({"Size": "x" * 5000}, 413, 7005),
    ]
    for wrong, status, code in cases:
        reply = await place.ask("POST", "", place.tokens["alice"], json={**announced(uuid4().hex), **wrong})
        assert (reply.status_code, json.loads(reply.content)["ErrorCode"]) == (status, code), wrong


@pytest.mark.requirement("R12")
async def test_more_bytes_than_announced_are_not_kept(place: Place) -> None:
    put = f"/uploads/{place.upload}"
    reply = await place.ask("PUT", put, place.tokens["alice"], params={"offset": "0"}, content=b"to come and more")
    assert reply.status_code == 413
    for offset in ("5", "-1", "", "1e3", "9" * 40):
        reply = await place.ask("PUT", put, place.tokens["alice"], params={"offset": offset}, content=b"x")
        assert reply.status_code in (400, 409)
    other = announced(place.upload, b"other content")
    assert (await place.ask("POST", "", place.tokens["alice"], json=other)).status_code == 400


@pytest.mark.requirement("F07")
async def test_ranges_are_served_as_requested(place: Place) -> None:
    url = f"{place.media_url}/{place.uuid}"
    for asked, status, content in (
        ("bytes=5-", 206, SECRET[5:]),
        ("bytes=5-9", 206, SECRET[5:10]),
        ("bytes=-4", 206, SECRET[-4:]),
        ("bytes=0-", 200, SECRET),
        (f"bytes={len(SECRET)}-", 416, b""),
        ("bytes=9-5", 416, b""),
        ("bytes=0-1,3-4", 200, SECRET),
        ("lines=1-2", 200, SECRET),
        ("bytes=-", 200, SECRET),
    ):
        reply = await place.http.get(url, headers={"Authorization": f"Bearer {place.tokens['bob']}", "Range": asked})
        assert (reply.status_code, reply.content) == (status, content), asked
        if status == 206:
            assert reply.headers["content-range"].endswith(f"/{len(SECRET)}")


async def test_too_many_unfinished_uploads_are_refused(tmp_path: Path) -> None:
    async with proxied_server(tmp_path, {"media_open_uploads": 2}) as (server, _), server.client("alice") as alice:
        url, token = alice.engine.connection.server_info.media_url, alice.engine.connection.server_info.token
        async with httpx2.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {token}"}) as http:
            replies = [await http.post(url, json=announced(uuid4().hex)) for _ in range(3)]
            assert [reply.status_code for reply in replies] == [200, 200, 429]
            assert json.loads(replies[2].content)["RetryAfter"] > 0


@pytest.mark.requirement("R13")
async def test_an_upload_address_works_once_and_for_its_user_only(server: RunningServer) -> None:
    async with (
        server.client("alice") as alice,
        server.client("bob"),
        server.client("eve") as eve,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        told = await alice.engine.connection.call(PRE_SIGN, PreSignRequest(file_type=1, file_name="x.jpg"))
        parts = urlsplit(told.upload_url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for changed in (
            {"user": "eve"},
            {"kind": "video"},
            {"kind": ""},
            {"expires": "9" * 10},
            {"sign": altered(query["sign"])},
        ):
            address = parts._replace(query=urlencode({**query, **changed})).geturl()
            assert (await http.put(address, content=b"x")).status_code == 401, changed
        # the signature of an upload does not permit a download
        assert (await http.get(told.download_url + "?" + parts.query)).status_code == 401
        assert await status_before_the_body(told.upload_url, 29 << 20) == 413
        assert (await http.put(told.upload_url, content=b"")).status_code == 400
        assert (await http.put(told.upload_url, content=SECRET)).status_code == 200
        again = await http.put(told.upload_url, content=b"something else")
        assert (again.status_code, json.loads(again.content)["Size"]) == (200, len(SECRET))
        mine = FileElem(uuid=told.download_url.rpartition("/")[2], url=told.download_url)
        mine.bind(alice.engine.media)
        assert await mine.read() == SECRET
        theirs = mine.model_copy()
        theirs.bind(eve.engine.media)
        with pytest.raises(timim.MediaGone):
            await theirs.read()


async def status_before_the_body(url: str, size: int) -> int:
    """Send only the head of an upload request, and return the status of the reply."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
