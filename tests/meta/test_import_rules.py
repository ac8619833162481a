"""Tests that imports point down only: a package may import its own modules and the packages that `MAY_IMPORT` lists.

Imports inside functions and under TYPE_CHECKING count too, except the one in `FOR_TYPES`. docs/explanation/architecture.md
explains the order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import pytest

import timim
from tests.support.paths import ROOT

_VALUES = frozenset({"errors", "ids", "elem_base", "elems", "message"})
_PROTOCOL = _VALUES | {"protocol"}
_CLIENT_PARTS = _PROTOCOL | {"util", "sqlite", "local_store", "storage", "transport", "media", "media_tools", "progress"}
_ENGINE = _CLIENT_PARTS | {"events", "results"}
_PUBLIC = _ENGINE | {"engine", "profiles"}
_SERVER_GROUND = _PROTOCOL | {"util", "sqlite", "usersig"}
_SERVER_ORDER = (
    {"settings", "metrics"},
    {"store", "bus"},
    {"social", "content"},
    {"sessions"},
    {"integrations"},
    {"messaging"},
    {"handlers"},
    {"endpoints"},
    {"app"},
)

# Each package (or loose module) of timim, and the packages that it may import besides its own modules.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "util": frozenset(),
    "errors": frozenset({"util"}),
    "ids": frozenset({"errors"}),
    "progress": frozenset({"errors", "util"}),
    "usersig": frozenset({"errors", "ids", "util"}),
    "webhooks": frozenset({"__init__"}),
    "elem_base": frozenset({"errors", "ids", "util"}),
    "elems": frozenset({"errors", "ids", "util", "elem_base"}),
    "message_parts": frozenset({"errors", "ids", "util", "elem_base"}),
    "message": frozenset({"errors", "util", "elem_base", "elems", "message_parts"}),
    "sqlite": frozenset({"util", "errors"}),
    "protocol": _VALUES | {"util"},  # of util only the checks of arguments and the folding, see PURE_UTIL
    "media_tools": frozenset({"errors", "elem_base", "elems"}),
    "media": frozenset({"errors", "elem_base", "elems", "media_tools"}),
    "transport": _PROTOCOL | {"util", "usersig"},
    "local_store": _PROTOCOL | {"util", "sqlite"},
    "storage": _PROTOCOL | {"util", "sqlite", "local_store"},
    "events": _PROTOCOL | {"util"},
    "results": _PROTOCOL | {"util", "message_parts"},
    "profiles": _PROTOCOL | {"util", "transport", "events"},
    "engine": _ENGINE | {"profiles", "message_parts"},
    "bots": frozenset({"errors", "ids", "util", "elem_base", "message", "engine"}),
    "conversation": _PUBLIC,
    "conversation_list": _PUBLIC | {"conversation"},
    "notebook": _PUBLIC | {"__init__", "message_parts"},
    "friends": _PUBLIC,
    "groups": _PUBLIC | {"conversation"},
    "client": _PUBLIC | {"bots", "conversation", "conversation_list", "groups", "friends", "profiles", "usersig"},
    "__init__": _PUBLIC
    | {"bots", "client", "conversation", "conversation_list", "groups", "friends", "message_parts"}
    | {"notebook", "profiles", "usersig"},
    "server.__init__": frozenset({"server.app", "server.settings"}),
    "testing": frozenset({"*"}),
    "loadtest": frozenset({"*"}),
    "cli": frozenset({"*"}),
    "cli.tui": frozenset({"__init__"}),  # an example of the public names
}
_below: set[str] = set(_SERVER_GROUND)
for _row in _SERVER_ORDER:
    for _package in _row:
        MAY_IMPORT[f"server.{_package}"] = frozenset(_below)
    _below |= {f"server.{package}" for package in _row}
# A message has a conversation, whose methods return messages: docs/adr/0056-one-object-of-a-message.md
FOR_TYPES = {("message", "__init__"), ("message_parts", "__init__")}  # allowed under TYPE_CHECKING
TOOLS = frozenset({"testing", "loadtest", "cli"})
ABOVE_THE_API = TOOLS | {"cli.tui", "notebook", "webhooks"}  # they import public names from `timim`, as programs do
NO_INPUT_OUTPUT = frozenset({"asyncio", "time", "socket"})  # forbidden in timim.protocol
PURE_UTIL = frozenset({"timim.util.arguments", "timim.util.folding"})  # all of timim.util that timim.protocol may import


def module_of(path: str) -> str:
    """Return the module of a path. `timim/protocol/__init__.py` is `timim.protocol.__init__`: the file, not the package."""
    return ".".join(PurePosixPath(path).with_suffix("").parts)


def package_of(module: str) -> str:
    """Return the row of `MAY_IMPORT` for a module: `timim.server.store.base` belongs to `server.store`."""
    parts = module.split(".")[1:] or ["__init__"]
    if parts[:2] == ["cli", "tui"]:
        return "cli.tui"
    if parts[0] == "server":
        return ".".join(parts[:2]) if len(parts) > 1 else "server.__init__"
    return parts[0]


def imports_of(module: str, source: str, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of each import: modules of timim in full, others by their top-level name."""
    package = module.rpartition(".")[0]

    def resolve(name: str) -> str | None:
        return next((m for m in (name, f"{name}.__init__") if m in modules), None)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                inside = alias.name.split(".")[0] == "timim"
                yield node.lineno, (resolve(alias.name) or alias.name) if inside else alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
                base = ".".join([*above, base]).rstrip(".")
            if base.split(".")[0] == "timim":
                for alias in node.names:  # `from .protocol import frames` imports timim.protocol.frames
                    yield node.lineno, resolve(f"{base}.{alias.name}") or resolve(base) or base
            else:
                yield node.lineno, base.split(".")[0]


def lines_for_types(source: str) -> set[int]:
    """Return the lines of the imports under `if TYPE_CHECKING:`."""
    blocks = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If)]
    only = [block for block in blocks if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"]
    return {statement.lineno for block in only for statement in block.body}


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return each import of a tree, given as path → source, that breaks a rule, and the name of that rule."""
    paths = {module_of(path): path for path in sources}
    found: list[str] = []
    for module, path in sorted(paths.items()):
        here = package_of(module)
        if here not in MAY_IMPORT:
            found.append(f"{path}: rule 'every package has a row': timim.{here} is not in MAY_IMPORT")
            continue
        allowed = MAY_IMPORT[here]
        for line, target in sorted(set(imports_of(module, sources[path], frozenset(paths)))):
            at = f"{path}:{line}"
            if not target.startswith("timim"):
                if here == "protocol" and target in NO_INPUT_OUTPUT:
                    found.append(f"{at}: rule 'protocol does no I/O': it imports {target}")
                continue
            there = package_of(target)
            if here == "protocol" and there == "util" and target not in PURE_UTIL:
                found.append(f"{at}: rule 'protocol does no I/O': it imports {target}")
                continue
            if (here, there) in FOR_TYPES and line in lines_for_types(sources[path]):
                continue
            if there == here and not (here.endswith("__init__") and target != module):
                continue
            if there not in MAY_IMPORT:
                found.append(f"{at}: rule 'every package has a row': timim.{there} is not in MAY_IMPORT")
            elif "*" in allowed:
                if there == "cli" or (here == "testing" and there in TOOLS):
                    found.append(f"{at}: rule 'nothing imports the tools': timim.{here} imports timim.{there}")
            elif there not in allowed:
                found.append(
                    f"{at}: rule 'timim.{here} may import {', '.join(sorted(allowed)) or 'nothing'}': not timim.{there}"
                )
    return found


def hidden_public_names(sources: Mapping[str, str]) -> list[str]:
    """Return each public name that code above the API imports from the module that defines it, instead of from `timim`."""
    found: list[str] = []
    for path, source in sorted(sources.items()):
        if package_of(module_of(path)) not in ABOVE_THE_API:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and (node.level or node.module.startswith("timim.")):
                names = sorted({alias.name for alias in node.names} & set(timim.__all__))
                found += [f"{path}:{node.lineno}: rule 'public names come from timim': {name}" for name in names]
    return found


def private_uses(sources: Mapping[str, str]) -> list[str]:
    """Return each use of another file's private attribute (`thing._name`, where this file defines no `_name`)."""
    found: list[str] = []
    for path, source in sorted(sources.items()):
        tree = ast.parse(source)
        own: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                own.add(node.value)  # __slots__
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                itself = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
                if not itself and node.attr not in own:
                    found.append(f"{path}:{node.lineno}: rule 'private names stay in their file': .{node.attr}")
    return found


def sources_of_timim() -> dict[str, str]:
    files = sorted((ROOT / "timim").rglob("*.py"))
    assert files
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def test_imports_in_timim_point_down_only() -> None:
    assert violations(sources_of_timim()) == []


def test_code_above_the_api_imports_public_names_from_timim() -> None:
    assert hidden_public_names(sources_of_timim()) == []
    hidden = {
        "timim/cli/send.py": "from ..message import Message\n",
        "timim/engine/outbox.py": "from ..message import Message\n",
    }
    assert hidden_public_names(hidden) == ["timim/cli/send.py:1: rule 'public names come from timim': Message"]


def test_private_names_stay_in_their_file() -> None:
    assert private_uses(sources_of_timim()) == []


def test_every_row_has_a_module() -> None:
    rows = {package_of(module_of(path)) for path in sources_of_timim()}
    assert set(MAY_IMPORT) - rows == set()


GOOD_TREE = {
    "timim/__init__.py": "from .client import Client\nfrom .errors import TimimError\n",
    "timim/errors.py": "import asyncio\n",
    "timim/util/arguments.py": "",
    "timim/util/tasks.py": "import asyncio\n",
    "timim/ids.py": "from .errors import TimimError\n",
    "timim/elems.py": "from . import errors\n",
    "timim/usersig.py": "",
    "timim/message.py": "from .elems import Elem\n",
    "timim/message_parts/fields.py": "if TYPE_CHECKING:\n    from timim import Conversation\n",
    "timim/protocol/__init__.py": "",
    "timim/protocol/frames.py": "from ..errors import TimimError\nfrom ..elems import Elem\n",
    "timim/protocol/codec.py": "from . import frames\nfrom .frames import Frame\nfrom ..util.arguments import checked\n",
    "timim/storage.py": "from .protocol import codec\n",
    "timim/media.py": "",
    "timim/conversation.py": "",
    "timim/engine/__init__.py": "",
    "timim/engine/outbox.py": "import timim.storage\n",
    "timim/client.py": "import timim.storage\n",
    "timim/server/__init__.py": "from .app import Server\n",
    "timim/server/settings.py": "",
    "timim/server/store/__init__.py": "",
    "timim/server/store/base.py": "from ...ids import ConversationKey\nfrom ..settings import Settings\n",
    "timim/server/social/__init__.py": "",
    "timim/server/content/__init__.py": "",
    "timim/server/app.py": "from .store.base import Store\nfrom ..protocol.frames import Frame\n",
    "timim/testing/__init__.py": "from timim import Client\nfrom timim.server import Server\n",
    "timim/cli/__init__.py": "from ..testing import running_server\n",
}


def test_a_good_tree_has_no_violation() -> None:
    assert violations(GOOD_TREE) == []


BAD_IMPORTS = {
    "up": ("timim/errors.py", "from .ids import MsgId", "timim.errors may import util"),
    "up, inside a function": ("timim/errors.py", "def late():\n    import timim.client", "timim.errors may import util"),
    "up, for types only": ("timim/ids.py", "if TYPE_CHECKING:\n    from .client import Client", "timim.ids may import errors"),
    "up, where only types may": (
        "timim/message_parts/fields.py",
        "from timim import Conversation",
        "timim.message_parts may import",
    ),
    "up, out of a package": ("timim/protocol/frames.py", "from ..storage import LocalStore", "timim.protocol may import"),
    "up, from a package's own file": ("timim/protocol/__init__.py", "from .. import storage", "timim.protocol may import"),
    "I/O in the protocol": ("timim/protocol/frames.py", "import asyncio", "protocol does no I/O"),
    "I/O in the protocol, from": ("timim/protocol/frames.py", "from time import monotonic", "protocol does no I/O"),
    "I/O in the protocol, by a package": ("timim/protocol/frames.py", "from ..util import tasks", "protocol does no I/O"),
    "the engine imports a verb": ("timim/engine/outbox.py", "from ..conversation import Conversation", "timim.engine may"),
    "up, in the server": ("timim/server/settings.py", "from .store.base import Store", "timim.server.settings may import"),
    "a sibling, in the server": ("timim/server/social/__init__.py", "from .. import content", "timim.server.social may import"),
    "up, to the server's public names": (
        "timim/server/store/base.py",
        "from .. import Server",
        "timim.server.store may import",
    ),
    "up, to the public names": ("timim/client.py", "from . import Client", "timim.client may import"),
    "a sibling": ("timim/storage.py", "from .media import Variant", "timim.storage may import"),
    "a sibling, by absolute name": ("timim/usersig.py", "from timim import elems", "timim.usersig may import"),
    "the client imports from the server": ("timim/client.py", "from .server.store import base", "timim.client may import"),
    "the client imports the server's package": ("timim/client.py", "import timim.server", "timim.client may import"),
    "the server imports from the client": ("timim/server/app.py", "from ..client import Client", "timim.server.app may import"),
    "the client imports the test kit": ("timim/client.py", "from .testing import running_server", "timim.client may import"),
    "a tool imports the command line": ("timim/testing/__init__.py", "import timim.cli", "nothing imports the tools"),
    "a module without a row": ("timim/novelty.py", "", "every package has a row"),
    "a server module without a row": ("timim/server/novelty.py", "", "every package has a row"),
    "an import of a module without a row": ("timim/client.py", "from .novelty import x", "every package has a row"),
}


@pytest.mark.parametrize("path,source,rule", BAD_IMPORTS.values(), ids=BAD_IMPORTS)
def test_a_bad_import_is_found_and_its_rule_named(path: str, source: str, rule: str) -> None:
    wrong = violations(GOOD_TREE | {path: source})
    assert len(wrong) == 1
    assert wrong[0].startswith(path)
    assert rule in wrong[0]


def test_a_private_name_of_another_file_is_found() -> None:
    assert private_uses({"timim/client.py": "def f(conversation):\n    conversation._last.add(1)\n"}) != []
    assert private_uses({"timim/client.py": "def f(self):\n    self._last = 1\n    return other._last\n"}) == []
