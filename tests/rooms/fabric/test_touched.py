"""What memory knows to be stored, while one batch commits and the next is decided on top."""

from dataclasses import dataclass

from scudo.fabric import Touched


@dataclass
class Thing:
    """Something with versions."""

    id: int
    version: int = 0
    stored_version: int = -1


def _changed(touched: Touched[Thing], thing: Thing) -> None:
    thing.version += 1
    touched.add(thing)


def _written(touched: Touched[Thing], *things: Thing) -> None:
    """One batch changes things, and is handed over."""
    touched.begin()
    for thing in things:
        _changed(touched, thing)
    touched.hand_over()


def test_the_next_batch_is_guarded_by_what_the_one_under_way_writes():
    """A thing that is born in one batch is an update in the next one, not a second birth."""
    touched, thing = Touched[Thing](), Thing(1)
    _written(touched, thing)
    touched.begin()
    _changed(touched, thing)

    assert list(touched.new()) == []
    assert touched.stored() == [thing]
    assert thing.stored_version == 1


def test_a_batch_that_was_undone_leaves_what_was_stored_before_it():
    """Newest first: the batch ahead, then the one that failed."""
    touched, thing = Touched[Thing](), Thing(1)
    _written(touched, thing)
    touched.begin()
    _changed(touched, thing)

    touched.aborted()
    assert thing.stored_version == 1
    touched.aborted()
    assert thing.stored_version == -1


def test_memory_keeps_what_is_needed_or_may_still_be_undone():
    """What was stored is let go of once, when nobody prepared needs it and no batch is open."""
    touched, needed, open_, free = Touched[Thing](), Thing(1), Thing(2), Thing(3)
    _written(touched, needed, open_, free)
    touched.begin()
    _changed(touched, open_)
    touched.committed()

    assert list(touched.settled({1})) == [free]
    assert list(touched.settled(())) == [needed]
    touched.aborted()
    assert list(touched.settled(())) == [open_]
    assert list(touched.settled(())) == []
