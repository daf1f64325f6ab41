"""Any order of acts against a small model: what is read is what the model says, always."""

import asyncio

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import lend_database
from tests.rooms.vault.conftest import WHY, refused

from scudo import vault
from scudo.vault.answers import Answer, Refused
from scudo.vault.callers import Asker
from scudo.vault.wire import (
    CommitRoot,
    ErasePerson,
    FindPerson,
    FindToken,
    PrepareRoot,
    PutPerson,
    ReadFields,
    Request,
    RotateOperational,
    RotateSearch,
    RotateUnit,
    Seal,
    Sweep,
    Tokenise,
    Unseal,
)

EMAILS = ("ada@example.org", "bob@example.org")
PERSONS = st.integers(1, 3)
ACTS = st.one_of(
    st.tuples(st.just("put"), PERSONS, st.sampled_from(EMAILS)),
    st.tuples(st.just("read"), PERSONS),
    st.tuples(st.just("find"), st.sampled_from(EMAILS)),
    st.tuples(st.just("token"), st.sampled_from(EMAILS)),
    st.tuples(st.just("erase"), PERSONS),
    *(
        st.tuples(st.just(act))
        for act in ("root", "unit", "sweep", "version", "search", "step", "seal", "restart")
    ),
    st.tuples(st.just("pass"), st.sampled_from([1, 30, 61])),
)


@pytest.fixture(scope="module")
def lent(server, template):
    """A database for all the examples of this module."""
    lending = lend_database(server, template=template)
    yield next(lending)
    next(lending, None)


class Model:
    """The vault in plain Python, beside a real one in this process."""

    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.emails: dict[int, str] = {}
        self.linked: dict[str, set[int]] = {email: set() for email in EMAILS}
        self.erased: set[int] = set()
        self.now_us = 0
        self.shares: tuple[str, ...] = ()

    async def begin(self):
        folder = vault.Folder.open(self.folder)
        self.custody = vault.Custody(
            vault.Database(self.database.dsn.vault),
            folder=folder,
            hsm=vault.Hsm(None),
            keys=vault.FileKeyStore(folder),
            erasures=vault.Erasures(folder),
            clock=vault.Clock(wall_us=lambda: 1 + self.now_us, monotonic_us=lambda: self.now_us),
            limits=vault.Limits(cached_keys=2),
        )
        await self.custody.open()

    async def ask(self, request: Request) -> Answer:
        return await self.custody.answer(request, asker=Asker(is_keeper=True))

    async def done(self, request: Request) -> Answer:
        answer = await self.ask(request)
        assert not isinstance(answer, Refused), (request, answer.code)
        return answer

    async def code(self, request: Request) -> str:
        answer = await self.ask(request)
        assert isinstance(answer, Refused), request
        return answer.code

    async def unseal(self):
        await self.done(Unseal(self.shares[0], "ada"))
        await self.done(Unseal(self.shares[2], "grace"))

    async def put(self, person, email):
        request = PutPerson(person, {"email": email})
        if person in self.erased:
            assert await self.code(request) == "vault_person_erased"
            return
        await self.done(request)
        self.emails[person] = email
        self.linked[email].add(person)

    async def read(self, person):
        request = ReadFields(person, ("email",), WHY)
        if person not in self.emails:
            assert await self.code(request) == "vault_person_not_found"
            return
        assert (await self.done(request)).values == {"email": self.emails[person]}

    async def find(self, email):
        found = (await self.done(FindPerson("email", email, WHY))).persons
        assert set(found) == {one for one, kept in self.emails.items() if kept == email}

    async def token(self, email):
        version = (await self.done(Tokenise("email", (email,)))).version
        found: set[int] = set()
        for one in range(1, version + 1):
            made = await self.done(Tokenise("email", (email,), one))
            found |= set((await self.done(FindToken("email", made.tokens[0], WHY))).persons)
        assert found == self.linked[email]

    async def erase(self, person):
        erased = await self.done(ErasePerson(person, "operator:7", "article-17"))
        assert erased.was_known == (person in self.emails)
        self.erased.add(person)
        self.emails.pop(person, None)
        for linked in self.linked.values():
            linked.discard(person)

    async def root(self):
        self.shares = (await self.done(PrepareRoot(3, 2))).shares
        await self.done(CommitRoot())

    async def unit(self):
        await self.done(RotateUnit())

    async def sweep(self):
        await self.done(Sweep(1))

    async def search(self):
        await self.done(RotateSearch())

    async def step(self):
        await self.custody.step()

    async def version(self):
        await self.done(RotateOperational("token"))

    async def seal(self):
        await self.done(Seal())
        for person in self.emails:
            assert await self.code(ReadFields(person, ("email",), WHY)) == "vault_sealed"
        await self.unseal()

    async def restart(self):
        await self.custody.close()
        await self.begin()
        assert await self.code(RotateUnit()) == "vault_sealed"
        await self.unseal()

    async def passed(self, seconds):
        self.now_us += seconds * 1_000_000
        self.custody.tick()


async def live(database, folder, acts):
    """Carry out acts on a new vault and on the model, then look at everybody."""
    model = Model(database, folder)
    await model.begin()
    await model.root()
    try:
        for act, *arguments in acts:
            await getattr(model, "passed" if act == "pass" else act)(*arguments)
        for person in (1, 2, 3):
            await model.read(person)
        for email in EMAILS:
            await model.find(email)
            await model.token(email)
    finally:
        await model.custody.close()


@given(acts=st.lists(ACTS, max_size=25))
@settings(max_examples=40, deadline=None)
def test_any_order_of_acts_reads_what_the_model_reads(lent, tmp_path_factory, acts):
    """Puts, reads, rotations, erasures, seals and restarts in any order: the model agrees."""
    with psycopg.connect(lent.dsn.admin, autocommit=True) as admin:
        admin.execute(
            "TRUNCATE vault.root, vault.unit_key, vault.person_key, vault.field, vault.search,"
            " vault.token_link, vault.card, vault.payment_text, vault.erasure, vault.read_record"
        )

    asyncio.run(live(lent, tmp_path_factory.mktemp("vault"), acts))


class TestAsyncClient:
    def test_has_many_requests_under_way(self, shared):
        """Two hundred requests at once over one connection are answered each with its own."""

        async def ask_all():
            async with vault.AsyncVaultClient(shared.running.socket) as client:
                values = [(f"value-{number}",) for number in range(200)]
                made = await asyncio.gather(
                    *(client.ask(Tokenise("device", one)) for one in values)
                )
                again = await client.ask(Tokenise("device", tuple(value for (value,) in values)))
                return [one.tokens[0] for one in made], list(again.tokens)

        one_by_one, together = asyncio.run(ask_all())

        assert one_by_one == together
        assert len(set(together)) == 200

    def test_is_refused_with_the_vaults_own_words(self, shared):
        """A refusal is raised by its class, with its code."""

        async def ask():
            async with vault.AsyncVaultClient(shared.running.socket) as client:
                await client.ask(ReadFields(99, ("email",), WHY))

        with pytest.raises(vault.VaultRefusal) as caught:
            asyncio.run(ask())

        assert caught.value.code == "vault_person_not_found"
        assert [fact.result for fact in caught.value.facts] == ["vault_person_not_found"]

    def test_reaches_the_vault_after_it_was_killed(self, home):
        """Requests that do no harm twice wait for the next vault; then they are answered."""
        home.opened().ask(PutPerson(7, {"email": EMAILS[0]}))

        async def ask():
            async with vault.AsyncVaultClient(home.running.socket, patience_s=20) as client:
                request = ReadFields(7, ("email",), WHY)
                before = await client.ask(request)
                home.running.kill()
                asking = asyncio.create_task(client.ask(request))
                await asyncio.sleep(0.1)
                await asyncio.to_thread(home.start)
                return before.values, (await asking).values

        before, after = asyncio.run(ask())

        assert before == after == {"email": EMAILS[0]}

    def test_says_when_nobody_answers(self, home):
        """Without a vault it is unavailable, at once for what may not be sent twice."""

        async def ask():
            path = home.folder / "nowhere"
            async with vault.AsyncVaultClient(path, patience_s=0.1) as client:
                await client.ask(ReadFields(7, ("email",), WHY))

        with pytest.raises(vault.VaultUnavailable):
            asyncio.run(ask())


def test_refusals_come_back_as_their_classes(shared):
    """The blocking client raises the class of the code, too."""
    client = shared.client()

    refusal = refused(client.ask, ReadFields(98, ("email",), WHY))

    assert type(refusal) is vault.REFUSALS["vault_person_not_found"]
