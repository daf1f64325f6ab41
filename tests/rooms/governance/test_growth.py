"""That a log has only grown between two signed heads is proven to people outside."""

import base64
import json

import pytest
from tests.rooms.governance.conftest import MORNING

from scudo.governance import HeadUnknown, prove_growth
from scudo.governance.notary import EVERY_US
from scudo.proofcheck import NotProven, Unreadable, check

SIZES = (3, 8, 21)


@pytest.fixture
def grown(log):
    """A log of which heads of these sizes were signed."""
    notary = log.notary()
    for later, size in enumerate(SIZES):
        log.append(size - log.size)
        log.attest(notary, MORNING + later * EVERY_US)
    return log


def flipped(text, bit=1):
    octets = base64.b64decode(text)
    return base64.b64encode(bytes([octets[0] ^ bit]) + octets[1:]).decode()


FORGERIES = {
    "a root": lambda p: p["first"].update(root=flipped(p["first"]["root"])),
    "the other root": lambda p: p["second"].update(root=flipped(p["second"]["root"])),
    "a signature": lambda p: p["second"].update(signature=flipped(p["second"]["signature"])),
    "a size": lambda p: p["first"].update(size=4),
    "the order": lambda p: p.update(first=p["second"], second=p["first"]),
    "the path": lambda p: p.update(path=flipped(p["path"])),
    "no path": lambda p: p.update(path=""),
    "a longer path": lambda p: p.update(path=p["path"] + p["path"]),
    "no keys": lambda p: p.update(keys=[]),
    "keys of another": lambda p: p["keys"][0].update(
        public_key=base64.b64encode(bytes(32)).decode()
    ),
}


class TestGrowth:
    @pytest.mark.parametrize(("first", "second"), [(3, 8), (3, 21), (8, 21), (21, 8), (8, 8)])
    def test_between_any_two_heads_is_proven(self, grown, first, second):
        """The log of the smaller head is the beginning of that of the larger one."""
        said = check(prove_growth(grown.app, first, second), witness=grown.witness())

        assert "nothing was changed or taken out" in said[0]

    def test_is_refused_for_a_size_that_nobody_signed(self, grown):
        """Only what was signed can be compared."""
        with pytest.raises(HeadUnknown):
            prove_growth(grown.app, 3, 9)

    @pytest.mark.parametrize("which", FORGERIES)
    def test_is_not_believed_when_it_was_changed(self, grown, which):
        """Heads are signed as they stand, and the path leads from the one to the other."""
        forged = json.loads(prove_growth(grown.app, 3, 21))

        FORGERIES[which](forged)

        with pytest.raises((NotProven, Unreadable)):
            check(json.dumps(forged).encode())
