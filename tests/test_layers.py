"""Imports go down only. The table is the one of docs/architecture.md; a module without a row fails the test.

Function-level and TYPE_CHECKING imports count as well: an arrow is an arrow.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent

# For each side its rows, from the bottom. A name stands for the module, or for the package and all that is in
# it: inside a package of its own, modules import each other as they like. Siblings in one row do not.
# "__init__" is the package's own file, which names what is public, so it sees everything below.
SIDES: Mapping[str, tuple[frozenset[str], ...]] = {
    "shared": (
        frozenset({"timim.clock", "timim.errors", "timim.failpoint", "timim.open_files"}),
        frozenset({"timim.elem", "timim.ids", "timim.notice_types", "timim.tasks"}),
        frozenset({"timim.elems", "timim.sqlite_lanes", "timim.usersig", "timim.quote"}),
        frozenset({"timim.message"}),
        frozenset({"timim.wire", "timim.sqlite"}),
        frozenset({"timim.gathered"}),
    ),
    "client": (
        frozenset({"timim.act_rows", "timim.last_messages", "timim.store_file", "timim.words"}),
        frozenset({"timim.records"}),
        frozenset({"timim.message_rows"}),
        frozenset({"timim.incoming_rows", "timim.known_rows"}),
        frozenset({"timim.rows", "timim.images", "timim.durations"}),
        frozenset({"timim.events", "timim.storage", "timim.media", "timim.net", "timim.bars"}),
        frozenset({"timim.engine"}),
        frozenset({"timim.conversation"}),
        frozenset({"timim.conversation_list"}),
        frozenset({"timim.groups", "timim.friends", "timim.profiles", "timim.roster"}),
        frozenset({"timim.login"}),
        frozenset({"timim.wiring"}),
        frozenset({"timim.client", "timim.display"}),
        frozenset({"timim.__init__"}),
    ),
    "server": (
        frozenset({"timim.server.settings", "timim.server.metrics"}),
        frozenset({"timim.server.auth", "timim.server.blobs", "timim.server.bus", "timim.server.store"})
        | frozenset({"timim.server.webhooks"}),
        frozenset({"timim.server.outlets"})
        | frozenset({"timim.server.membership", "timim.server.permissions", "timim.server.notices", "timim.server.rates"})
        | frozenset({"timim.server.uploads", "timim.server.media", "timim.server.drafts"}),
        frozenset({"timim.server.group_changes", "timim.server.relations", "timim.server.push"})
        | frozenset({"timim.server.admission", "timim.server.pages", "timim.server.plans"}),
        frozenset({"timim.server.timeline"}),
        frozenset({"timim.server.session", "timim.server.acts"}),
        frozenset({"timim.server.fanout", "timim.server.places"}),
        frozenset({"timim.server.outside"}),
        frozenset({"timim.server.commands", "timim.server.node"}),
        frozenset({"timim.server.doors"}),
        frozenset({"timim.server.app"}),
        frozenset({"timim.server.__init__"}),
    ),
    "tools": (
        frozenset({"timim.testing", "timim.load"}),
        frozenset({"timim.cli"}),
    ),
}

# What a side may import besides the rows below in itself.
REACH: Mapping[str, frozenset[str]] = {
    "shared": frozenset(),
    "client": frozenset({"shared"}),
    "server": frozenset({"shared"}),
    "tools": frozenset({"shared", "client", "server"}),
}

PLACES = {name: (side, row) for side, rows in SIDES.items() for row, names in enumerate(rows) for name in names}


def module_of(path: str) -> str:
    """`timim/wire/__init__.py` is `timim.wire.__init__`: the file, apart from the package."""
    return ".".join(PurePosixPath(path).with_suffix("").parts)


def place_of(module: str) -> str | None:
    """The table's name for a module: the longest that is the module itself or a package around it."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in PLACES:
            return name
    return None


def imports_of(module: str, source: str, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Each import of something in `modules`: the line, and the module (a package as its `__init__`)."""
    package = module.rpartition(".")[0]

    def resolve(name: str) -> str | None:
        return next((m for m in (name, f"{name}.__init__") if m in modules), None)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "timim":
                    yield node.lineno, resolve(alias.name) or alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
                base = ".".join([*above, base]).rstrip(".")
            if base.split(".")[0] == "timim":
                for alias in node.names:  # `from .wire import frames` imports timim.wire.frames
                    yield node.lineno, resolve(f"{base}.{alias.name}") or resolve(base) or base


def violations(sources: Mapping[str, str]) -> list[str]:
    """What is wrong with a tree, given as path → source. Empty: nothing."""
    paths = {module_of(path): path for path in sources}
    found: list[str] = []
    for module, path in sorted(paths.items()):
        here = place_of(module)
        if here is None:
            found.append(f"{path}: not in the table of tests/test_layers.py")
            continue
        side, row = PLACES[here]
        for line, target in sorted(set(imports_of(module, sources[path], frozenset(paths)))):
            there = place_of(target)
            if there is None:
                found.append(f"{path}:{line}: {target} is not in the table of tests/test_layers.py")
                continue
            target_side, target_row = PLACES[there]
            inside = here == there
            below = target_side == side and target_row < row
            if not (inside or below or target_side in REACH[side]):
                arrow = f"{here} ({side} {row}) imports {there} ({target_side} {target_row})"
                found.append(f"{path}:{line}: {arrow}")
    return found


def test_imports_in_timim_go_down_only() -> None:
    files = sorted((ROOT / "timim").rglob("*.py"))
    assert files
    sources = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    assert violations(sources) == []


GOOD_TREE = {
    "timim/__init__.py": "from .client import Client\nfrom .errors import TimimError\n",
    "timim/errors.py": "import asyncio\n",
    "timim/ids.py": "from .errors import TimimError\n",
    "timim/elems.py": "from . import errors\n",
    "timim/usersig.py": "",
    "timim/message.py": "from .elems import Elem\n",
    "timim/wire/__init__.py": "",
    "timim/wire/frames.py": "from ..errors import TimimError\nfrom ..elems import Elem\n",
    "timim/wire/codec.py": "from . import frames\nfrom .frames import Frame\n",
    "timim/storage.py": "from .wire import codec\n",
    "timim/media.py": "",
    "timim/client.py": "import timim.storage\n",
    "timim/server/__init__.py": "from .app import Server\n",
    "timim/server/settings.py": "",
    "timim/server/store/__init__.py": "",
    "timim/server/store/base.py": "from ...ids import ConversationKey\nfrom ..settings import Settings\n",
    "timim/server/app.py": "from .store.base import Store\nfrom ..wire.frames import Frame\n",
    "timim/testing/__init__.py": "from timim import Client\nfrom timim.server import Server\n",
    "timim/cli/__init__.py": "from ..testing import running_server\n",
}


def test_a_good_tree_has_no_violation() -> None:
    assert violations(GOOD_TREE) == []


BAD_IMPORTS = {
    "up, one row": ("timim/errors.py", "from .ids import MsgId"),
    "up, inside a function": ("timim/errors.py", "def late():\n    import timim.client"),
    "up, for types only": ("timim/ids.py", "if TYPE_CHECKING:\n    from .client import Client"),
    "up, out of a package": ("timim/wire/frames.py", "from ..storage import LocalStore"),
    "up, from a package's own file": ("timim/wire/__init__.py", "from .. import storage"),
    "up, in the server": ("timim/server/settings.py", "from .store.base import Store"),
    "up, to the server's public names": ("timim/server/store/base.py", "from .. import Server"),
    "up, to the public names": ("timim/client.py", "from . import Client"),
    "a sibling": ("timim/storage.py", "from .media import Variant"),
    "a sibling, by absolute name": ("timim/usersig.py", "from timim import elems"),
    "the client imports from the server": ("timim/client.py", "from .server.store import base"),
    "the client imports the server's package": ("timim/client.py", "import timim.server"),
    "the server imports from the client": ("timim/server/app.py", "from ..client import Client"),
    "the client imports the test kit": ("timim/client.py", "from .testing import running_server"),
    "a module without a row": ("timim/novelty.py", ""),
    "a server module without a row": ("timim/server/novelty.py", ""),
    "an import of what has no row": ("timim/client.py", "from .novelty import x"),
}


@pytest.mark.parametrize("path,source", BAD_IMPORTS.values(), ids=BAD_IMPORTS)
def test_a_bad_import_is_found(path: str, source: str) -> None:
    wrong = violations(GOOD_TREE | {path: source})
    assert len(wrong) == 1
    assert wrong[0].startswith(path)
