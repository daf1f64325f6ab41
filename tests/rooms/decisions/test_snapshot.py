"""Snapshots of the feature state: whole, or refused by name."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scudo.decisions import (
    FeatureState,
    Gate,
    GateEvent,
    Outcome,
    SnapshotDamaged,
    SnapshotForeign,
    dump_state,
    load_policy,
    load_state,
)
from scudo.decisions.features import read_features

NOW = 1_700_000_000_000_000
FEATURES = load_policy().features


def _state(events: int = 200) -> FeatureState:
    state = FeatureState(FEATURES)
    for place in range(events):
        customer = place % 40
        event = GateEvent(
            Gate.PAYMENT,
            100 + place,
            978,
            customer,
            customer + (1 << 62),
            beneficiary=(1 << 62) + place % 7,
            card=(1 << 63) - 1 - customer,
            device=customer,
            merchant=place % 3,
        )
        state.apply(event, ordered_at=NOW + place * 7_000_000, outcome=Outcome.ALLOW)
    return state


def _image(state: FeatureState) -> bytes:
    file = io.BytesIO()
    dump_state(state, file, position=77)
    return file.getvalue()


IMAGE = _image(_state())


class TestLoadState:
    """What was written comes back, or nothing does."""

    def test_returns_the_same_state_and_position(self) -> None:
        """Every array of every key is as it was written, and the position of the log too."""
        state, position = load_state(io.BytesIO(IMAGE), features=FEATURES)

        assert position == 77
        assert state.tables == _state().tables
        assert state.ordered_at == NOW + 199 * 7_000_000
        assert _image(state) == IMAGE

    def test_remembers_what_was_forgotten(self) -> None:
        """Evictions are part of the snapshot."""
        state = _state()
        dropped = state.evict(before=NOW + 180 * 7_000_000)

        loaded, _ = load_state(io.BytesIO(_image(state)), features=FEATURES)

        assert dropped > 0
        assert loaded.has_forgotten
        assert [f.generations for f in loaded.forgotten] == [f.generations for f in state.forgotten]

    @settings(max_examples=100, deadline=None)
    @given(place=st.integers(0, len(IMAGE) - 1), change=st.integers(1, 255))
    def test_refuses_any_altered_byte(self, place: int, change: int) -> None:
        """No altered byte goes unnoticed, wherever it lies."""
        altered = bytearray(IMAGE)
        altered[place] ^= change

        with pytest.raises((SnapshotDamaged, SnapshotForeign)):
            load_state(io.BytesIO(bytes(altered)), features=FEATURES)

    @settings(max_examples=60, deadline=None)
    @given(size=st.integers(0, len(IMAGE) - 1))
    def test_refuses_any_cut(self, size: int) -> None:
        """A file that ends early is refused, wherever it ends."""
        with pytest.raises(SnapshotDamaged):
            load_state(io.BytesIO(IMAGE[:size]), features=FEATURES)

    def test_refuses_a_longer_file(self) -> None:
        """A byte behind the checksum is refused."""
        with pytest.raises(SnapshotDamaged):
            load_state(io.BytesIO(IMAGE + b"\0"), features=FEATURES)

    def test_refuses_other_definitions(self) -> None:
        """A snapshot of other features is named as such, so that the state is rebuilt."""
        other = read_features(
            "SELECT COUNT(*) OVER w AS a FROM gate_event WINDOW w AS (PARTITION BY card "
            "ORDER BY ordered_at RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW)",
            source="features.sql",
        )

        with pytest.raises(SnapshotForeign):
            load_state(io.BytesIO(IMAGE), features=other)
