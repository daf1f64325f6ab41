"""Writes docs/asvs.md from docs/asvs.toml: what OWASP ASVS asks, and what shows it.

.venv/bin/python tools/write_asvs.py
"""

import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT / "docs" / "asvs.toml"
PAGE: Final = ROOT / "docs" / "asvs.md"

CHAPTERS: Final = {
    1: "Encoding and sanitisation",
    2: "Validation and business logic",
    3: "Web frontend",
    4: "API and web service",
    5: "Files",
    6: "Authentication",
    7: "Sessions",
    8: "Authorisation",
    9: "Self-contained tokens",
    10: "OAuth and OpenID Connect",
    11: "Cryptography",
    12: "Secure communication",
    13: "Configuration",
    14: "Data protection",
    15: "Secure coding and architecture",
    16: "Logging and errors",
}

Item = dict[str, Any]


def read() -> dict[str, Item]:
    """Read the items by their ids, in the order of the standard."""
    found: dict[str, Item] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def chapter_of(number: str) -> int:
    """Which chapter an item is of."""
    return int(number.partition(".")[0])


def page(items: dict[str, Item]) -> str:
    """Write the page."""
    counts = {
        what: sum(1 for item in items.values() if any(key in item for key in keys))
        for what, keys in {
            "shown by tests or in documents": ("shown", "documented"),
            "not applicable": ("not_applicable",),
            "open": ("open",),
        }.items()
    }
    lines = [
        "# OWASP ASVS 5.0.0, level 2",
        "",
        "What the standard asks, in our words, and what shows that it holds. Written by",
        "`python tools/write_asvs.py` from `docs/asvs.toml`; a test compares, and looks that every",
        "test and section that is named is there.",
        "",
        f"{len(items)} items: {', '.join(f'{what} {count}' for what, count in counts.items())}.",
        "Chapter 17 (WebRTC, 7 items of these levels) is left out: nothing here carries voice or",
        "video.",
    ]
    for number, title in CHAPTERS.items():
        of_chapter = {key: item for key, item in items.items() if chapter_of(key) == number}
        lines += [
            "",
            f"## V{number} {title}",
            "",
            "| item | level | asks | answer |",
            "|---|---|---|---|",
        ]
        lines += [_row(key, item) for key, item in of_chapter.items()]
    return "\n".join(lines) + "\n"


def _row(key: str, item: Item) -> str:
    answer = [
        *(f"[{place.partition('#')[2]}]({_link(place)})" for place in item.get("documented", ())),
        *(f"`{test}`" for test in item.get("shown", ())),
        *(f"does not apply: {item['not_applicable']}" for _ in [1] if "not_applicable" in item),
        *(f"**open**: {item['open']}" for _ in [1] if "open" in item),
    ]
    return f"| {key} | {item['level']} | {item['asks']} | {'<br>'.join(answer)} |"


def _link(place: str) -> str:
    file, _, section = place.partition("#")
    return f"{file.removeprefix('docs/')}#{section.lower().replace(' ', '-')}"


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
