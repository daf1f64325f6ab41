"""The benchmark: what the architecture promises, measured on this machine.

Each measure has a bank of its own, in a temporary folder and durable (`fsync`,
`synchronous_commit` and `full_page_writes` on); the books are verified after it ran. The
load comes from another process on the same machine.
"""

from scudo.simulation.bench.runner import MEASURES, run

__all__ = ["MEASURES", "run"]
