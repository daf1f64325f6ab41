"""Bring a database to the schema that the code expects, room by room.

A room keeps its changes in `<room>/migrations/0001_what_it_does.sql`: plain SQL, one
transaction each, never edited after it was applied anywhere. The room's schema is there
before its first migration. Rooms migrate in the order they are given, which is the order
of the layers, so a room may rely on those below.

Grants stand in the migration, beside the table:

    GRANT SELECT, INSERT ON ledger.transfer TO scudo_app;         -- append-only
    GRANT SELECT, INSERT, UPDATE ON ledger.account TO scudo_app;  -- state
    GRANT EXECUTE ON FUNCTION ledger.something(bigint) TO scudo_app;

`scudo_app` and `scudo_read` may use every schema, `scudo_read` reads every table, and
nothing else is granted by default, to anybody.
"""

from scudo.fabric.migration.refusals import (
    DatabaseNewerThanCode,
    MigrationEdited,
    MigrationFailed,
    MigrationMisnumbered,
)
from scudo.fabric.migration.runner import Room, migrate, read_room, rooms_of

__all__ = [
    "DatabaseNewerThanCode",
    "MigrationEdited",
    "MigrationFailed",
    "MigrationMisnumbered",
    "Room",
    "migrate",
    "read_room",
    "rooms_of",
]
