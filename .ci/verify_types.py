"""Check that every public name of timim has a known type: `basedpyright --verifytypes`, for the public modules only.

    python .ci/verify_types.py      exit 1, with a list, when a type is missing or could be inferred differently

basedpyright calls every module without an underscore public. Public here are the names of `timim`, of the modules that
lie directly in it or in a package of public values, and of `timim.server` and `timim.testing`, together with all that their
types mention.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOOL = Path(sys.executable).parent / "basedpyright"
PACKAGE = ROOT / "timim"
PACKAGES = frozenset({"timim.server", "timim.testing"})  # their own names, not those of their modules
PUBLIC = frozenset({"bots", "message_parts", "results"})  # packages whose modules define names of `timim`


def report() -> dict[str, Any]:
    # With --verifytypes the tool asks the `python` of PATH where packages are, whatever --pythonpath says. The source has
    # to come first there, because an editable installation has a folder `timim` too, with nothing but data.
    path = f"{TOOL.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    command = [str(TOOL), "--verifytypes", "timim", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):  # 1: some module, public or not, is not complete
        raise SystemExit(f"types: basedpyright ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    if not found.get("pyTypedPath"):
        raise SystemExit("types: basedpyright found no py.typed in timim")
    return found


def public_symbols(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = tuple(f"timim.{path.parent.name}." for path in PACKAGE.glob("*/__init__.py") if path.parent.name not in PUBLIC)
    for symbol in found["symbols"]:
        name: str = symbol["name"]
        package = name.rpartition(".")[0]
        if symbol["isExported"] and symbol["category"] != "module" and (not name.startswith(inner) or package in PACKAGES):
            yield symbol


def causes(symbols: list[dict[str, Any]]) -> list[str]:
    """Return the faults of these symbols themselves, without those of types that they mention."""
    lines = []
    for symbol in symbols:
        reasons = [diagnostic["message"].replace("\n", " ") for diagnostic in symbol["diagnostics"]]
        own = [reason for reason in reasons if "partially unknown" not in reason and "docstring" not in reason]
        lines += [f"{symbol['name']}: {reason}" for reason in own]
    return lines


def main() -> int:
    found = report()
    symbols = list(public_symbols(found))
    wrong = [symbol for symbol in symbols if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    if wrong:
        print("types: not known:", *(symbol["name"] for symbol in wrong))
        print("\n".join(causes(wrong) or causes(found["symbols"])))
    share = 100 * (1 - len(wrong) / len(symbols)) if symbols else 0.0
    print(f"types: {share:.1f} % of {len(symbols)} public names have a known type")
    return int(bool(wrong) or not symbols)


if __name__ == "__main__":
    sys.exit(main())
