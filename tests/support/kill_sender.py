"""One of the sending processes of test_kill.py, through the C library like any probe.

    kill_sender.py LIBRARY CONFIG NUMBER COUNT COUNTERS DONE

Sends COUNT records. Each send is tried again for up to five seconds. Slot NUMBER of the file
COUNTERS holds, for whoever watches, how many attempts were started and how many came back; the
event ids whose send returned 0 go to the file DONE.
"""

import ctypes
import errno
import mmap
import struct
import sys
import time

SLOT = struct.Struct("=QQ")  # attempts started, attempts that came back


def load(path):
    library = ctypes.CDLL(path)
    reference = ctypes.c_void_p
    library.tm_create_record.argtypes = [
        ctypes.POINTER(reference), ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32
    ]
    for name in ("tm_set_event_id", "tm_set_payload"):
        getattr(library, name).argtypes = [reference, ctypes.c_char_p]
    for name in ("tm_send_record", "tm_free_record"):
        getattr(library, name).argtypes = [reference]
    library.tm_free_record.restype = None
    return library


def main():
    path, config, number, count, counters_path, done_path = sys.argv[1:]
    library = load(path)
    if library.tm_set_config_file(config.encode()) != 0:
        sys.exit("tm_set_config_file failed")
    with open(counters_path, "r+b") as file:
        counters = mmap.mmap(file.fileno(), 0)
    slot = SLOT.size * int(number)
    started = returned = 0
    with open(done_path, "w", buffering=1) as done:
        for i in range(int(count)):
            event_id = f"{int(number):016x}{i:016x}"
            record = ctypes.c_void_p()
            assert library.tm_create_record(
                ctypes.byref(record), 1, b"org.example/kill/test", 1) == 0
            assert library.tm_set_event_id(record, event_id.encode()) == 0
            assert library.tm_set_payload(record, f"record {i} of {number}\n".encode()) == 0
            end = time.monotonic() + 5
            while True:
                started += 1
                SLOT.pack_into(counters, slot, started, returned)
                result = library.tm_send_record(record)
                returned += 1
                SLOT.pack_into(counters, slot, started, returned)
                if result == 0:
                    done.write(event_id + "\n")
                    break
                if time.monotonic() > end:
                    print(f"{event_id}: {errno.errorcode.get(-result, result)}", file=sys.stderr)
                    break
                time.sleep(0.002)
            library.tm_free_record(record)


if __name__ == "__main__":
    main()
