"""Write the table of docs/reference/licences.md: the packages that users install, with version, licence and extras.

    .venv/bin/python -m tools.licences_page

The text before the table is kept.
"""

from __future__ import annotations

from tools.runtime_packages import REVIEWED, ROOT, runtime_packages

PAGE = ROOT / "docs" / "reference" / "licences.md"
BEGIN = "<!-- tools/licences_page.py writes everything below from the metadata of the installed packages -->\n"


def table() -> str:
    """Return the rows of the packages, then the notes on parts inside of their wheels."""
    packages = runtime_packages()
    rows = [f"| {each.name} | {each.version} | {each.licence} | {', '.join(each.brought_by)} |" for each in packages]
    notes = [f"- {each.name}: {note}" for each in packages if (note := REVIEWED.get(each.name))]
    return "\n".join(
        (
            "| package | version | licence | brought by |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Parts inside of wheels",
            "",
            *notes,
            "",
        )
    )


def page(old: str) -> str:
    """Return the page with the present table."""
    return old.partition(BEGIN)[0] + BEGIN + "\n" + table()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"licences: {PAGE.relative_to(ROOT)}, {len(runtime_packages())} packages")
