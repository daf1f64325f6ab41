"""The root key in shares (SLIP-39), and how it comes back from them.

Progress is kept in memory only, and is forgotten after a while: shares that lie around in a
half-opened vault are worth as much as the vault.

Source:
    SatoshiLabs SLIP-0039: one group, its member threshold is ours; no passphrase, because a
    passphrase that nobody can check would lose the bank.
"""

from dataclasses import dataclass
from typing import Final

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics

from scudo.vault.errors import (
    KeeperRepeated,
    ShareForeign,
    ShareMalformed,
    ShareRepeated,
    SharesUnfit,
)

SHARES_MAX: Final = 16
THRESHOLD_MIN: Final = 2
PATIENCE_US: Final = 15 * 60 * 1_000_000
_WORDS_MAX: Final = 400


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """A root in shares; shown once.

    Attributes:
        identifier: that every share of it carries; not secret.
        shares: thirty-three words each.
    """

    identifier: int
    shares: tuple[str, ...]


def demand_shares(shares: int, threshold: int) -> None:
    """Refuse numbers of shares that are no guard.

    Raises:
        SharesUnfit: one person alone could open the vault, or nobody could.
    """
    if not THRESHOLD_MIN <= threshold <= shares <= SHARES_MAX:
        message = f"{threshold} of {shares} shares cannot guard a vault"
        raise SharesUnfit(message)


def split(root: bytes, *, shares: int, threshold: int) -> Split:
    """Split a root so that any `threshold` of `shares` bring it back, and fewer tell nothing.

    Raises:
        SharesUnfit: one person alone could open the vault, or nobody could.
    """
    demand_shares(shares, threshold)
    (group,) = generate_mnemonics(1, [(threshold, shares)], root)
    return Split(Share.from_mnemonic(group[0]).identifier, tuple(group))


class Unsealing:
    """The shares that were entered so far. Times are microseconds of a monotonic clock."""

    def __init__(self, *, identifier: int, threshold: int) -> None:
        """Wait for the shares of one root."""
        self.threshold = threshold
        self._identifier = identifier
        self._entered: dict[int, tuple[str, str]] = {}
        self._began = 0

    def progress(self, *, now: int) -> int:
        """How many shares are entered; none once the first is too old."""
        if self._entered and now - self._began >= PATIENCE_US:
            self._entered.clear()
        return len(self._entered)

    def offer(self, share: str, *, keeper: str, now: int) -> bytes | None:
        """Enter one share; gives the root with the last that was needed.

        The caller must still prove that it is the right root: shares of another secret may
        carry the same identifier by chance.

        Raises:
            ShareMalformed: a word or the checksum is wrong.
            ShareForeign: it is of another secret.
            ShareRepeated: it was entered before.
            KeeperRepeated: this keeper has entered one.
        """
        words = " ".join(share.split()).lower()
        if self.progress(now=now) == 0:
            self._began = now
        try:
            read = Share.from_mnemonic(words[:_WORDS_MAX])
        except (MnemonicError, ValueError):
            message = "this is no share: a word or the checksum is wrong"
            # The library's message quotes the word.
            raise ShareMalformed(message, field="share") from None
        if (read.identifier, read.member_threshold) != (self._identifier, self.threshold):
            message = "this share is of another secret"
            raise ShareForeign(message, field="share")
        if read.index in self._entered:
            message = "this share was entered before"
            raise ShareRepeated(message, field="share")
        if keeper in {name for name, _ in self._entered.values()}:
            message = "this keeper has entered a share already"
            raise KeeperRepeated(message, field="keeper")
        self._entered[read.index] = (keeper, words)
        if len(self._entered) < self.threshold:
            return None
        entered = [words for _, words in self._entered.values()]
        self._entered.clear()
        try:
            root: bytes = combine_mnemonics(entered)
        except MnemonicError:
            message = "these shares do not belong together"
            raise ShareForeign(message, field="share") from None
        return root
