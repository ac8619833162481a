"""The page `GET /`: it says that a timim server is here, and how a client connects. It has no script and no secret."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from importlib.metadata import PackageNotFoundError, version
from string import Template

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

REST_PREFIX = "/v4/"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}\Z")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
  color: light-dark(#1c2128, #d6dbe3); background: light-dark(#ffffff, #181b21); }
h1 { font-size: 1.4rem; }
pre { padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto; background: light-dark(#f0f2f5, #22262e); }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; }
"""
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>timim server</title>
<style>$style</style>
<h1>timim $version</h1>
<p>This is an instant messaging server. It speaks the protocol of Tencent IM (TIM) over websockets.</p>
<dl>
$facts
</dl>
<h2>Connect</h2>
<p>From Python, after <code>pip install timim</code>:</p>
<pre>$program</pre>
<p>From a terminal, after <code>pip install "timim[cli]"</code>:</p>
<pre>$command</pre>
<p>Your back end makes the UserSig of a user with the secret key of this server, which this page does not have:
<code>timim.sign_user(app_id, secret_key, user_id)</code>, or <code>timim sig alice</code> beside the server's data.
The folder <code>docs</code> in the source of timim has the documentation.</p>
</html>
""")
_TEXT = Template("""\
timim $version, an instant messaging server

$facts

$program

$command
""")
_PROGRAM = Template("""\
import asyncio
import timim

async def main():
    async with timim.Client("$url", app_id=$app_id, user_id="alice", user_sig="...") as client:
        await client.c2c("bob").send("hello")

asyncio.run(main())""")
_COMMAND = Template("timim tail --as alice --url $url --app-id $app_id --sig-file -")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "vary": "accept, host",
    "x-content-type-options": "nosniff",
}


def _version() -> str:
    try:
        return version("timim")
    except PackageNotFoundError:  # the source is used without an installation
        return ""


_VERSION = _version()  # once, because it reads files


class WelcomeEndpoint:
    """The route `GET /`: HTML for a browser, plain text for other programs.

    Args:
        app_id: The app id, which clients name at login.
        url: URL for clients, shown if a request does not name the host that it was sent to.
        public_url: HTTP address at which clients reach the server behind a proxy; empty if there is none.
        routes: The other routes of the server; the page names the REST API if they have it.
    """

    def __init__(self, app_id: int, url: str, public_url: str, routes: Iterable[BaseRoute]) -> None:
        self._app_id = app_id
        self._url = url
        self._public_url = public_url.rstrip("/")
        self._has_rest = any(isinstance(route, Route) and route.path.startswith(REST_PREFIX) for route in routes)

    def routes(self) -> list[Route]:
        """Return the routes of the endpoint."""
        return [Route("/", self._welcome)]

    async def _welcome(self, request: Request) -> Response:
        url = self._url_for(request)
        values = {"version": _VERSION, "url": url, "app_id": str(self._app_id)}
        program, command = _PROGRAM.substitute(values), _COMMAND.substitute(values)
        facts = self._facts(url)
        if "text/html" not in request.headers.get("accept", ""):
            shown = "\n".join(f"{name + ':':12}{value}" for name, value in facts)
            text = _TEXT.substitute(values, facts=shown, program=program, command=command)
            return Response(text, media_type="text/plain; charset=utf-8", headers=_HEADERS)
        rows = "\n".join(f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in facts)
        page = _PAGE.substitute(
            version=escape(_VERSION), style=_STYLE, facts=rows, program=escape(program), command=escape(command)
        )
        return Response(page, media_type="text/html; charset=utf-8", headers=_HEADERS)

    def _url_for(self, request: Request) -> str:
        """Return the URL with which the sender of a request reaches this server."""
        host = request.headers.get("host", "")
        if self._public_url:
            return self._public_url.replace("http", "ws", 1)
        secure = "s" if request.url.scheme == "https" else ""
        return f"ws{secure}://{host}" if _HOST.match(host) else self._url

    def _facts(self, url: str) -> list[tuple[str, str]]:
        web = url.replace("ws", "http", 1)
        facts = [("websocket", url), ("app id", str(self._app_id))]
        if self._has_rest:
            facts.append(("REST", web + REST_PREFIX))
        return [*facts, ("health", f"{web}/healthz, {web}/readyz")]
