"""Refusals of the command line itself."""

from scudo.kernel import Refusal


class BankNotFound(Refusal):
    """Raised when a command needs a bank and there is none in the folder."""

    code = "bank_not_found"
    kind = "not_found"
    next_step = "Run `scudo init`, or point SCUDO_HOME at the folder of your bank."


class ScopesMissing(Refusal):
    """Raised when a token is asked for that could do nothing."""

    code = "scopes_missing"
    next_step = "Name at least one with --scope."


class IdUnknown(Refusal):
    """Raised when an id is none of a payment, a decision or an alert of this bank."""

    code = "id_unknown"
    kind = "not_found"
    next_step = "Give the id of a payment (pay_), a decision (dec_) or an alert (alt_)."


class ProofUnclear(Refusal):
    """Raised when it is not clear what is to be proven."""

    code = "proof_unclear"
    next_step = "Give a payment (pay_), or the sizes of two signed heads with --from and --to."


class TokenMissing(Refusal):
    """Raised when a server is to be used and no token is at hand."""

    code = "token_not_given"
    kind = "unauthenticated"
    next_step = "Give --token or SCUDO_TOKEN; `scudo token NAME --scope ...` makes one."


class ServerRefused(Refusal):
    """Raised when a server refuses what this command asks of it."""

    code = "server_refused"
    kind = "conflict"
    next_step = "Look at the code that the server gave; its token may lack a scope."


class FolderUnfit(Refusal):
    """Raised when a file or folder that a command needs belongs to somebody else."""

    code = "folder_unfit"
    kind = "forbidden"
    next_step = "Point SCUDO_HOME at a folder of your own, and write only where you may."
