"""Laws that hold whatever is asked of the ledger, in whatever order."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from scudo.kernel import SECOND_US, Refusal
from scudo.ledger import HoldStatus, Nature, TransferKind

ACCOUNTS = 5
accounts = st.integers(0, ACCOUNTS - 1)
amounts = st.integers(1, 400) | st.integers(2**62, 2**63 - 1)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("post"), accounts, accounts, amounts),
        st.tuples(st.just("place"), accounts, accounts, amounts, st.sampled_from([0, 1_500])),
        st.tuples(st.just("raise"), st.integers(0, 9), amounts),
        st.tuples(st.just("capture"), st.integers(0, 9), amounts, st.booleans()),
        st.tuples(st.just("release"), st.integers(0, 9), st.none() | amounts),
        st.tuples(st.just("expire")),
        st.tuples(st.just("wait"), st.integers(1, 60)),
    ),
    max_size=40,
)


class Street:
    """A few accounts of both natures and any limits, and the holds placed among them."""

    def __init__(self, desk):
        self.desk = desk
        self.accounts = [
            desk.account(limits=(None, None), owner=0, nature=Nature.DEBIT),
            desk.account(balance=300),
            desk.account(balance=100, limits=(50, 20)),
            desk.account(limits=(0, 40), nature=Nature.DEBIT),
            desk.account(balance=100, currency=392),
        ]
        self.holds = []
        self.refusals = 0

    def act(self, act):
        """Try one act; whether the ledger let it happen."""
        kind, *rest = act
        try:
            getattr(self, kind + "_")(*rest)
        except Refusal:
            self.refusals += 1
            return False
        return True

    def post_(self, debit, credit, amount):
        self.desk.post(self.accounts[debit], self.accounts[credit], amount)

    def place_(self, debit, credit, amount, tolerance):
        self.holds.append(
            self.desk.place(
                self.accounts[debit],
                self.accounts[credit],
                amount,
                tolerance=tolerance,
                lasts_s=20,
            )
        )

    def hold(self, index):
        return self.holds[index % len(self.holds)] if self.holds else None

    def raise_(self, index, amount):
        if (hold := self.hold(index)) is not None:
            self.desk.book.raise_hold(
                self.desk.entry(), hold, amount=amount, authority=hold.authority
            )

    def capture_(self, index, amount, final):
        if (hold := self.hold(index)) is not None:
            self.desk.book.capture(
                self.desk.entry(), hold, amount=amount, final=final, authority=hold.authority
            )

    def release_(self, index, amount):
        if (hold := self.hold(index)) is not None:
            self.desk.book.release(self.desk.entry(), hold, amount=amount)

    def expire_(self):
        if (due := self.desk.book.next_expiry(self.desk.now)) is not None:
            self.desk.book.expire(self.desk.entry(), due)

    def wait_(self, seconds):
        self.desk.now += seconds * SECOND_US


@given(acts)
@settings(max_examples=100, deadline=None)
def test_undoing_any_sequence_leaves_the_book_as_it_was(desks, sequence):
    """Whatever was done since a mark, undoing it leaves every value and row as at the mark."""
    street = Street(desks())
    mark = len(street.desk.batch.journal)
    before = street.desk.picture()

    for act in sequence:
        street.act(act)
    street.desk.batch.undo_to(mark)

    assert street.desk.picture() == before


@given(acts)
@settings(max_examples=100, deadline=None)
def test_a_refusal_leaves_no_trace(desks, sequence):
    """An act that is refused changes no account, no hold and no row."""
    street = Street(desks())

    for act in sequence:
        before = street.desk.picture()
        if not street.act(act):
            assert street.desk.picture() == before


@given(acts)
@settings(max_examples=100, deadline=None)
def test_debits_equal_credits_posted_and_held(desks, sequence):
    """Over all accounts of a currency, what is debited is credited, and held on both sides."""
    street = Street(desks())
    for act in sequence:
        street.act(act)

    book = street.desk.book.accounts.values()
    for currency in (978, 392):
        same = [account for account in book if account.currency == currency]
        assert sum(a.debits_posted for a in same) == sum(a.credits_posted for a in same)
        assert sum(a.debits_held for a in same) == sum(a.credits_held for a in same)
    remaining = sum(h.remaining for h in street.holds)
    assert sum(account.debits_held for account in book) == remaining


@given(acts)
@settings(max_examples=100, deadline=None)
def test_versions_have_no_gap_and_balances_follow_each_other(desks, sequence):
    """Each account's transfers number 1..n, and each balance is the one before it ± amount."""
    street = Street(desks())
    for act in sequence:
        street.act(act)

    version = dict.fromkeys(street.desk.book.accounts, 0)
    balance = dict(version)
    held = {(side, number): 0 for side in ("debit", "credit") for number in version}
    for move in street.desk.moves:
        for side, sign in (("debit", -1), ("credit", 1)):
            number = getattr(move, f"{side}_account")
            version[number] += 1
            balance[number] += sign * move.amount
            held[side, number] += move.held
            assert getattr(move, f"{side}_version") == version[number]
            assert getattr(move, f"{side}_balance") == balance[number]
            assert getattr(move, f"{side}_held") == held[side, number]
    for number, account in street.desk.book.accounts.items():
        assert account.version == version[number]
        assert account.credits_posted - account.debits_posted == balance[number]


@given(acts)
@settings(max_examples=100, deadline=None)
def test_no_limit_is_broken_after_any_movement(desks, sequence):
    """What has been posted never takes an account below its posting limit by a posting."""
    street = Street(desks())

    for act in sequence:
        done = street.act(act)
        if done and act[0] == "post":
            for account in (street.accounts[act[1]], street.accounts[act[2]]):
                if account.available is not None and account.nature == Nature.CREDIT:
                    shrinks = account is street.accounts[act[1]]
                    assert account.available >= 0 or not shrinks


@given(acts)
@settings(max_examples=100, deadline=None)
def test_a_hold_ends_once_and_gives_no_more_than_it_may(desks, sequence):
    """Captured stays within the tolerance, and after its end nothing happens to a hold."""
    street = Street(desks())
    for act in sequence:
        street.act(act)

    by_hold = {hold.id: [] for hold in street.holds}
    for move in street.desk.moves:
        if move.hold is not None:
            by_hold[move.hold].append(move)
    for hold in street.holds:
        held = list(itertools.accumulate(move.held for move in by_hold[hold.id]))
        assert all(value > 0 for value in held[:-1])
        assert held[-1] == hold.remaining
        assert (hold.status == HoldStatus.OPEN) == (hold.remaining > 0)
        assert hold.captured == sum(move.amount for move in by_hold[hold.id])
        assert hold.captured <= hold.held + hold.held * hold.tolerance_bps // 10_000
        kinds = [move.kind for move in by_hold[hold.id]]
        assert kinds.count(TransferKind.HOLD) == 1
        assert kinds.count(TransferKind.EXPIRE) <= 1
