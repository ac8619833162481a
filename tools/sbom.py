"""Write the bill of materials of timim: a CycloneDX document of the packages that users install.

    .venv/bin/python -m tools.sbom        writes dist/timim-VERSION.cdx.json

cyclonedx-py describes this environment. The packages that only the extra `dev` brings are removed from its document.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from packaging.utils import canonicalize_name

from tools.runtime_packages import REVIEWED, ROOT, runtime_packages

DIST = ROOT / "dist"
ROOT_REF = "root-component"  # cyclonedx-py's name of the project in the graph of dependencies
EXTRA_PROPERTY = "timim:brought-by"
NOTE_PROPERTY = "timim:licence-note"


def environment_document() -> dict[str, Any]:
    """Return the document of cyclonedx-py for this environment; it is not validated, because that takes 20 s."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    options = ["--mc-type", "library", "--spec-version", "1.6", "--output-reproducible", "--no-validate", sys.executable]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def document() -> dict[str, Any]:
    """Return the bill of materials, in which each component names the extras that bring it."""
    bill = environment_document()
    packages = {package.name: package for package in runtime_packages()}
    components = []
    for component in bill["components"]:
        package = packages.get(canonicalize_name(component["name"]))
        if package is None:
            continue
        added = [{"name": EXTRA_PROPERTY, "value": extra} for extra in package.brought_by]
        if note := REVIEWED.get(package.name):
            added.append({"name": NOTE_PROPERTY, "value": note})
        component.setdefault("licenses", [{"license": {"name": package.licence, "acknowledgement": "declared"}}])
        component["properties"] = [*component.get("properties", ()), *added]
        components.append(component)
    names = {component["bom-ref"]: canonicalize_name(component["name"]) for component in components}
    if missing := packages.keys() - set(names.values()):
        raise ValueError(f"cyclonedx-py does not describe {', '.join(sorted(missing))}: run make setup")
    dependencies = []
    for node in bill["dependencies"]:
        if node["ref"] in names:
            needed = [ref for ref in node.get("dependsOn", ()) if ref in names]
        elif node["ref"] == ROOT_REF:
            needed = [ref for ref, name in names.items() if packages[name].direct]
        else:
            continue
        dependencies.append({"ref": node["ref"], "dependsOn": needed} if needed else {"ref": node["ref"]})
    return bill | {"components": components, "dependencies": dependencies}


def fault_of(text: str) -> str | None:
    """Return the first violation of CycloneDX's schema 1.6 in a document, None if it is valid."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator  # the import takes 2 s

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if fault is None else str(fault)


def main() -> None:
    """Write the bill of materials, or exit with the fault that makes it invalid."""
    bill = document()
    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    if fault := fault_of(text):
        sys.exit(f"sbom: the document violates the schema of CycloneDX: {fault}")
    DIST.mkdir(exist_ok=True)
    path = DIST / f"timim-{bill['metadata']['component']['version']}.cdx.json"
    path.write_text(text, encoding="utf-8")
    print(f"sbom: {path.relative_to(ROOT)}, {len(bill['components'])} packages")


if __name__ == "__main__":
    main()
