"""House rules of other people's packages: each is known, none is past its time unseen."""

import hashlib
import re
import tomllib
from datetime import timedelta
from typing import Any

import pytest
from tools.write_sbom import (
    COMPONENTS,
    LOCK,
    PROJECT,
    direct,
    locked,
    past_their_time,
    sbom,
)

LOCKED = LOCK.read_text()
ASKED = PROJECT.read_text()


def read() -> dict[str, Any]:
    """The list of ages, as it is shipped."""
    return tomllib.loads(COMPONENTS.read_text())


class TestAges:
    def test_are_known_of_everything_that_is_asked_for(self) -> None:
        """On the day of the last look every package was as locked, and young or with a reason."""
        known = read()

        assert past_their_time(known, LOCKED, ASKED, today=known["reviewed_on"]) == []
        assert known["components"].keys() == direct(ASKED).keys()

    def test_are_looked_at_again_in_time(self) -> None:
        """Thirty days after the last look nothing is due, and a day later it is."""
        known = read()
        every = timedelta(days=known["update_every_days"])
        for late, due in ((0, []), (1, ["the last look was 31 days ago: make lock"])):
            today = known["reviewed_on"] + every + timedelta(days=late)

            assert past_their_time(known, LOCKED, ASKED, today=today) == due

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"version": "0.1"}, "cryptography is locked at"),
            ({"released": "2024-10"}, "cryptography 50."),
            (None, "cryptography is in no list of ages"),
        ],
    )
    def test_are_missed_when_they_do_not_fit(
        self, changed: dict[str, str] | None, said: str
    ) -> None:
        """Another version, an old release without a reason, and an unknown package are named."""
        known = read()
        one = known["components"].pop("cryptography")
        if changed is not None:
            known["components"]["cryptography"] = one | changed

        (found,) = past_their_time(known, LOCKED, ASKED, today=known["reviewed_on"])

        assert found.startswith(said)

    def test_of_what_is_not_asked_for_any_more_are_named(self) -> None:
        """A package that was taken out leaves the list too."""
        known = read()
        known["components"]["leftpad"] = {"version": "1.0", "released": "2026-01"}

        assert past_their_time(known, LOCKED, ASKED, today=known["reviewed_on"]) == [
            "leftpad is not asked for any more"
        ]


class TestDataOfOthers:
    def test_is_named_with_its_licence_and_digest(self) -> None:
        """What NOTICE says of a file is about that very file, and goes with every package."""
        told = (PROJECT.parent / "NOTICE").read_text()
        pattern = r"^(src/\S+)\n(?:    .*\n)*?    SHA-256: ([0-9a-f]{64})$"
        named = dict(re.findall(pattern, told, re.MULTILINE))
        binary = {
            str(path.relative_to(PROJECT.parent))
            for path in (PROJECT.parent / "src").rglob("*.bin")
        }

        assert named.keys() == binary == {"src/scudo/identity/common_passwords.bin"}
        for name, digest in named.items():
            assert hashlib.sha256((PROJECT.parent / name).read_bytes()).hexdigest() == digest
        assert "NOTICE" in tomllib.loads(ASKED)["project"]["license-files"]


class TestSbom:
    def test_lists_what_is_locked_with_its_hashes(self) -> None:
        """Every package of the lock, direct or not, by version, address and hashes."""
        found = {one["name"]: one for one in sbom(LOCKED, ASKED)["components"]}

        assert found.keys() == locked(LOCKED).keys()
        for name, (version, hashes) in locked(LOCKED).items():
            assert hashes
            assert found[name]["purl"] == f"pkg:pypi/{name}@{version}"
            assert [one["content"] for one in found[name]["hashes"]] == hashes

    def test_tells_what_the_bank_needs_from_what_only_builds_it(self) -> None:
        """Direct packages are required or excluded, and the bank depends on the required ones."""
        made = sbom(LOCKED, ASKED)
        scopes = {one["name"]: one.get("scope") for one in made["components"]}

        assert (scopes["psycopg"], scopes["ruff"]) == ("required", "excluded")
        (root,) = made["dependencies"]
        needed = {name for name, is_needed in direct(ASKED).items() if is_needed}
        assert {ref.partition("@")[0] for ref in root["dependsOn"]} == {
            f"pkg:pypi/{name}" for name in needed
        }

    def test_is_the_same_for_the_same_lock(self) -> None:
        """Two who write it compare it byte by byte; another lock is another list."""
        assert sbom(LOCKED, ASKED) == sbom(LOCKED, ASKED)
        other = LOCKED.replace("msgspec==", "msgspec==9", 1)
        assert sbom(other, ASKED)["serialNumber"] != sbom(LOCKED, ASKED)["serialNumber"]
