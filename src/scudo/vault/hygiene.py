"""What keeps keys from leaving the process by accident.

It is not much: Python copies bytes as it likes and overwrites none of them, and memory may be
swapped. Whoever is root on the machine, or the vault's own user by a debugger that root
allows, reads what is in memory. Against others, the kernel stands.
"""

import ctypes
import os
import resource
from typing import Final

#: linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def harden() -> None:
    """Write no core, be traced by nobody, gain no rights, and make files for ourselves alone.

    Call it after a change of user, which the kernel lets change the first two again.

    Raises:
        OSError: the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def become(user_id: int, group_id: int) -> None:
    """Change to another user for good; nothing leads back.

    Raises:
        OSError: we are not allowed to.
    """
    os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)
