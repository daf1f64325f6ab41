"""The laws of the ledger and the log: model and bank agree, whatever is asked in what batches."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.conftest import lend_database
from tests.history.banks import FAILURES, Driver, Saboteur, opened
from tests.history.check import check
from tests.history.decided import decision_problems
from tests.model.replay import read_stored

from scudo.decisions import load_policy
from scudo.fabric.postgres import Dsn

#: The file's clock starts here: 2024-01-01.
START = 1_704_067_200_000_000
SECOND = 1_000_000
POLICY = load_policy()


class Machine(RuleBasedStateMachine):
    """A bank on a database of its own, to which anything may happen."""

    server: Dsn
    template: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="scudo-laws-"))
        self.lending = contextlib.contextmanager(lend_database)(self.server, template=self.template)
        self.dsn = self.lending.__enter__().dsn
        self.driver = Driver(1, clock=START)
        self.late = SECOND // 1_000
        self.open()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    def open(self) -> None:
        self.opening = opened(self.dsn, self.folder, batch=256)
        self.bank, self.saboteur = self.do(self.opening.__aenter__())

    def close(self) -> None:
        self.saboteur.ways.clear()
        self.do(self.opening.__aexit__(None, None, None))

    @initialize(accounts=st.integers(2, 5))
    def begin(self, accounts: int) -> None:
        self.do(self.driver.setup(self.bank, accounts=accounts))

    @rule(seed=st.integers(0, 1 << 20), count=st.integers(1, 40))
    def work(self, seed: int, count: int) -> None:
        """Some commands at once, so that they share batches."""
        self.driver.reseed(seed)
        self.do(self.driver.work(self.bank, count=count))

    @rule(
        seed=st.integers(0, 1 << 20),
        count=st.integers(1, 12),
        way=st.sampled_from(sorted(FAILURES)),
        times=st.integers(1, 3),
    )
    def work_while_it_breaks(self, seed: int, count: int, way: str, times: int) -> None:
        """The same, while batches are aborted."""
        self.saboteur = Saboteur() if self.saboteur is None else self.saboteur
        self.saboteur.ways = [way] * (1 if way == "stale" else times)
        if way == "data":
            # After something due could not be written the bank waits before it tries again.
            self.late = 1 << 62
        self.work(seed, count)
        self.saboteur.ways.clear()

    @rule(count=st.integers(1, 8))
    def replay(self, count: int) -> None:
        """Nothing but keys that were answered before."""
        self.do(self.driver.exchange(self.bank, self.driver.sent[-count:]))

    @rule(seconds=st.sampled_from([1, 5, 301, 86_401, 604_801]))
    def pass_time(self, seconds: int) -> None:
        """Challenges, held payments and authorisations run out."""
        assert self.driver.clock is not None
        self.driver.clock += seconds * SECOND

    @rule()
    def forget(self) -> None:
        """The caches are dropped, and loaded again."""
        self.bank.conveyor._is_stale = True
        self.replay(1)

    @rule()
    def restart(self) -> None:
        """The bank is closed and opened again."""
        self.close()
        self.open()

    def teardown(self) -> None:
        try:
            self.close()
            stored = read_stored(self.dsn.read)
            problems = check(stored, self.driver.tries, late=self.late)
            problems += decision_problems(stored, policy=POLICY)
            assert problems == []
        finally:
            with contextlib.suppress(Exception):
                self.loop.close()
            self.lending.__exit__(None, None, None)
            shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
def test_model_and_bank_agree(server, template):
    """Whatever is asked, in whatever batches, broken or not: the bank does what the model does."""

    class Here(Machine):
        pass

    Here.server, Here.template = server, template
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=8,
            stateful_step_count=12,
            deadline=None,
            # An example takes seconds: shrinking one would take many minutes.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
