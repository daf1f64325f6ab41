"""What the ledger lets happen: a text table, one row one case.

The customer's account begins with the balance and the limits for holds and for postings;
every step but the last is allowed. Then: what is posted, held and available, or the
refusal of the last step, after which everything is as before it.
"""

import pytest

from scudo.kernel import SECOND_US, Refusal

CASES = """
balance limits   | what happens                                       | then

# postings
100     0/0      | post 1                                             | 99 0 99
100     0/0      | post 100                                           | 0 0 0
100     0/0      | post 101                                           | insufficient_funds
0       0/0      | post 1                                             | insufficient_funds
100     0/50     | post 150                                           | -50 0 0
100     0/50     | post 151                                           | insufficient_funds
100     50/0     | post 101                                           | insufficient_funds
100     none     | post 5000                                          | -4900 0 none
100     0/0      | pay-in 11                                          | 111 0 111

# holds have a limit of their own
100     0/0      | hold 100                                           | 100 100 0
100     0/0      | hold 101                                           | insufficient_funds
100     50/0     | hold 150                                           | 100 150 -50
100     50/0     | hold 151                                           | insufficient_funds
100     0/50     | hold 101                                           | insufficient_funds
100     0/0      | hold 60; post 40                                   | 60 60 0
100     0/0      | hold 60; post 41                                   | insufficient_funds
100     0/0      | hold 60; hold 41                                   | insufficient_funds
100     0/50     | hold 60; post 90                                   | 10 60 0

# raise
100     0/0      | hold 60; raise 40                                  | 100 100 0
100     0/0      | hold 60; raise 41                                  | insufficient_funds
100     0/0      | hold 60; release; raise 1                          | hold_ended
100     0/0      | hold 60; later; raise 1                            | hold_expired
100     0/0      | hold 60; raise 40; capture 100                     | 0 0 0

# capture
100     0/0      | hold 60; capture 60                                | 40 0 40
100     0/0      | hold 60; capture 20                                | 80 40 40
100     0/0      | hold 60; capture 20; capture 40                    | 40 0 40
100     0/0      | hold 60; capture 20; capture 41                    | capture_too_high
100     0/0      | hold 60; capture-last 20                           | 80 0 80
100     0/0      | hold 60; capture 61                                | capture_too_high
100     0/0      | hold 60; capture 60; capture 1                     | hold_ended
100     0/0      | hold 60; capture-last 20; capture 1                | hold_ended
100     0/0      | hold 60; later; capture 1                          | hold_expired
100     0/0      | hold 60; release; capture 1                        | hold_ended
100     50/0     | hold 150; capture 150                              | -50 0 -50

# over-capture within the tolerance of 15 %
100     0/0      | tolerant 60; capture 69                            | 31 0 31
100     0/0      | tolerant 60; capture 70                            | capture_too_high
100     0/0      | tolerant 60; capture 40; capture 29                | 31 0 31
100     0/0      | tolerant 60; capture 40; capture 30                | capture_too_high
100     0/0      | tolerant 100; capture 101                          | insufficient_funds
100     0/5      | tolerant 100; capture 105                          | -5 0 0
100     0/5      | tolerant 100; capture 106                          | insufficient_funds
100     0/0      | tolerant 60; raise 20; capture 92                  | 8 0 8

# release
100     0/0      | hold 60; release                                   | 100 0 100
100     0/0      | hold 60; release 20                                | 100 40 60
100     0/0      | hold 60; release 20; release 40                    | 100 0 100
100     0/0      | hold 60; release 61                                | release_too_high
100     0/0      | hold 60; release; release                          | hold_ended
100     0/0      | hold 60; capture 20; release                       | 80 0 80
100     0/0      | hold 60; capture 60; release                       | hold_ended
100     0/0      | hold 60; later; release                            | 100 0 100

# expiry
100     0/0      | hold 60; later; expire                             | 100 0 100
100     0/0      | hold 60; capture 20; later; expire                 | 80 0 80
100     0/0      | hold 60; later; expire; capture 1                  | hold_expired
100     0/0      | hold 60; later; expire; release                    | hold_ended

# 64 bits
0 0/0 | pay-in 9223372036854775807 | 9223372036854775807 0 9223372036854775807
1       0/0      | pay-in 9223372036854775807                         | balance_out_of_range
1       none     | post 9223372036854775807                           | -9223372036854775806 0 none
1       none     | post 1; post 9223372036854775807                   | balance_out_of_range
1       none     | hold 9223372036854775807                           | 1 9223372036854775807 none
1       none     | hold 1; hold 9223372036854775807                   | balance_out_of_range
1       none     | hold 1; post 9223372036854775807                   | balance_out_of_range
1       none     | hold 9223372036854775806; raise 2                  | balance_out_of_range

# sides
100     0/0      | post-self 1                                        | same_account
100     0/0      | post-yen 1                                         | currency_mismatch
100     0/0      | hold-yen 1                                         | currency_mismatch
100     0/0      | close; post 1                                      | account_closed
100     0/0      | close; hold 1                                      | account_closed
100     0/0      | close; pay-in 1                                    | account_closed
100     0/0      | hold 60; close; capture 1                          | account_closed
100     0/0      | hold 60; close; raise 1                            | account_closed
100     0/0      | hold 60; close; release                            | 100 0 100
"""
ROWS = [
    tuple(cell.strip() for cell in line.split("|"))
    for line in CASES.strip().splitlines()[1:]
    if line.strip() and not line.startswith("#")
]


class Scene:
    """One customer, a till, and the hold that was placed last."""

    def __init__(self, desk, start):
        balance, limits = start.split()
        both = (None, None) if limits == "none" else tuple(map(int, limits.split("/")))
        self.desk = desk
        self.till = desk.account(owner=2)
        self.yen = desk.account(owner=2, currency=392)
        # Both the till and the bank's own side would overflow with the customer's account.
        self.bank = desk.account(owner=0, limits=(None, None))
        self.customer = desk.account(limits=both)
        if balance != "0":
            desk.post(self.bank, self.customer, int(balance))
        self.hold = None

    def step(self, words):
        act, *amount = words.split()
        getattr(self, act.replace("-", "_"))(*map(int, amount))

    def post(self, amount):
        self.desk.post(self.customer, self.till, amount)

    def post_self(self, amount):
        self.desk.post(self.customer, self.customer, amount)

    def post_yen(self, amount):
        self.desk.post(self.customer, self.yen, amount)

    def pay_in(self, amount):
        fresh = self.desk.account(owner=0, limits=(None, None))
        self.desk.post(fresh, self.customer, amount)

    def place(self, amount, credit, tolerance=0):
        self.hold = self.desk.place(self.customer, credit, amount, tolerance=tolerance)

    def hold_yen(self, amount):
        self.place(amount, self.yen)

    def tolerant(self, amount):
        self.place(amount, self.till, tolerance=1_500)

    def raise_(self, amount):
        self.desk.book.raise_hold(
            self.desk.entry(), self.hold, amount=amount, authority=self.hold.authority
        )

    def capture(self, amount, *, final=False):
        self.desk.book.capture(
            self.desk.entry(),
            self.hold,
            amount=amount,
            final=final,
            authority=self.hold.authority,
        )

    def capture_last(self, amount):
        self.capture(amount, final=True)

    def release(self, amount=None):
        self.desk.book.release(self.desk.entry(), self.hold, amount=amount)

    def expire(self):
        due = self.desk.book.next_expiry(self.desk.now)
        assert due is self.hold
        self.desk.book.expire(self.desk.entry(), due)

    def later(self):
        self.desk.now += 1_000 * SECOND_US

    def close(self):
        self.customer.status = 2


def test_every_row_of_the_table_is_a_case():
    """A row that is mistyped does not silently fall out of the table."""
    assert len(ROWS) == len(set(ROWS)) > 60
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize(("start", "steps", "then"), ROWS)
def test_balances_follow_the_table(desk, start, steps, then):
    """The last step gives these balances, or this refusal and no change at all."""
    scene = Scene(desk, start)
    *before, last = [
        {"hold": "place_held", "raise": "raise_"}.get(step.split()[0], step.split()[0])
        + step[len(step.split()[0]) :]
        for step in map(str.strip, steps.split(";"))
    ]
    scene.place_held = lambda amount: scene.place(amount, scene.till)
    for step in before:
        scene.step(step)
    picture = desk.picture()

    refusal = None
    try:
        scene.step(last)
    except Refusal as error:
        refusal = error

    account = scene.customer
    if refusal is not None:
        assert refusal.code == then
        if last.split()[0] != "pay-in":
            assert desk.picture() == picture
    else:
        shown = (account.posted, account.held, account.available)
        assert " ".join("none" if value is None else str(value) for value in shown) == then
