"""Why a database may not be migrated.

Refusal
├── DatabaseNewerThanCode   it holds migrations that this code does not know
├── MigrationEdited         an applied file has changed since
├── MigrationMisnumbered    numbers have a gap, a double, or a file came in below another
├── MigrationForbidden      who connects may make nothing, and something is missing
└── MigrationFailed         PostgreSQL refused a statement of a migration
"""

from scudo.kernel import Refusal


class DatabaseNewerThanCode(Refusal):
    """The database was migrated by a newer version of Scudo than this one."""

    code = "database_newer_than_code"
    kind = "conflict"
    next_step = "Start the version of Scudo that migrated this database, or a newer one."


class MigrationEdited(Refusal):
    """A migration that the database has applied is not the file that the code brings."""

    code = "migration_edited"
    kind = "conflict"
    next_step = "Restore the file as it was and put the change into a new migration."


class MigrationMisnumbered(Refusal):
    """The numbers of a room's migrations are not 1, 2, 3, … without gap or double."""

    code = "migration_misnumbered"
    kind = "conflict"
    next_step = "Rename the file to the next free number of its room."


class MigrationForbidden(Refusal):
    """The schema is not the one that this code needs, and this login may not change it."""

    code = "migration_forbidden"
    kind = "forbidden"
    next_step = "Run `scudo init` once with SCUDO_OWNER_DATABASE_URL, a login that may."


class MigrationFailed(Refusal):
    """PostgreSQL refused a migration; that migration left no trace."""

    code = "migration_failed"
    kind = "unavailable"
    retryable = True
    next_step = "Read the database's words; if a lock was in the way, try again."
