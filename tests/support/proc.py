"""What the kernel says about a process."""

import os
import pathlib
import re
import subprocess

from .waiting import wait_until


def children(pid):
    """Pids of the living children of `pid`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        state, parent = stat.rsplit(")", 1)[1].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(entry.name))
    return found


def processes_with(text):
    """Pids of processes that have `text` in their command line."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(text).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended meanwhile
    return found


def run_time_ns(pid):
    """Nanoseconds that all threads of `pid` have spent on a CPU. Unchanged means: it did not run,
    so it made no system call either."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def kept_waiting_seconds(pid):
    """How long the first thread of `pid` would have run but had no CPU, since it began."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def cpu_seconds(pid):
    """User and system time of `pid` and its threads, of clock ticks (proc(5))."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def private_kib(pid):
    """Private_Clean + Private_Dirty."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", rollup, re.M))


def peak_kib(pid):
    """The most that `pid` ever had in memory, shared pages included."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1])


def users_and_groups(pid):
    """All that it could be: user and group numbers, of every kind, and its other groups."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple({int(word) for word in re.search(rf"^{kind}:(.*)$", status, re.M)[1].split()}
                 for kind in ("Uid", "Gid", "Groups"))


def capabilities(pid):
    """Those that `pid` has, or could have from a program or of its own; 0 is none."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {kind: int(held, 16)
            for kind, held in re.findall(r"^(Cap(?:Inh|Prm|Eff|Amb)):\s+(\w+)$", status, re.M)}


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def trace_system_calls(pid, seconds, log):
    """The lines of strace that tell of a system call begun or ended within `seconds`.

    What a thread is blocked in is shown when strace attaches, without an end; and attaching wakes a
    thread that waits in epoll once, as every stop does (signal(7)). Neither is the program's doing,
    so the log counts from when all threads are blocked again.
    """
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-o", str(log), "-p", str(pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    try:
        threads = len(list(pathlib.Path(f"/proc/{pid}/task").iterdir()))

        def is_attached():
            if tracer.poll() is not None:
                raise AssertionError(tracer.stderr.read().decode())
            traced = pathlib.Path(f"/proc/{pid}/status").read_text()
            lines = log.read_text().splitlines() if log.exists() else []
            return f"TracerPid:\t{tracer.pid}\n" in traced and len(lines) >= threads

        wait_until(is_attached, what="strace attached")
        size = -1
        while size != log.stat().st_size:
            size = log.stat().st_size
            try:
                tracer.wait(timeout=0.3)
            except subprocess.TimeoutExpired:
                pass
        try:
            code = tracer.wait(timeout=seconds)
            raise AssertionError(f"strace ended early with {code}: {tracer.stderr.read().decode()}")
        except subprocess.TimeoutExpired:
            pass
        return log.read_bytes()[size:].decode().splitlines()
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()
