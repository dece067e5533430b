"""telemd and telem-deliver as their units start them, below the ceilings that these set, on a machine of
their own: a kernel and a systemd that were booted, whose only processor is slower than any that is sold.

The senders are many programs that each have something to say now and then, and all at once from time to
time: that is what the ceilings are made for, so it has to be taken. At the end come more than there is
time for, which is what tests/system/test_ceilings.py does with the processor of this machine.
"""

import contextlib
import errno
import re
import shutil
import sqlite3

import pytest

from support import system_machine
from support.guest import Guest
from support.senders import Sends, build_senders

from conftest import configure

MEBIBYTE = 1 << 20

# What the units promise: memory, and microseconds of a processor in each tenth of a second.
TELEMD = (16 * MEBIBYTE, "5000 100000")
TELEM_DELIVER = (48 * MEBIBYTE, "20000 100000")

PACED = ("root", "nobody", "large", "burst-root", "burst-nobody")
KINDS = (*PACED, "flood")

SECONDS = 180
BURSTS = 8

SCRIPT = r"""
groups=/sys/fs/cgroup/system.slice
telemd=$groups/telemd.service
# Each instance is gone when there is nothing to send; what contains them stays.
deliver='/sys/fs/cgroup/system.slice/system-telem\x2ddeliver.slice'

# KIND NUMBER USER PROCESSES SECONDS BYTES PAUSE
send() {
  setpriv --reuid "$3" --regid "$3" --clear-groups \
    /usr/bin/senders "$(printf %016x "$2")" "$4" "$5" "$6" "$7" >"/run/sends/$1-$2" || echo "$1 failed"
}

# Without a program: that would be the load.
watch_deliver() {
  while sleep 1; do
    for group in "$deliver"/telem-deliver@*; do
      throttled=
      while read -r name value; do
        [ "$name" != nr_throttled ] || throttled=$value
      done <"$group/cpu.stat"
      read -r memory <"$group/memory.max"
      read -r cpu <"$group/cpu.max"
      [ -z "$throttled" ] || echo "${group##*/} $memory $cpu $throttled"
    done 2>/dev/null
  done >/run/watched
}

is_listening() { curl -sf http://127.0.0.1:8080/healthz; }
is_empty() { [ -z "$(ls /var/spool/telemetry)" ]; }

mkdir /run/sends
chmod 755 /run/sends
systemctl start telem-collector.service
wait_for is_listening
systemctl enable --now telemd.service
say telemd_ceilings "$(cat $telemd/memory.max) $(cat $telemd/cpu.max)"
say started "$(cat $telemd/cpu.stat)"
watch_deliver &
watching=$!

send root 1 0 3 $seconds 1000 200 &
sending=$!
send nobody 2 65534 3 $seconds 1000 200 &
sending="$sending $!"
send large 3 0 1 $seconds 102400 2000 &
sending="$sending $!"
burst=0
while [ $burst -lt $bursts ]; do
  sleep $((seconds / (bursts + 1)))
  burst=$((burst + 1))
  # Away from one burst to the next: what is taken then has to wait.
  [ $burst -ne 3 ] || systemctl stop telem-collector.service
  [ $burst -ne 4 ] || systemctl start telem-collector.service
  # Each of these programs has one record.
  send burst-root $((burst * 16)) 0 20 1 1000 1000 &
  at_once=$!
  send burst-nobody $((burst * 16 + 1)) 65534 20 1 1000 1000
  wait $at_once
done
wait $sending
send flood 4 0 200 3 1000 0
telemctl spool flush
wait_for is_empty
say waiting "$(ls /var/spool/telemetry | wc -l)"
kill $watching

say telemd_peak "$(cat $telemd/memory.peak)"
say telemd_memory "$(cat $telemd/memory.events $telemd/memory.stat | tr '\n' ' ')"
say telemd_cpu "$(cat $telemd/cpu.stat | tr '\n' ' ')"
say deliver_peak "$(cat "$deliver/memory.peak")"
say deliver_memory "$(cat "$deliver/memory.events" "$deliver/memory.stat" | tr '\n' ' ')"
say deliver_cpu "$(cat "$deliver/cpu.stat" | tr '\n' ' ')"
say restarts "$(systemctl show -p NRestarts --value telemd.service)"
say failed "$(systemctl --failed --no-legend --plain)"
cat /run/watched >/run/watched.txt
show_file watched /run/watched.txt
systemctl stop telemd.service telem-collector.service
for kind in $kinds; do
  cat /run/sends/$kind-[0-9]* >/run/sends.txt
  show_file "$kind" /run/sends.txt
done
show_file store /var/lib/private/telemetry-collector/records.db
"""


def script():
    """With the numbers of above."""
    return f"seconds={SECONDS} bursts={BURSTS} kinds='{' '.join(KINDS)}'\n" + SCRIPT


@pytest.fixture(scope="module")
def output(debian, installed, tmp_path_factory):
    if reason := system_machine.reason_not_to_run("debian"):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machine")
    (folder / "guest").mkdir()
    guest = Guest(folder / "guest", [installed, debian])
    try:
        shutil.copy(build_senders(folder), guest.path("/usr/bin/senders"))
        configure(guest, server="http://127.0.0.1:8080/v2/collector", rate_limit_enabled="false")
        system_machine.prepare(guest.root)
        yield system_machine.SystemMachine(folder, "debian", steady=True).run(guest.root, script())
    finally:
        guest.close()


def sends(output, kind):
    return Sends(output.file(kind).decode())


def stored(output, folder):
    """The event ids in the collector's store."""
    store = folder / "records.db"
    store.write_bytes(output.file("store"))
    with contextlib.closing(sqlite3.connect(store)) as database:
        return {event_id for (event_id,) in database.execute("SELECT event_id FROM records")}


def number(output, name, key=None):
    """That which was said, or behind a key in what was said."""
    [text] = output.said(name)
    return int(text if key is None else re.search(rf"(?<![\w]){key} (\d+)", text)[1])


def watched(output):
    """By instance of telem-deliver: its ceilings, and how often it was made to wait."""
    found = {}
    for line in output.file("watched").decode().splitlines():
        name, memory, quota, period, throttled = line.split()
        found[name] = (int(memory), f"{quota} {period}"), int(throttled)
    return found


def check_ended(output):
    assert output.has_ended, f"{output.text[-8000:]}\n{output.console[-4000:]}"


def test_whoever_was_answered_0_has_its_record_stored(output, tmp_path):
    check_ended(output)
    kept = stored(output, tmp_path)
    for kind in KINDS:
        took = sends(output, kind).taken
        print(f"{kind}: {len(took)} answered 0, {len(took & kept)} of them at the collector")
        assert took - kept == set(), kind


def test_nobody_waits_longer_than_a_second(output):
    check_ended(output)
    for kind in KINDS:
        said = sends(output, kind)
        print(f"{kind}: {said}")
        # Those of a flood take the only processor from each other.
        longest = (said.waits if kind in PACED else said.own_waits)[-1]
        assert longest <= Sends.LONGEST_WAIT, kind
    # Some came to the end of the time that the library gives them.
    assert sends(output, "flood").results[-errno.ETIMEDOUT] > 0


def test_what_programs_have_to_say_is_taken(output):
    check_ended(output)
    for kind in PACED:
        said = sends(output, kind)
        # With a fifth of telemd's time it is less.
        assert len(said.taken) > len(said.waits) * 0.9, f"{kind}: {said}"


def test_the_ceilings_are_there_and_are_enough(output):
    check_ended(output)
    memory, quota = TELEMD
    assert output.said("telemd_ceilings") == [f"{memory} {quota}"]
    instances = watched(output)
    assert {ceilings for ceilings, _ in instances.values()} == {TELEM_DELIVER}
    throttled = {"telemd": number(output, "telemd_cpu", "nr_throttled"),
                 "deliver": sum(throttled for _, throttled in instances.values())}
    for name, most in (("telemd", memory), ("deliver", TELEM_DELIVER[0])):
        peak = number(output, f"{name}_peak")
        print(f"{name}: at most {peak / MEBIBYTE:.1f} MiB of {most / MEBIBYTE:.0f}, "
              f"{number(output, f'{name}_memory', 'anon') / MEBIBYTE:.1f} of its own at the end; "
              f"{number(output, f'{name}_cpu', 'usage_usec') / 1e6:.1f} s of the processor, made to wait "
              f"{throttled[name]} times")
        assert 0 < peak <= most
        assert number(output, f"{name}_memory", "oom_kill") == 0
    # Or it would not be known what they do.
    assert throttled["telemd"] > 0
    assert output.said("restarts") == ["0"] and output.said("failed") == [""]
