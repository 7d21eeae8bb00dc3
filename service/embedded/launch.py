"""Turns itself into another program that dies with its parent; run as a script, so it imports nothing of ours.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL ACCOUNT PROGRAM [ARGUMENT …]

ACCOUNT is `uid:gid` to become before, or `-` to stay. The kernel sends DEATH_SIGNAL when the *thread* that started this
process ends (prctl(2), PR_SET_PDEATHSIG), so whoever starts it does so from a thread that lives as long as the process.
A `preexec_fn` would do the same, but is not safe in a process that has threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main(arguments: list[str]) -> None:
    """Become the program. Returns never; ends with status 126 when that can't be done."""
    parent, death_signal, account, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if account != "-":
            uid, gid = (int(part) for part in account.split(":"))
            _become(libc, uid, gid)
        # After the change of account, which clears it (prctl(2)).
        _prctl(libc, PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != int(parent):
            sys.exit(126)
        # Python ignores these two, and what is ignored stays so across exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        print(f"can't start {program[0]}: {error}", file=sys.stderr)
        sys.exit(126)


def _become(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    """Give up root for an ordinary account that may still pass through folders that only root can open.

    The program and its data may lie under a home folder (0700); opening that to everybody would be worse than letting
    this one process read it. A container may lack the capability to read only; then the wider one is kept.
    """
    try:
        # Without it access(2), by which PostgreSQL looks for its own programs, leaves the capability out of account.
        _prctl(libc, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
    _prctl(libc, PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        try:
            _keep_only(libc, capability)
            break
        except OSError:
            if capability == CAP_DAC_OVERRIDE:
                raise
    _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)


def _keep_only(libc: ctypes.CDLL, capability: int) -> None:
    header = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    data = (_CapabilityData * 2)(_CapabilityData(bit, bit, bit), _CapabilityData(0, 0, 0))
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset: " + os.strerror(ctypes.get_errno()))
    _prctl(libc, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _prctl(libc: ctypes.CDLL, option: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *values) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}): " + os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main(sys.argv[1:])
