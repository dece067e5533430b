# Runs inside of gdb (its Python): prints the stacks of all threads as one line of JSON.
#
#   LIMIT=64 gdb -nx -batch -x gdb_inside.py PROGRAM CORE
import json
import os
import re

import gdb

gdb.execute("set pagination off")
gdb.execute("set print asm-demangle on")
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")

mappings = []
for line in gdb.execute("info proc mappings", to_string=True).splitlines():
    match = re.match(r"\s*(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+(?:[rwxps-]+\s+)?(/.*)$",
                     line)
    if match:
        mappings.append((int(match[1], 16), int(match[2], 16), match[3]))


def module_at(address):
    for start, end, path in mappings:
        if start <= address < end:
            return os.path.basename(path.removesuffix(" (deleted)"))
    return None


def stack_of(thread):
    thread.switch()
    frames = []
    physical = 0
    frame = gdb.newest_frame()
    while frame is not None and physical < int(os.environ["LIMIT"]):
        pc = frame.pc()
        symbol = frame.function()
        frames.append({
            "function": frame.name(),
            "linkage": symbol.linkage_name if symbol is not None else None,
            "module": module_at(pc),
        })
        physical += frame.type() != gdb.INLINE_FRAME
        try:
            frame = frame.older()
        except gdb.error:  # the stack cannot be followed any further
            break
    return frames


print("STACKS " + json.dumps({thread.ptid[1] or thread.ptid[0]: stack_of(thread)
                              for thread in gdb.selected_inferior().threads()}))
