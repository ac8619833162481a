"""The keys that work at the moment, in one line."""

from __future__ import annotations

from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static


class KeyLine(Static):
    """Line of the keys of the focused part and of the screen, cheaper than textual's Footer of one widget for each."""

    DEFAULT_CSS = """
    KeyLine { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self.show)
        self.show(self.screen)

    def show(self, screen: Screen[object]) -> None:
        """Show the keys of a screen."""
        parts: list[Content | str] = []
        seen: set[str] = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.action not in seen:
                seen.add(binding.action)
                parts += [Content.styled(self.app.get_key_display(binding), "bold $text-accent"), f" {binding.description}  "]
        self.update(Content.assemble(*parts))
