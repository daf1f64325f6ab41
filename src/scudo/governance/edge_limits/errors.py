"""Refusals of changes to what the edge accepts."""

from scudo.kernel import Refusal


class NetworkShutOut(Refusal):
    """Raised when a deny-list would keep out who asks for it, or everybody."""

    code = "network_shut_out"
    kind = "unprocessable"
    next_step = "Deny networks that do not hold your own, and not all of them."
