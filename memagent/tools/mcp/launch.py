"""Started in the place of a program, on Linux: it ends with the one who started it, even if that is killed, and then
becomes the program.

Run as a file, with the number of the process that starts it, and the program with its words. Knows nothing of MCP.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG, which outlasts the change into another program."""


def main() -> None:
    """Ask the system to be ended with the parent, and become the program."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != int(parent):  # it is gone already
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the program that the user has declared


if __name__ == "__main__":
    main()
