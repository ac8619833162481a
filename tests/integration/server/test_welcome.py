"""Tests of the page `GET /`: its facts are true, it has no script and no secret, and nothing of a request is markup in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import timim
from timim.server.endpoints.welcome import WelcomeEndpoint
from timim.server.settings import Settings
from timim.testing import running_server

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Tags(HTMLParser):
    """The elements of a page, and the attributes that can run a script or load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.active: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.active += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "style")]


async def test_the_page_says_how_to_connect_and_has_no_secret() -> None:
    async with running_server() as server, httpx2.AsyncClient(base_url=server.url.replace("ws", "http", 1)) as web:
        page = await web.get("/", headers=BROWSER)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for fact in (server.url, str(server.app_id), timim.__version__, f"timim.Client(&quot;{server.url}&quot;", "/healthz"):
            assert fact in page.text
        assert server.secret_key not in page.text
        assert "light dark" in page.text
        tags = Tags(page.text)
        assert (tags.active, tags.tags.count("script")) == ([], 0)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        text = await web.get("/")
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert server.url in text.text
        assert "<" not in text.text
        assert (await web.head("/")).status_code == 200
        assert (await web.post("/")).status_code == 405
        assert (await web.get("/other")).status_code == 404
        program = re.search(r"import asyncio.*asyncio\.run\(main\(\)\)", text.text, re.DOTALL)
        assert program is not None
        compile(program[0], "page", "exec")


@pytest.mark.parametrize(
    "host", ['<script>alert("1")</script>', "a b", "x" * 300, "", '"onload="', "${version}"], ids=lambda host: host[:9]
)
async def test_a_host_that_is_no_host_is_not_shown(host: str) -> None:
    page = (await get(host, public_url="")).text
    assert "ws://127.0.0.1:8700" in page
    assert not host or host not in page


async def test_the_page_names_the_host_of_the_request_or_the_public_url() -> None:
    assert "ws://chat.local:81" in (await get("chat.local:81", public_url="")).text
    assert "wss://chat.example.com" in (await get("chat.local:81", public_url="https://chat.example.com/")).text


async def test_the_page_names_the_rest_api_if_the_server_has_it() -> None:
    async def nothing(request: Request) -> Response:
        return Response()

    without, with_rest = [(await get("h", routes=routes)).text for routes in ([], [Route("/v4/{service}/{command}", nothing)])]
    assert "http://h/v4/" in with_rest
    assert "/v4/" not in without


async def get(host: str, public_url: str = "", routes: list[Route] | None = None) -> httpx2.Response:
    """Request the page of an application that has this endpoint alone, with a host that no HTTP client would send."""
    port = Settings.model_fields["port"].default
    endpoint = WelcomeEndpoint(1400000001, f"ws://127.0.0.1:{port}", public_url, routes or [])
    transport = httpx2.ASGITransport(app=Starlette(routes=endpoint.routes()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as web:
        return await web.get("/", headers={**BROWSER, "host": host})
