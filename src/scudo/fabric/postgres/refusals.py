"""Why the embedded PostgreSQL may say no.

Refusal
├── PostgresUnfit           this machine or account cannot run it
├── PostgresFolderUnfit     the folder of the bank cannot hold a database
├── PostgresVersionOther    the data belongs to another major version
├── PostgresNotStarted      it was started and did not come up
├── PostgresUpgradeFailed   the data could not be moved to our major version
└── PostgresUnreachable     the database named by SCUDO_DATABASE_URL does not answer
"""

from scudo.kernel import Refusal


class PostgresUnfit(Refusal):
    """The machine or the operating-system account cannot run PostgreSQL."""

    code = "postgres_unfit"
    kind = "unavailable"
    next_step = (
        "Run Scudo as a user with an entry in /etc/passwd (as root: name another user in"
        " SCUDO_POSTGRES_USER), or set SCUDO_DATABASE_URL to a PostgreSQL of your own."
    )


class PostgresFolderUnfit(Refusal):
    """The folder of the bank cannot hold a database, or holds something else."""

    code = "postgres_folder_unfit"
    kind = "conflict"
    next_step = "Point SCUDO_HOME at a folder of your own on a local file system."


class PostgresVersionOther(Refusal):
    """The data folder was written by another major version of PostgreSQL."""

    code = "postgres_version_other"
    kind = "conflict"
    next_step = "Make a copy of SCUDO_HOME, then run `scudo doctor --upgrade`."


class PostgresNotStarted(Refusal):
    """PostgreSQL was started and ended, or did not become ready in time."""

    code = "postgres_not_started"
    kind = "unavailable"
    retryable = True
    next_step = "Read the lines above, make room on the disk if they ask for it, and start again."


class PostgresUpgradeFailed(Refusal):
    """The data could not be moved to our major version; the old data is as it was."""

    code = "postgres_upgrade_failed"
    kind = "conflict"
    next_step = "Stop every process of the bank, make room for its data twice, and try again."


class PostgresUnreachable(Refusal):
    """The database named by SCUDO_DATABASE_URL does not answer or does not let us in."""

    code = "postgres_unreachable"
    kind = "unavailable"
    retryable = True
    next_step = (
        "Check SCUDO_DATABASE_URL, that this database accepts connections, and, by TLS, that the"
        " certificates of both sides are good and the server's names its host."
    )
