"""Claims about feature flags: two people set them, and nothing waits for them."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.flag_evaluation import FlagResolutionDetails
from tests.conftest import Database
from tests.history.banks import opened
from tests.operating import Office

from scudo.bootstrap import CATALOGUE
from scudo.fabric import Records, read_log, web
from scudo.governance import events, flags
from scudo.governance.controls import load_controls
from scudo.governance.flags.declaring import DECLARED
from scudo.kernel import InvariantBroken

_MORE = """
[[flags]]
number = 11
name = "answers_a_page"
type = "int"
default = 50
least = 10
most = 200
kind = "tuning"
owner = "platform"
says = "So many things are on a page."
expires_on = 2031-01-31

[[flags]]
number = 12
name = "page_colour"
type = "word"
words = ["green", "blue"]
default = "green"
kind = "presentation"
owner = "customer experience"
says = "Pages have this colour."
expires_on = 2031-01-31
"""
SWITCH, NUMBER, WORD = "me_gives_advice", "answers_a_page", "page_colour"


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> tuple[flags.Flag, ...]:
    """The shipped flags, and one more of each type."""
    file = tmp_path_factory.mktemp("flags") / "flags.toml"
    file.write_text(DECLARED.read_text() + _MORE)
    return flags.load_flags(file)


class Desk:
    """An office in which an engineer proposes what flags are, and a founder approves."""

    def __init__(self, declared: tuple[flags.Flag, ...]) -> None:
        self.flags = flags.Flags(declared)
        self.office = Office(*self.flags.kinds)
        Records(self.flags.registers).begin()
        anna, self.bela = self.office.founders()
        self.eva = self.office.hire(anna, "eva")
        self.office.grant(anna, self.bela, self.eva, "engineer")

    def propose(self, flag: str, value: Any) -> Any:
        return self.office.propose(self.eva, "set_flag", flag=flag, value=value)

    def set(self, flag: str, value: Any) -> Any:
        number = self.office.proposed(self.eva, "set_flag", flag=flag, value=value)
        outcome = self.office.approve(self.bela, number)
        assert outcome.status == 200, outcome
        return outcome

    def reader(self) -> flags.FlagReader:
        # A busy machine is no slow provider.
        return flags.FlagReader(flags.FlagProvider(self.flags), patience_s=30)


@pytest.fixture
def desk(declared: tuple[flags.Flag, ...]) -> Desk:
    """A desk at which nothing was set yet."""
    return Desk(declared)


def request() -> web.Call:
    """A request that has read no flag."""
    return web.Call(
        client=web.NOBODY, path={}, body=None, query=None, key=None, ordered_at=None, trace_id=""
    )


def read(reader: flags.FlagReader, name: str, default: Any, call: web.Call | None = None) -> Any:
    """Read a flag for a request."""
    return asyncio.run(reader.value(call or request(), name, default))


class TestDeclaration:
    """The file."""

    @pytest.mark.parametrize(
        ("found", "put"),
        [
            ('kind = "tuning"', 'kind = "control"'),
            ('kind = "tuning"', ""),
            ('name = "page_colour"', 'name = "limits"'),
            ('name = "page_colour"', 'name = "answers_a_page"'),
            ("number = 12", "number = 11"),
            ("default = 50", "default = 9"),
            ("default = 50", "default = true"),
            ("default = 50", 'default = "50"'),
            ("least = 10", ""),
            ('words = ["green", "blue"]', ""),
            ('words = ["green", "blue"]', 'words = ["green", "green"]'),
            ('default = "green"', 'default = "red"'),
            ("default = false", "default = false\nleast = 0"),
            ("default = false", 'default = false\nwords = ["no"]'),
            ("default = false", "default = 0"),
            ('owner = "platform"', ""),
            ("expires_on = 2031-01-31", 'expires_on = "soon"'),
            ("expires_on = 2031-01-31", ""),
            ('owner = "platform"', 'owner = "platform"\nswitches_off = "audit"'),
            ("[[flags]]", "[[flags"),
        ],
    )
    def test_a_file_that_is_not_as_documented_is_refused(
        self, tmp_path: Path, found: str, put: str
    ) -> None:
        """A control cannot be declared, by kind or by name; nor what has no owner or no end."""
        text = DECLARED.read_text() + _MORE
        assert found in text
        file = tmp_path / "flags.toml"
        file.write_text(text.replace(found, put, 1))

        with pytest.raises(InvariantBroken, match=r"flags\.toml"):
            flags.load_flags(file)

    @pytest.mark.parametrize("control", [control.name for control in load_controls()])
    def test_no_flag_is_called_as_a_control_is(self, tmp_path: Path, control: str) -> None:
        """Nobody takes one for the other."""
        file = tmp_path / "flags.toml"
        file.write_text(_MORE.replace(WORD, control))

        with pytest.raises(InvariantBroken, match="is a control"):
            flags.load_flags(file)

    @pytest.mark.parametrize(
        ("name", "value", "is_allowed"),
        [
            (SWITCH, True, True),
            (SWITCH, 1, False),
            (SWITCH, "true", False),
            (NUMBER, 10, True),
            (NUMBER, 200, True),
            (NUMBER, 9, False),
            (NUMBER, 201, False),
            (NUMBER, True, False),
            (NUMBER, 50.0, False),
            (WORD, "blue", True),
            (WORD, "red", False),
            (WORD, None, False),
        ],
    )
    def test_a_flag_allows_its_type_within_its_bounds(
        self, desk: Desk, name: str, value: Any, is_allowed: bool
    ) -> None:
        """A bool is no number, and bounds are included."""
        assert desk.flags.declared[name].allows(value) is is_allowed


class TestSetting:
    """Two people give a flag a value; nothing else does."""

    def test_is_told_and_kept_with_its_approval(self, desk: Desk) -> None:
        """The event names flag, value and approval; the diff says what it was."""
        number = desk.office.proposed(desk.eva, "set_flag", flag=SWITCH, value=True)
        document = desk.office.approval(number).document

        told = desk.office.approve(desk.bela, number).told(flags.events.FlagSet)

        assert (told.flag, told.value, told.approval) == (SWITCH, "true", number)
        assert '"diff":{"value":[null,true]}' in document
        assert read(desk.reader(), SWITCH, default=False) is True
        assert desk.set(SWITCH, None).told(flags.events.FlagSet).value == "null"
        assert read(desk.reader(), SWITCH, default=False) is False

    @pytest.mark.parametrize(
        ("flag", "value", "field"),
        [
            ("limits", False, "change.flag"),
            ("payment_gates", False, "change.flag"),
            ("no_such_flag", True, "change.flag"),
            (SWITCH, 1, "change.value"),
            (SWITCH, "on", "change.value"),
            (SWITCH, None, "change.value"),
            (NUMBER, 201, "change.value"),
            (NUMBER, True, "change.value"),
            (WORD, "red", "change.value"),
            (NUMBER, 1.5, "change"),
            (NUMBER, [50], "change"),
        ],
    )
    def test_what_a_flag_cannot_become_is_refused(
        self, desk: Desk, flag: str, value: Any, field: str
    ) -> None:
        """Controls, unknown flags, other types, values out of bounds, and what holds already."""
        refused = desk.propose(flag, value)

        assert (refused.status, refused.code) == (422, "change_invalid")
        assert refused.body["field"] == field

    def test_past_its_date_a_flag_goes_back_only(self, declared: tuple[flags.Flag, ...]) -> None:
        """No new value, and the default whenever it is wanted; the owner is behind."""
        desk = Desk(declared)
        desk.set(NUMBER, 60)
        end = date(2031, 1, 31)
        before = desk.office.now
        desk.office.now = 1_927_584_000 * 1_000_000  # 2031-01-31
        refused = desk.propose(NUMBER, 70)
        allowed = desk.propose(NUMBER, None)
        desk.office.now = before

        assert (refused.code, refused.body["field"]) == ("change_invalid", "change.flag")
        assert allowed.status == 201
        assert desk.flags.expired(end) == [SWITCH, NUMBER, WORD]
        assert NUMBER not in desk.flags.expired(date(2031, 1, 30))

    def test_nobody_else_proposes_or_approves(self, desk: Desk) -> None:
        """An engineer proposes and does not approve; a security officer the other way round."""
        mine = desk.office.proposed(desk.eva, "set_flag", flag=NUMBER, value=77)

        by_bela = desk.office.propose(desk.bela, "set_flag", flag=NUMBER, value=78)
        by_eva = desk.office.approve(desk.eva, mine)

        assert (by_bela.status, by_bela.code) == (403, "permission_missing")
        assert by_eva.status == 403
        assert read(desk.reader(), NUMBER, 50) == 50

    @settings(max_examples=25, deadline=None)
    @given(
        changes=st.lists(
            st.one_of(
                st.tuples(st.just(SWITCH), st.sampled_from([True, False, None, 1])),
                st.tuples(st.just(NUMBER), st.none() | st.integers(5, 205)),
                st.tuples(st.just(WORD), st.sampled_from(["green", "blue", "red", None])),
            ),
            max_size=6,
        )
    )
    def test_the_newest_approved_value_holds_or_the_default(
        self, declared: tuple[flags.Flag, ...], changes: list[tuple[str, Any]]
    ) -> None:
        """For any sequence of settings, whatever of it is refused."""
        desk = Desk(declared)
        reader = desk.reader()
        defaults = {SWITCH: False, NUMBER: 50, WORD: "green"}
        newest: dict[str, Any] = dict.fromkeys(defaults)
        for name, value in changes:
            proposed = desk.propose(name, value)
            is_news = value != newest[name] or type(value) is not type(newest[name])
            allowed = value is None or desk.flags.declared[name].allows(value)
            assert (proposed.status == 201) is (allowed and is_news)
            if proposed.status == 201:
                desk.set(name, value)
                newest[name] = value

            for known, default in defaults.items():
                holds = default if newest[known] is None else newest[known]
                assert read(reader, known, default) == holds
        assert not reader.fallbacks


class Foreign(flags.FlagProvider):
    """A provider that is elsewhere, and in some state."""

    def __init__(self, state: str) -> None:
        super().__init__(flags.Flags())
        self.state = state
        self.asked = 0

    def initialize(self, evaluation_context: Any) -> None:
        if self.state == "never_began":
            raise ConnectionError

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: Any = None
    ) -> FlagResolutionDetails[Any]:
        self.asked += 1
        if self.state == "down":
            raise ConnectionError
        if self.state == "slow":
            await asyncio.Event().wait()
        if self.state == "cancelled":
            raise asyncio.CancelledError
        return FlagResolutionDetails({"wrong": "yes", "number": 1, "well": True}[self.state])


class TestFallback:
    """Nothing waits for a flag, and nothing fails with one."""

    @pytest.mark.fault(59)
    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            ("down", "general"),
            ("slow", "slow"),
            ("cancelled", "general"),
            ("never_began", "general"),
            ("wrong", "type_mismatch"),
            ("number", "type_mismatch"),
        ],
    )
    @pytest.mark.parametrize("default", [False, True])
    def test_the_coded_default_stands_in(self, state: str, reason: str, default: bool) -> None:
        """Down, slow, never begun or wrong: the caller's default, counted, without an error."""
        reader = flags.FlagReader(Foreign(state))

        assert read(reader, SWITCH, default) is default
        assert sum(reader.fallbacks.values()) == 1
        assert set(reader.fallbacks) <= {reason, "provider_not_ready", "provider_fatal"}

    @pytest.mark.fault(59)
    @pytest.mark.parametrize("state", ["slow", "down"])
    def test_a_provider_that_failed_is_left_alone_for_a_while(self, state: str) -> None:
        """The next requests get the default without asking; then it is asked again."""
        provider = Foreign(state)
        reader = flags.FlagReader(provider)

        async def scenario() -> None:
            for _ in range(5):
                assert await reader.value(request(), SWITCH, default=False) is False
            assert provider.asked == 1
            provider.state = "well"
            await asyncio.sleep(1.1)
            assert await reader.value(request(), SWITCH, default=False) is True

        asyncio.run(scenario())

        assert provider.asked == 2
        assert reader.fallbacks["resting"] == 4

    @pytest.mark.fault(59)
    @pytest.mark.parametrize(
        ("name", "default", "reason"),
        [
            ("no_such_flag", True, "flag_not_found"),
            ("payment_gates", True, "flag_not_found"),
            (NUMBER, True, "type_mismatch"),
            (SWITCH, 7, "type_mismatch"),
            (WORD, 7, "type_mismatch"),
            (SWITCH, "on", "type_mismatch"),
        ],
    )
    def test_a_caller_in_error_gets_its_default(
        self, desk: Desk, name: str, default: Any, reason: str
    ) -> None:
        """An unknown flag or another type harms nobody else: the provider is asked on."""
        reader = desk.reader()

        assert read(reader, name, default) is default
        assert reader.fallbacks == {reason: 1}
        assert read(reader, WORD, "red") in {"green", "blue"}
        assert reader.fallbacks == {reason: 1}

    def test_what_is_not_allowed_any_more_is_not_given(
        self, declared: tuple[flags.Flag, ...]
    ) -> None:
        """A value from before the bounds were narrowed falls back, counted."""
        desk = Desk(declared)
        desk.set(NUMBER, 200)
        narrower = msgspec.structs.replace(desk.flags.declared[NUMBER], most=100)
        desk.flags.declared = {NUMBER: narrower}
        reader = desk.reader()

        assert read(reader, NUMBER, 50) == 50
        assert reader.fallbacks == {"type_mismatch": 1}


class TestRequest:
    """A request sees one value of a flag."""

    def test_what_was_found_first_holds_until_the_answer(
        self, declared: tuple[flags.Flag, ...]
    ) -> None:
        """A flag that is set meanwhile changes the next request, not this one."""
        desk = Desk(declared)
        reader, first = desk.reader(), request()
        assert read(reader, SWITCH, False, first) is False
        desk.set(SWITCH, True)

        assert read(reader, SWITCH, False, first) is False
        assert read(reader, SWITCH, False) is True
        assert first.flags == {SWITCH: False}

    def test_a_provider_is_asked_once(self) -> None:
        """However often the request's code looks."""
        provider = Foreign("well")
        reader, call = flags.FlagReader(provider), request()

        assert all(read(reader, SWITCH, False, call) for _ in range(3))
        assert provider.asked == 1


class TestOverdue:
    """A flag past its date."""

    def test_degrades_the_control_of_flags(self, database: Database, tmp_path: Path) -> None:
        """The owner of the control is told by an event; it ends when the flag is gone."""

        async def told(bank: Any, kind: type[Any]) -> Any:
            while True:
                async with bank.reads() as connection:
                    found, _ = await read_log(
                        connection, CATALOGUE, after=0, limit=500, wants=frozenset({kind})
                    )
                if found:
                    return found[0].event
                await asyncio.sleep(0.05)

        def prepare(bank: Any) -> None:
            (flag, *_) = flags.load_flags()
            old = msgspec.structs.replace(flag, expires_on=date(2020, 1, 1))
            bank.rooms.flags.declared = {old.name: old}

        async def scenario() -> tuple[Any, Any]:
            async with opened(database.dsn, tmp_path, prepare=prepare) as (bank, _):
                degraded = await told(bank, events.ControlDegraded)
                bank.rooms.flags.declared = {}
                return degraded, await told(bank, events.ControlRestored)

        degraded, restored = asyncio.run(scenario())

        assert (degraded.control, degraded.owner) == ("flags", "platform")
        assert restored.control == "flags"
