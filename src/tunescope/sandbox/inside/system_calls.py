"""A system-call filter (seccomp): what isn't listed here is refused with EPERM.

It lets a program compute, print, use threads and, where `files` is set, read and write files. It can't start processes,
open sockets, run other programs, or send signals to others. Numbers are those of Linux on x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Mapping

_COMPUTING: Mapping[str, int] = {
    **{"read": 0, "write": 1, "readv": 19, "writev": 20, "pread64": 17, "close": 3, "lseek": 8},
    **{"fstat": 5, "newfstatat": 262, "getcwd": 79, "umask": 95, "dup": 32, "dup2": 33, "dup3": 292},
    **{"mmap": 9, "mprotect": 10, "munmap": 11, "mremap": 25, "brk": 12, "madvise": 28},
    **{"rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sigaltstack": 131, "restart_syscall": 219},
    **{"poll": 7, "ppoll": 271, "select": 23, "pselect6": 270, "epoll_create1": 291, "epoll_ctl": 233},
    **{"epoll_wait": 232, "epoll_pwait": 281, "eventfd2": 290, "pipe": 22, "pipe2": 293, "socketpair": 53},
    **{"recvfrom": 45, "nanosleep": 35, "clock_nanosleep": 230, "clock_gettime": 228, "clock_getres": 229},
    **{"gettimeofday": 96, "time": 201, "times": 100, "setitimer": 38, "getitimer": 36, "alarm": 37},
    **{"getpid": 39, "gettid": 186, "getppid": 110, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108},
    **{"getgroups": 115, "getpgrp": 111, "sched_yield": 24, "sched_getaffinity": 204, "getcpu": 309},
    **{"futex": 202, "set_robust_list": 273, "get_robust_list": 274, "rseq": 334, "membarrier": 324},
    **{"set_tid_address": 218, "arch_prctl": 158, "getrandom": 318, "uname": 63, "sysinfo": 99, "getrusage": 98},
    **{"getrlimit": 97, "exit": 60, "exit_group": 231},
}
_FILES: Mapping[str, int] = {
    **{"open": 2, "openat": 257, "openat2": 437, "creat": 85, "stat": 4, "lstat": 6, "statx": 332, "access": 21},
    **{"faccessat": 269, "faccessat2": 439, "readlink": 89, "readlinkat": 267, "getdents": 78, "getdents64": 217},
    **{"chdir": 80, "fchdir": 81, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "unlink": 87, "unlinkat": 263},
    **{"rename": 82, "renameat": 264, "renameat2": 316, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266},
    **{"truncate": 76, "ftruncate": 77, "fsync": 74, "fdatasync": 75, "fallocate": 285, "utimensat": 280},
    **{"chmod": 90, "fchmod": 91, "fchmodat": 268, "flock": 73, "statfs": 137, "fstatfs": 138},
    **{"copy_file_range": 326, "sendfile": 40, "fadvise64": 221, "pwrite64": 18, "preadv": 295, "pwritev": 296},
}
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT, _FCNTL, _IOCTL = 56, 435, 62, 234, 302, 72, 16
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""Duplicates and flags; not F_SETOWN and F_SETSIG, which have the kernel send signals to others."""
_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, how large, how much is there, blocking, close-on-exec; not FIOSETOWN, which is F_SETOWN."""
_CLONE_THREAD = 0x10000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL_PROCESS = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_X86_64 = 0xC000003E
_X32 = 0x40000000
"""Where the numbers of the x32 calls begin: the same calls by other numbers."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
_SECCOMP_MODE_FILTER = 2
_LIBRARY = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: object) -> None:
    """Call prctl(2); raises OSError."""
    padded = [*arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    if _LIBRARY.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def hide_memory() -> None:
    """Forbid other processes of this user to read or trace this one, or to open its files in /proc."""
    _prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def forbid_privileges() -> None:
    """Have no program that this process starts get rights that it lacks itself, such as those of sudo."""
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def can_be_filtered() -> bool:
    """Tell whether this machine takes the filter, by trying it in a child."""
    if platform.machine() != "x86_64":
        return False
    child = os.fork()
    if child == 0:
        try:
            install(files=False)
        except BaseException:  # noqa: BLE001 (a forked child must end here, whatever happens)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def install(files: bool) -> None:
    """Refuse this process, for good, the system calls that aren't listed; `files` allows those on files too.

    Raises:
        OSError: the kernel takes no filter.
    """
    code = _rules(files, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    forbid_privileges()
    _prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), program)


def _rules(files: bool, pid: int) -> bytes:
    """Return the filter's program, in the kernel's instructions of 8 bytes (classic BPF)."""
    rules = _instruction(_LOAD, _MACHINE_AT) + _if(_EQUAL, _X86_64, skip_if_true=1) + _return(_KILL_PROCESS)
    rules += _instruction(_LOAD, _NUMBER_AT) + _if(_AT_LEAST, _X32) + _return(_REFUSE)
    for number in [*_COMPUTING.values(), *(_FILES.values() if files else ())]:
        rules += _if(_EQUAL, number) + _return(_ALLOW)
    rules += _if(_EQUAL, _CLONE3) + _return(_NO_SUCH_CALL)  # its flags can't be seen; the C library then uses clone
    rules += _checked(_CLONE, 0, _if(_ANY_BIT, _CLONE_THREAD) + _return(_ALLOW))
    for number in (_KILL, _TGKILL):
        rules += _checked(number, 0, _if(_EQUAL, pid) + _return(_ALLOW))
    rules += _checked(_PRLIMIT, 0, _if(_EQUAL, 0) + _return(_ALLOW))
    for number, commands in ((_FCNTL, _FCNTL_COMMANDS), (_IOCTL, _IOCTL_COMMANDS)):
        rules += _checked(number, 1, b"".join(_if(_EQUAL, command) + _return(_ALLOW) for command in commands))
    return rules + _return(_REFUSE)


def _checked(number: int, argument: int, rules: bytes) -> bytes:
    """Return what is done at one call: look at the low half of an argument, apply `rules`, else refuse."""
    body = _instruction(_LOAD, _ARGUMENTS_AT + 8 * argument) + rules + _return(_REFUSE)
    return _instruction(_EQUAL, number, 0, len(body) // 8) + body


def _if(test: int, value: int, skip_if_true: int = 0) -> bytes:
    """Return a test that goes on to the next instruction where it holds, else past it; or the other way round."""
    return _instruction(test, value, skip_if_true, 1 - skip_if_true)


def _return(action: int) -> bytes:
    return _instruction(_RETURN, action)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
