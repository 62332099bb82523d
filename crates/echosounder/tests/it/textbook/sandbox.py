"""Runs a program behind a seccomp filter: sandbox.py ERRNO CALL,... PROGRAM [ARGUMENT]...

Each of the system calls fails with the error, as in a container whose filter does not know them. See seccomp(2).
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# Numbers on x86-64 and on arm64; a call that an architecture lacks is left out.
CALLS = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "getsockopt": (55, 209),
    "landlock_create_ruleset": (444, 444),
    "prctl": (157, 167),
    "recvfrom": (45, 207),
    "recvmmsg": (299, 243),
    "recvmsg": (47, 212),
    "seccomp": (317, 277),
    "sendmmsg": (307, 269),
    "sendto": (44, 206),
    "shutdown": (48, 210),
    "signalfd4": (289, 74),
}
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def instruction(code, operand, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def main():
    error = getattr(errno, sys.argv[1])
    column = ["x86_64", "aarch64"].index(platform.machine())
    numbers = [CALLS[name][column] for name in sys.argv[2].split(",")]
    # The number of the call is the first word of struct seccomp_data.
    code = instruction(LOAD_WORD, 0)
    for number in numbers:
        if number is not None:
            code += instruction(JUMP_IF_EQUAL, number, 0, 1)
            code += instruction(RETURN, RET_ERRNO | error)
    code += instruction(RETURN, RET_ALLOW)
    room = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(room))
    libc = ctypes.CDLL(None, use_errno=True)
    for args in [
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ]:
        if libc.prctl(*args) != 0:
            sys.exit(f"no seccomp filters: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[3], sys.argv[3:])


main()
