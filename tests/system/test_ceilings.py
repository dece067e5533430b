"""telemd and telem-deliver below the ceilings of their units, on this machine's processor and under far
more senders than they have time for: whoever was answered 0 has its record kept, and nobody waits longer
than a second. The ceilings are those that the units name."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

import pytest

from support import paths
from support.ceilings import Ceilings
from support.http_sink import Answer
from support.machine import NOBODY
from support.marks import needs_root
from support.senders import Sends, build_senders, event_ids
from support.waiting import wait_until

SECONDS = 5


def ceilings_of(unit):
    """As the unit has them."""
    text = (paths.REPO / "packaging" / "systemd" / f"{unit}.in").read_text()
    return Ceilings(int(re.search(r"^MemoryMax=(\d+)M$", text, re.M)[1]) << 20,
                    int(re.search(r"^CPUQuota=(\d+)%$", text, re.M)[1]))


@pytest.fixture
def disk():
    """A folder that is no memory, which would count as telemd's, and that everybody can enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="telem-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def below_ceilings():
    made = [ceilings_of("telemd.service"), ceilings_of("telem-deliver@.service")]
    yield made
    for ceilings in made:
        ceilings.close()


def send_all(program, machine, phase):
    """Senders of every kind at once; what each kind says."""
    kinds = {"root": (None, 32, 1000), "nobody": (NOBODY, 32, 1000),
             # Payloads of the largest size, more at once than telemd has memory for.
             "large": (None, 96, 256 * 1024)}
    running = {}
    for number, (name, (user, threads, size)) in enumerate(kinds.items()):
        running[name] = subprocess.Popen(
            [program, f"{number}{phase:015x}", str(threads), str(SECONDS), str(size), "0",
             machine.config],
            stdout=subprocess.PIPE, text=True, user=user, group=user,
            extra_groups=None if user is None else [], cwd="/")
    said = {}
    readers = [threading.Thread(target=lambda n=name, p=process: said.update({n: p.communicate()[0]}))
               for name, process in running.items()]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return {name: Sends(said[name]) for name in kinds}


@needs_root
@pytest.mark.skipif(paths.is_sanitized(), reason="a sanitizer needs more memory than the ceilings leave")
def test_below_its_ceilings_telemd_keeps_what_it_took_and_answers_in_time(
        below_ceilings, disk, make_machine, sink):
    telemd, telem_deliver = below_ceilings
    program = build_senders(disk)
    sink.answer = Answer(503)
    machine = make_machine(server=sink.url, rate_limit_enabled=False)
    machine.spool = disk / "spool"
    machine.spool.mkdir()
    machine.give(machine.spool)
    machine.configure(spool_dir=machine.spool)
    machine.give_telem_deliver_a_socket()
    machine.start(wrapper=telemd.wrapper())
    stop = threading.Event()

    def hold_telem_deliver_down():
        while not stop.wait(0.01):
            for pid in machine.deliverers():
                telem_deliver.put(pid)

    holding = threading.Thread(target=hold_telem_deliver_down)
    holding.start()
    try:
        away = send_all(program, machine, 1)
        kept_away = event_ids(machine.spool)
        sink.answer = Answer()
        machine.reload()
        there = send_all(program, machine, 2)
        machine.reload()
        wait_until(lambda: machine.status()["waiting"] == 0, 120, lambda: machine.status())
    finally:
        stop.set()
        holding.join()
    for when, sends_by_kind, kept in (("away", away, kept_away), ("there", there, set(sink.event_ids()))):
        for name, sends in sends_by_kind.items():
            print(f"server {when}, {name}: {sends}")
            assert sends.taken - kept == set()
            assert not sends.waited_too_long()
    # There was more to do than there was time for, and never more than there was memory for.
    print(f"telemd throttled {telemd.times_throttled()} times, telem-deliver "
          f"{telem_deliver.times_throttled()} times")
    assert telemd.times_throttled() > 10
    assert telemd.ended_for_want_of_memory() == telem_deliver.ended_for_want_of_memory() == 0
