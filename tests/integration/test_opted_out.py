"""Opted out, no program of ours opens a network socket or writes anything down.

Asked of the kernel: each program runs under strace, which tells of every socket and every write.
The programs are those of the build folder, not a list: one that is not known here fails the test.
"""

import re
import subprocess

import pytest

from support import paths
from support.errands import ERRANDS, NO_PART, lay_evidence, look_at
from support.frames import OPTED_OUT
from support.kernel_log import consent_long_ago
from support.marks import needs_strace
from support.system_journal import WRITER
from support.waiting import DEADLINE, wait_until

CREATING = ("open", "openat", "creat", "mkdir", "mkdirat", "symlink", "symlinkat", "mknod", "mknodat")
CHANGING = ("ftruncate", "truncate", "rename", "renameat", "renameat2", "link", "linkat")
WRITING = ("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg", "sendmmsg")
TRACED = ",".join(("socket", "execve", *CREATING, *CHANGING, *WRITING))


def programs():
    folders = (paths.BUILD / "bin", paths.BUILD / "libexec" / "telemetrics")
    return sorted(path for folder in folders for path in folder.iterdir() if not path.is_symlink())


def offences(trace):
    """Lines that tell of a network socket, of a file or folder that is made, or of a write into a
    file: what is no terminal, pipe, socket or counter of the kernel's."""
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        call = re.search(r"(?:^\S+\s+)?(\w+)\((.*)", line)
        if not call:
            continue
        name, rest = call.groups()
        if name == "socket":
            is_offence = not rest.startswith("AF_UNIX")
        elif name in CHANGING:
            is_offence = True
        elif name in CREATING:
            is_offence = is_creating(name, rest)
        elif name in WRITING:
            file = re.match(r"\d+<([^>]*)>", rest)
            target = file[1] if file else ""
            is_file = target.startswith("/") and not target.startswith(("/dev/pts", "/dev/null"))
            # memfd_create() makes memory of the process's own.
            is_offence = is_file and not target.startswith("/memfd:") and not is_output(target)
        else:
            is_offence = False
        if is_offence:
            found.append(line)
    return found


def is_creating(name, rest):
    path = re.search(r'"([^"]*)"', rest)
    # Where telemctl preview lets telem-deliver connect to, in place of a server; and telemd's journal,
    # which stays empty.
    if path and re.fullmatch(r".*/(telemctl-\w{6}|log/journal)", path[1]):
        return False
    is_opening = name in ("open", "openat")
    return not is_opening or re.search(r"O_CREAT|O_TMPFILE", rest) is not None


def is_output(path):
    """The files that the tests themselves give as standard output and error."""
    return path.endswith((".stdout", ".stderr"))


def errands_of(program):
    if program.name in NO_PART:
        pytest.skip(f"{program.name} {NO_PART[program.name]}")
    assert program.name in ERRANDS, "a program that nobody thought of here"
    if program.name == "journalprobe" and not WRITER.exists():
        pytest.skip("no systemd-journal-remote here, which writes journal files")
    if program.name == "crashprobe" and paths.is_sanitized():
        pytest.skip("crashprobe lets nobody look into it, as a sanitizer does at its end")
    return ERRANDS[program.name]


def lay_evidence_for(machine):
    evidence = machine.root / "evidence"
    for path in lay_evidence(evidence):
        machine.give(path)
    return evidence


each_program = pytest.mark.parametrize("program", programs(), ids=lambda path: path.name)


@needs_strace
@pytest.mark.parametrize("consent", ["opt-out", "opt-in"], ids=["opted out", "never opted in"])
@each_program
def test_no_program_writes_or_talks_to_the_network(program, consent, make_machine, sink, folder):
    errands = errands_of(program)
    machine = make_machine(server=sink.url, consent=consent)
    if consent == "opt-out":
        machine.opt_out()
    evidence = lay_evidence_for(machine)
    before = look_at(evidence)
    trace = folder / "trace"
    strace = ["strace", "-f", "-yy", "-s", "128", "-e", f"trace={TRACED}", "-o", trace]
    if program.name == "telemd":
        # -D: strace is a grandchild, and the process that the test starts is telemd itself.
        machine.start(wrapper=[*strace, "-D"])
        assert machine.status()["collecting"] is False
        assert [machine.send(b"secret") for _ in range(3)] == [OPTED_OUT] * 3
        machine.reload()
        wait_until(lambda: "configuration again" in machine.said(), what="telemd reloaded")
        assert machine.stop() == 0
        wait_until(lambda: "exited with 0" in trace.read_text(), what="the trace's end")
        assert "telem-deliver" not in trace.read_text()
        assert offences(trace) == []
    else:
        machine.start()
        # So that nothing but the user's no is in the way of evidence.
        consent_long_ago(machine)
        for errand in errands:
            done = subprocess.run([*strace, *errand.command(program, machine.config, evidence)],
                                  capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            errand.check_without_consent(done)
            assert b"secret" not in done.stdout + done.stderr
            assert offences(trace) == [], errand
    assert list(machine.cache.iterdir()) == []
    assert look_at(evidence) == before
    assert sink.requests == []


@each_program
def test_with_consent_the_same_errand_has_its_outcome(program, machine, sink):
    """Else the test above could not fail."""
    if program.name == "telemd":
        assert machine.send(b"secret") == 0
        sink.wait_for(1)
        return
    errands = [errand for errand in errands_of(program) if errand.reports or errand.lays_down]
    if not errands:
        pytest.skip(f"{program.name} collects nothing")
    [errand] = errands
    evidence = lay_evidence_for(machine)
    consent_long_ago(machine)
    process = subprocess.Popen(errand.command(program, machine.config, evidence),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        if not errand.stays:
            assert process.wait(DEADLINE) == 0
        if errand.lays_down:
            assert any(path.is_file() for path in (machine.cache / errand.lays_down).rglob("*"))
        else:
            [request] = sink.wait_for(1)
            assert request.headers["classification"].endswith("/" + errand.reports)
        if errand.stays:
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_reader_of_traces_finds_what_it_looks_for(tmp_path):
    """A test that cannot fail would be worth nothing."""
    trace = tmp_path / "trace"
    trace.write_text(
        '12 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<TCP:[1]>\n'
        '12 socket(AF_UNIX, SOCK_STREAM, 0) = 3<UNIX-STREAM:[1]>\n'
        '12 write(1<pipe:[7]>, "hello\\n", 6) = 6\n'
        '12 write(5</var/log/telemetry/journal>, "a line\\n", 7) = 7\n'
        'writev(5</var/spool/telemetry/01-0-7>, [], 3) = 7\n'
        '12 sendto(8<UNIX-STREAM:[1->2, "/run/telem-0"]>, "o", 1, MSG_NOSIGNAL, NULL, 0) = 1\n'
        '12 renameat(4</a>, "a", 4</a>, "b") = 0\n'
        '12 openat(AT_FDCWD</>, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3</etc/passwd>\n'
        '12 openat(4</a>, "01-0-7", O_WRONLY|O_CREAT|O_CLOEXEC, 0200) = 5</a/01-0-7>\n'
        '12 mkdir("/tmp/telemctl-aBc123", 0700) = 0\n'
        '12 mkdirat(4</a>, "records", 0755) = 0\n'
        '12 write(3</memfd:records>(deleted), "a", 1) = 1\n')
    assert [line.split("(")[0].split()[-1] for line in offences(trace)] == [
        "socket", "write", "writev", "renameat", "openat", "mkdirat"]
