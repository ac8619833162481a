"""Write the tables of docs/reference/settings.md from the server's settings: their names, defaults and descriptions.

    .venv/bin/python tools/settings_page.py

The text before the first table is kept.
"""

from __future__ import annotations

from pathlib import Path

from timim.cli.settings_help import setting_groups
from timim.server.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"
BEGIN = "<!-- tools/settings_page.py writes everything below from timim/server/settings.py -->\n"


def shown_default(default: object) -> str:
    """Return a default as its row shows it."""
    if default is None:
        return "none"
    if default == "":
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def tables() -> str:
    """Return the sections of the page: one for each group, with one row for each setting."""
    sections = []
    for title, names in setting_groups().items():
        rows = []
        for name in names:
            field = Settings.model_fields[name]
            text = " ".join((field.description or "").split()).replace("|", "\\|")
            rows.append(f"| `{name}` | {shown_default(field.default)} | {text} |")
        sections.append("\n".join((f"## {title}", "", "| setting | default | meaning |", "|---|---|---|", *rows)))
    return "\n\n".join(sections) + "\n"


def page(old: str) -> str:
    """Return the page with the present settings."""
    return old.partition(BEGIN)[0] + BEGIN + "\n" + tables()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE.name}: {len(Settings.model_fields)} settings")
