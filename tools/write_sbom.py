"""Writes build/sbom.json: every locked package as CycloneDX, and says which are past their time.

    .venv/bin/python tools/write_sbom.py

It ends with 1 when something is due. What is known of ages is docs/components.toml.
"""

import json
import re
import sys
import tomllib
import uuid
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements.lock"
PROJECT: Final = ROOT / "pyproject.toml"
COMPONENTS: Final = ROOT / "docs" / "components.toml"
SBOM: Final = ROOT / "build" / "sbom.json"

_ENTRY: Final = re.compile(r"^([a-z0-9][a-z0-9-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME: Final = re.compile(r"^[A-Za-z0-9._-]+")
_MONTHS: Final = 12

Json = dict[str, Any]


def locked(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Read every package of a lock file: its version, and SHA-256 of what may be installed."""
    found = {}
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        named = _ENTRY.match(entry)
        if named is not None:
            found[named[1]] = (named[2], _HASH.findall(entry))
    return found


def direct(project: str) -> dict[str, bool]:
    """Name the packages that the project asks for: whether the bank itself needs each."""
    read = tomllib.loads(project)
    needed = read["project"]["dependencies"]
    tools = read["dependency-groups"]["dev"]
    return {
        _named(text): is_needed
        for texts, is_needed in ((tools, False), (needed, True))
        for text in texts
    }


def past_their_time(components: Json, lock: str, project: str, *, today: date) -> list[str]:
    """Say in words what of the direct packages is not known, is too old, or is due by a day."""
    versions = {name: version for name, (version, _) in locked(lock).items()}
    known: Json = components["components"]
    asked = direct(project)
    since = (today - components["reviewed_on"]).days
    most = components["released_months_max"]
    return [
        *(f"{name} is in no list of ages" for name in sorted(asked.keys() - known.keys())),
        *(f"{name} is not asked for any more" for name in sorted(known.keys() - asked.keys())),
        *(
            f"{name} is locked at {versions.get(name)}, and {one['version']} was looked at"
            for name, one in known.items()
            if name in asked and versions.get(name) != one["version"]
        ),
        *(
            f"{name} {one['version']} was released in {one['released']}, and no reason is given"
            for name, one in known.items()
            if _months(one["released"], components["reviewed_on"]) > most and not one.get("reason")
        ),
        *(
            [f"the last look was {since} days ago: make lock"]
            if since > components["update_every_days"]
            else []
        ),
    ]


def sbom(lock: str, project: str) -> Json:
    """Describe every locked package as CycloneDX 1.6; the same lock gives the same text."""
    asked = direct(project)
    components = []
    for name, (version, hashes) in locked(lock).items():
        component: Json = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
        }
        if name in asked:
            component["scope"] = "required" if asked[name] else "excluded"
        licence = _licence(name)
        if licence is not None:
            component["licenses"] = [{"expression": licence}]
        components.append(component)
    needed = [c["bom-ref"] for c in components if asked.get(c["name"])]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, lock)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "scudo", "name": "scudo"},
        },
        "components": components,
        "dependencies": [{"ref": "scudo", "dependsOn": needed}],
    }


def _named(requirement: str) -> str:
    found = _NAME.match(requirement)
    assert found is not None, f"{requirement} names no package"
    return found[0].lower()


def _months(released: str, day: date) -> int:
    year, month = map(int, released.split("-"))
    return (day.year - year) * _MONTHS + day.month - month


def _licence(name: str) -> str | None:
    """What an installed package says of its licence in the form that machines read."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    return next(iter(found.get_all("License-Expression") or ()), None)


def main() -> int:
    """Write the list, and say what is due today."""
    lock, project = LOCK.read_text(encoding="utf-8"), PROJECT.read_text(encoding="utf-8")
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(sbom(lock, project), indent=1) + "\n", encoding="utf-8")
    today = datetime.now(UTC).date()  # noqa: TID251 - the edge of this tool
    components = tomllib.loads(COMPONENTS.read_text(encoding="utf-8"))
    due = past_their_time(components, lock, project, today=today)
    sys.stdout.write(f"{SBOM.relative_to(ROOT)}: {len(locked(lock))} packages\n")
    sys.stdout.writelines(f"  due: {what}\n" for what in due)
    return 1 if due else 0


if __name__ == "__main__":
    sys.exit(main())
