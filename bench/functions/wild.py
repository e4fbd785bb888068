"""Functions that go wrong in each way that a process can."""

from memagent.tools import tool


@tool(apart=True, time_limit=3, after_cut="retry")
def go_wild(how: str, word: str) -> str:
    """Go wrong.

    Args:
        how: crash, burn, fork, hang, leave or fill.
        word: What is given back where nothing goes wrong.
    """
    import ctypes
    import os
    import time

    if how == "crash":
        ctypes.string_at(0)
    if how == "burn":
        return str(len(bytearray(8 << 30)))
    if how == "fork":
        for _ in range(6):  # 64 processes that stay
            os.fork()
        time.sleep(60)
    if how == "hang":
        time.sleep(60)
    if how == "leave":
        os._exit(7)
    if how == "fill":
        return "x" * 10_000_000
    return word
