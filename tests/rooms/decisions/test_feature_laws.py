"""Laws of the feature state: equal to a naive reading of all events, and to DuckDB."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from scudo.decisions.features import FeatureSet, FeatureState, dump, load, read_features
from scudo.decisions.model import Channel, Gate, GateEvent, Outcome

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 19_000 * DAY

DEFINITIONS = """
SELECT
  COUNT(*) OVER customer_10m AS count_10m,
  COUNT(*) OVER customer_10m_before AS count_10m_before,
  COUNT(*) FILTER (WHERE declined) OVER customer_1h_before AS declined_1h,
  COALESCE(SUM(amount_minor) OVER customer_1d, 0) AS sum_1d,
  COALESCE(SUM(amount_minor) FILTER (WHERE approved) OVER customer_3d_before, 0) AS sum_3d,
  COALESCE(SUM(available_minor) FILTER (WHERE amount_minor > 50) OVER customer_1d, 0) AS available,
  MEAN(amount_minor) FILTER (WHERE approved) OVER customer_3d_before AS mean_3d,
  MEAN(available_minor) OVER customer_1d AS mean_available,
  MIN(available_minor) OVER customer_1h_before AS min_1h,
  MAX(amount_minor) OVER customer_1d AS max_1d,
  MAX(amount_minor) FILTER (WHERE approved) OVER customer_3d_before AS max_3d,
  MIN(amount_minor) OVER customer_10m AS min_10m,
  LEAST(COUNT(DISTINCT merchant) OVER customer_1d, 3) AS merchants_1d,
  LEAST(COUNT(DISTINCT merchant) FILTER (WHERE approved) OVER customer_10m_before, 2)
    AS merchants_10m,
  ARG_MAX(merchant, ordered_at) OVER customer_ever AS latest_merchant,
  ARG_MAX(amount_minor, ordered_at) FILTER (WHERE declined) OVER customer_ever AS latest_declined,
  ordered_at - MAX(ordered_at) OVER customer_ever AS since_latest,
  ordered_at - MAX(ordered_at) FILTER (WHERE declined) OVER customer_ever AS since_declined,
  ordered_at - MIN(ordered_at) FILTER (WHERE amount_minor > 50) OVER pair_ever AS known,
  COUNT(*) OVER pair_ever AS pair_count,
  COALESCE(SUM(amount_minor) OVER pair_ever, 0) AS pair_sum,
  COUNT(*) FILTER (WHERE channel = 4) OVER merchant_7m_tiles AS tiles_7m,
  MIN(amount_minor) OVER merchant_7m_tiles AS min_7m_tiles,
  COUNT(*) OVER merchant_1h AS merchant_1h
FROM gate_event
WINDOW
  customer_10m AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 10 MINUTES PRECEDING AND CURRENT ROW),
  customer_10m_before AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 10 MINUTES PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  customer_1h_before AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  customer_1d AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 1 DAY, INTERVAL 1 HOUR) PRECEDING AND CURRENT ROW),
  customer_3d_before AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 3 DAYS, INTERVAL 1 DAY) PRECEDING AND CURRENT ROW
    EXCLUDE CURRENT ROW),
  customer_ever AS (PARTITION BY customer ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  pair_ever AS (PARTITION BY customer, device ORDER BY ordered_at
    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
  merchant_7m_tiles AS (PARTITION BY merchant ORDER BY ordered_at
    RANGE BETWEEN tiled(INTERVAL 63 MINUTES, INTERVAL 7 MINUTES) PRECEDING AND CURRENT ROW),
  merchant_1h AS (PARTITION BY merchant ORDER BY ordered_at
    RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW)
"""

FEATURES: FeatureSet = read_features(DEFINITIONS, source="features.sql")


@dataclass(frozen=True)
class Row:
    """One event as the oracle remembers it."""

    event: GateEvent
    ordered_at: int
    outcome: Outcome

    @property
    def approved(self) -> bool:
        """Whether the money moved."""
        return self.outcome <= Outcome.REVIEW

    @property
    def declined(self) -> bool:
        """Whether it was refused."""
        return self.outcome >= Outcome.DECLINE


Rows = list[Row]
Value = Callable[[Row], int | None]


def _within(rows: Rows, row: Row, keys: str, *, start: int | None, with_self: bool) -> Rows:
    """All rows of the same key from `start` on, the naive way."""

    def key(of: Row) -> tuple[int | None, ...]:
        return tuple(getattr(of.event, member) for member in keys.split())

    found = [r for r in rows if key(r) == key(row) and (start is None or r.ordered_at >= start)]
    return [*found, row] if with_self else found


def _cut_mean(values: list[int]) -> int | None:
    if not values:
        return None
    total = sum(values)
    return total // len(values) if total >= 0 else -(-total // len(values))


def _oracle(rows: Rows, row: Row) -> tuple[int | None, ...]:
    """Compute the whole vector from the list of all earlier events."""
    now = row.ordered_at

    def amount(r: Row) -> int | None:
        return r.event.amount_minor

    def of(rows: Rows, value: Value = amount) -> list[int]:
        return [v for v in map(value, rows) if v is not None]

    def window(keys: str, start: int | None, *, with_self: bool) -> Rows:
        return _within(rows, row, keys, start=start, with_self=with_self)

    def available(r: Row) -> int | None:
        return r.event.available_minor

    def merchant(r: Row) -> int | None:
        return r.event.merchant

    customer_10m = window("customer", now - 10 * MINUTE, with_self=True)
    customer_10m_before = customer_10m[:-1]
    hour = window("customer", now - HOUR, with_self=False)
    day = window("customer", (now - DAY) // HOUR * HOUR, with_self=True)
    days = window("customer", (now - 3 * DAY) // DAY * DAY, with_self=False)
    ever = window("customer", None, with_self=False)
    pair = window("customer device", None, with_self=False)
    tiles = window("merchant", (now - 63 * MINUTE) // (7 * MINUTE) * 7 * MINUTE, with_self=True)
    merchant_hour = window("merchant", now - HOUR, with_self=True)
    has_pair = row.event.device is not None
    has_merchant = row.event.merchant is not None
    paid = [r for r in days if r.approved]
    refused = [r for r in ever if r.declined]
    large = [r for r in pair if r.event.amount_minor > 50]
    return (
        len(customer_10m),
        len(customer_10m_before),
        sum(r.declined for r in hour),
        sum(of(day)),
        sum(of(paid)),
        sum(of([r for r in day if r.event.amount_minor > 50], available)),
        _cut_mean(of(paid)),
        _cut_mean(of(day, available)),
        min(of(hour, available), default=None),
        max(of(day)),
        max(of(paid), default=None),
        min(of(customer_10m)),
        min(3, len(set(of(day, merchant)))),
        min(2, len(set(of([r for r in customer_10m_before if r.approved], merchant)))),
        next(reversed(of(ever, merchant)), None),
        next(reversed(of(refused)), None),
        now - ever[-1].ordered_at if ever else None,
        now - refused[-1].ordered_at if refused else None,
        now - large[0].ordered_at if large and has_pair else None,
        len(pair) if has_pair else None,
        sum(of(pair)) if has_pair else None,
        sum(r.event.channel == Channel.CARD_PRESENT for r in tiles) if has_merchant else None,
        min(of(tiles)) if has_merchant else None,
        len(merchant_hour) if has_merchant else None,
    )


#: Steps in time that meet the edges of windows and tiles, as well as ordinary ones.
STEPS = st.one_of(
    st.sampled_from(
        [
            *(1, MINUTE, 7 * MINUTE, 10 * MINUTE, 10 * MINUTE + 1),
            *(HOUR - 1, HOUR, HOUR + 1, DAY - 1, DAY, DAY + 1, 3 * DAY),
        ]
    ),
    st.integers(1, 5 * MINUTE),
    st.integers(1, 2 * HOUR),
)

EVENTS = st.builds(
    GateEvent,
    gate=st.sampled_from(Gate),
    amount_minor=st.integers(0, 100),
    currency=st.just(978),
    customer=st.sampled_from([1, 1, 1, 2]),
    account=st.just(5),
    device=st.sampled_from([None, 7, 8]),
    merchant=st.sampled_from([None, 11, 11, 12, 13, 14]),
    channel=st.sampled_from([None, Channel.APP, Channel.CARD_PRESENT]),
    available_minor=st.sampled_from([None, -70, -1, 0, 5, 60]),
)

ITEMS = st.tuples(EVENTS, STEPS, st.sampled_from(Outcome))


def _image(state: FeatureState) -> bytes:
    """The whole state as bytes."""
    file = io.BytesIO()
    dump(state, file, position=1)
    return file.getvalue()


def _rows(items: list[tuple[GateEvent, int, Outcome]]) -> Rows:
    rows, now = [], START
    for event, step, outcome in items:
        now += step
        rows.append(Row(event, now, outcome))
    return rows


class TestFeatureState:
    """The state against an oracle that scans a list of all events."""

    @settings(max_examples=150, deadline=None)
    @given(items=st.lists(ITEMS, max_size=60))
    def test_equals_a_naive_reading_of_all_events(
        self, items: list[tuple[GateEvent, int, Outcome]]
    ) -> None:
        """Every vector equals the one computed from the list of all earlier events."""
        state = FeatureState(FEATURES)
        rows: Rows = []

        for row in _rows(items):
            measured = state.measure(row.event, row.ordered_at)
            assert dict(zip(FEATURES.names, measured, strict=True)) == dict(
                zip(FEATURES.names, _oracle(rows, row), strict=True)
            )
            state.apply(row.event, ordered_at=row.ordered_at, outcome=row.outcome)
            rows.append(row)

    @settings(max_examples=100, deadline=None)
    @given(data=st.data(), items=st.lists(ITEMS, min_size=1, max_size=60))
    def test_undone_items_and_batches_leave_no_trace(
        self, data: st.DataObject, items: list[tuple[GateEvent, int, Outcome]]
    ) -> None:
        """After any undo, abort or overlap of batches the state is byte for byte as before."""
        state, kept = FeatureState(FEATURES), FeatureState(FEATURES)

        rows = _rows(items)
        while rows:
            before = _image(state)
            state.begin()
            batch, rows = rows[:7], rows[7:]
            for row in batch:
                mark = state.mark()
                state.apply(row.event, ordered_at=row.ordered_at, outcome=row.outcome)
                if data.draw(st.booleans(), label="undo the item"):
                    state.undo_to(mark)
                else:
                    kept.apply(row.event, ordered_at=row.ordered_at, outcome=row.outcome)
            state.begin()
            middle = _image(state)
            for row in rows[:3]:
                state.apply(row.event, ordered_at=row.ordered_at, outcome=row.outcome)
            state.abort()
            assert _image(state) == middle
            if data.draw(st.booleans(), label="abort the batch"):
                state.abort()
                assert _image(state) == before
                kept = load(io.BytesIO(before), features=FEATURES)[0]
            else:
                state.commit()
                assert _image(state) == _image(kept)

    @settings(max_examples=60, deadline=None)
    @given(cut=st.integers(0, 30), items=st.lists(ITEMS, min_size=30, max_size=60))
    def test_goes_on_from_a_snapshot_as_if_it_had_never_stopped(
        self, cut: int, items: list[tuple[GateEvent, int, Outcome]]
    ) -> None:
        """A state that was written and read in the middle ends with the same bytes."""
        straight, resumed = FeatureState(FEATURES), FeatureState(FEATURES)

        for place, row in enumerate(_rows(items)):
            if place == cut:
                resumed, position = load(io.BytesIO(_image(resumed)), features=FEATURES)
                assert position == 1
            for state in (straight, resumed):
                state.apply(row.event, ordered_at=row.ordered_at, outcome=row.outcome)

        assert _image(straight) == _image(resumed)

    def test_undoes_the_event_that_made_it_drop_old_rows(self) -> None:
        """Every one of 150 events can be undone and folded in again, thinning included."""
        chance = random.Random(5)
        state = FeatureState(FEATURES)
        thinned, now = 0, START

        for _ in range(150):
            now += chance.choice((1, MINUTE, HOUR, HOUR, 5 * HOUR, DAY))
            event = GateEvent(Gate.CARD, chance.randrange(100), 978, 1, 5, merchant=11, device=7)
            before = _image(state)
            state.begin()
            state.apply(event, ordered_at=now, outcome=Outcome.ALLOW)
            after = _image(state)
            state.abort()
            assert _image(state) == before
            state.apply(event, ordered_at=now, outcome=Outcome.ALLOW)
            assert _image(state) == after
            thinned += len(after) < len(before)

        assert thinned > 3

    def test_stays_exact_for_a_hot_key(self) -> None:
        """Ten events a second at one merchant are counted exactly, and old rows are dropped."""
        state = FeatureState(FEATURES)
        event = GateEvent(Gate.CARD, 7, 978, 1, 5, merchant=11, device=7)

        now = START
        for _ in range(60_000):
            now += SECOND // 10
            state.apply(event, ordered_at=now, outcome=Outcome.ALLOW)
        vector = dict(zip(FEATURES.names, state.measure(event, now + 1), strict=True))

        assert vector["merchant_1h"] == 36_001
        assert vector["count_10m"] == 6_001
        assert vector["sum_1d"] == 7 * 60_001
        kept = max(len(arrays[0]) for table in state.tables for arrays in table.values())
        assert kept < 50_000

    def test_sums_stay_exact_when_running_totals_leave_64_bits(self) -> None:
        """Totals wrap around; the windows that are read from them do not."""
        state = FeatureState(FEATURES)
        huge = GateEvent(Gate.CARD, 1 << 62, 978, 1, 5)

        now = START
        for _ in range(70_000):
            now += 2 * MINUTE
            state.apply(huge, ordered_at=now, outcome=Outcome.ALLOW)
        vector = dict(zip(FEATURES.names, state.measure(huge, now + 1), strict=True))

        start = (now + 1 - DAY) // HOUR * HOUR
        in_window = (now - start) // (2 * MINUTE) + 1
        assert vector["mean_3d"] == 1 << 47
        assert vector["max_1d"] == 1 << 62
        assert vector["sum_1d"] == (in_window + 1) << 47
