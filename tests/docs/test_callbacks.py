"""The page of callbacks is what the inventory says."""

from pathlib import Path

from scudo.governance.callbacks import document

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "callbacks.md"


class TestCallbacks:
    """`python tools/write_callbacks.py` was run."""

    def test_the_page_is_the_inventory(self) -> None:
        """Nothing was declared, changed or dropped without the page."""
        assert PAGE.read_text(encoding="utf-8") == document()
