"""Programs that know nothing of this project use the library: built against 1.x, in C, in C++, in
Python."""

import ctypes
import errno
import os
import re
import subprocess
import sys

import pytest
from support import paths
from support.frames import parse_frame
from support.marks import needs_strace
from support.waiting import wait_until

INCLUDE = f"-I{paths.REPO / 'include'}"
LINK = [f"-L{paths.LIBTELEMETRY.parent}", "-ltelemetry"]

# The declarations of the 1.x header.
DECLARATIONS_1X = """
#include <stdint.h>
struct telem_record;
struct telem_ref { struct telem_record *record; };
void tm_set_config_file(char *c_file);
int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification,
                     uint32_t payload_version);
int tm_set_event_id(struct telem_ref *t_ref, char *event_id);
int tm_set_payload(struct telem_ref *t_ref, char *payload);
int tm_send_record(struct telem_ref *t_ref);
void tm_free_record(struct telem_ref *t_ref);
"""

# Stands for the 1.x library at link time, as on the machine where the program was built.
STUB_1X = DECLARATIONS_1X + """
void tm_set_config_file(char *c_file) { (void)c_file; }
int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification,
                     uint32_t payload_version)
{ (void)t_ref; (void)severity; (void)classification; (void)payload_version; return -1; }
int tm_set_event_id(struct telem_ref *t_ref, char *event_id)
{ (void)t_ref; (void)event_id; return -1; }
int tm_set_payload(struct telem_ref *t_ref, char *payload)
{ (void)t_ref; (void)payload; return -1; }
int tm_send_record(struct telem_ref *t_ref) { (void)t_ref; return -1; }
void tm_free_record(struct telem_ref *t_ref) { (void)t_ref; }
"""
MAP_1X = """
TM_1_0_0 { global: tm_set_config_file; local: *; };
TM_2_0_0 { global: tm_free_record; } TM_1_0_0;
TM_3_0_0 { global: tm_create_record; tm_set_payload; tm_send_record; } TM_2_0_0;
TM_4_0_0 { global: tm_set_event_id; } TM_3_0_0;
"""

USE = """
int main(int argc, char **argv)
{
  struct telem_ref *ref = 0;
  int error;
  if (argc != 2) return 99;
  tm_set_config_file(argv[1]);
  error = tm_create_record(&ref, 2, "org.example/stranger/c", 7);
  if (error == 0) error = tm_set_event_id(ref, "0123456789abcdef0123456789abcdef");
  if (error == 0) error = tm_set_payload(ref, "from C\\n");
  if (error == 0) error = tm_send_record(ref);
  tm_free_record(ref);
  return -error;
}
"""


def expect_the_record(frames, payload=b"from C\n"):
    (frame,) = frames
    headers, got = parse_frame(frame)
    assert headers["classification"] == "org.example/stranger/c"
    assert headers["severity"] == "2"
    assert headers["payload_format_version"] == "7"
    assert headers["event_id"] == "0123456789abcdef0123456789abcdef"
    assert got == payload


def test_a_program_built_against_1x_runs_unchanged(folder, build, run, serve, config):
    (folder / "stub.map").write_text(MAP_1X)
    old = folder / "old"
    old.mkdir()
    stub = build("stub.c", STUB_1X, "-shared", "-fPIC", "-Wl,-soname,libtelemetry.so.3",
                 f"-Wl,--version-script={folder}/stub.map")
    stub.rename(old / "libtelemetry.so.3")
    program = build("probe.c", DECLARATIONS_1X + USE, old / "libtelemetry.so.3")
    dynamic = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True)
    assert re.search(r"NEEDED.*\[libtelemetry\.so\.3\]", dynamic.stdout)

    assert run(program, config, library_folder=old) == 1  # the stub refuses
    server = serve()
    assert run(program, config) == 0
    expect_the_record(server.frames)


def test_a_c_program_sends_a_record(build, run, serve, config):
    program = build("probe.c", "#include <telemetry.h>\n" + USE, INCLUDE, *LINK)
    server = serve()
    assert run(program, config) == 0
    expect_the_record(server.frames)


def test_a_c_program_hears_what_the_daemon_answered(build, run, serve, config):
    program = build("probe.c", "#include <telemetry.h>\n" + USE, INCLUDE, *LINK)
    serve(28, 122, "close")
    assert run(program, config) == errno.ENOSPC
    assert run(program, config) == errno.EDQUOT
    assert run(program, config) == errno.EIO


def test_a_c_program_without_a_daemon_goes_on(build, run, config):
    program = build("probe.c", "#include <telemetry.h>\n" + USE, INCLUDE, *LINK)
    assert run(program, config) == errno.ENOENT


# A daemon of the predecessor that hung held every program that reported.
def test_a_c_program_is_not_held_by_a_daemon_that_hangs(build, run, serve, config):
    program = build("probe.c", "#include <telemetry.h>\n" + USE, INCLUDE, *LINK)
    serve("hang")
    assert run(program, config) == errno.ETIMEDOUT


# How long it has asked to wait at most, whatever else kept this machine busy.
@needs_strace
def test_a_daemon_that_hangs_is_waited_for_a_second_at_most(build, run, serve, config, folder):
    program = build("probe.c", "#include <telemetry.h>\n" + USE, INCLUDE, *LINK)
    serve("hang")
    strace = ("strace", "-f", "-o", folder / "calls", "-e", "trace=poll,ppoll")
    assert run(*strace, program, config) == errno.ETIMEDOUT
    calls = (folder / "calls").read_text()
    waits_ms = [int(ms) for ms in re.findall(r" poll\(.*, (\d+)\) += 0 \(Timeout\)$", calls, re.M)]
    waits_ms += [1000 * int(seconds) + int(ns) / 1e6 for seconds, ns in re.findall(
        r" ppoll\(.*\{tv_sec=(\d+), tv_nsec=(\d+)\}.* = 0 \(Timeout\)$", calls, re.M)]
    assert 0 < sum(waits_ms) <= 1000, calls


USE_CXX = """
#include <telemetry.hpp>
#include <cerrno>
#include <string>
#include <type_traits>

static_assert(!std::is_copy_constructible_v<telemetry::Record>);
static_assert(std::is_nothrow_move_constructible_v<telemetry::Record>);

template <typename Call>
bool Refuses(Call call) {
  try {
    call();
    return false;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::invalid_argument;
  }
}

int main(int argc, char** argv) {
  if (argc != 2 || telemetry::SetConfigFile(argv[1])) return 99;
  if (telemetry::SetConfigFile("relative") != std::errc::invalid_argument) return 98;
  if (!telemetry::IsOptedIn()) return 97;
  if (!Refuses([] { telemetry::Record(telemetry::Severity::kLow, "a/b"); })) return 96;
  if (!Refuses([] { telemetry::Record(telemetry::Severity::kLow, std::string("a/b/c\\0d", 7)); }))
    return 95;

  telemetry::Record made(telemetry::Severity::kMedium, "org.example/stranger/c", 7);
  if (!Refuses([&] { made.SetPayload(std::string("a\\0b", 3)); })) return 94;
  if (!Refuses([&] { made.SetPayload(std::string(256 * 1024 + 1, 'x')); })) return 93;
  if (!Refuses([&] { made.SetEventId("xyz"); })) return 92;
  made.SetPayload("from C++\\n");
  made.SetEventId("0123456789abcdef0123456789abcdef");
  telemetry::Record moved(telemetry::Severity::kLow, "a/b/c");
  moved = std::move(made);
  telemetry::Record record(std::move(moved));
  return record.Send().value();
}
"""


def test_a_cxx_program_sends_a_record(build, run, serve, config):
    program = build("probe.cc", USE_CXX, "-std=c++17", INCLUDE, *LINK, compiler="c++")
    server = serve(0, 28)
    assert run(program, config) == 0
    expect_the_record(server.frames, b"from C++\n")
    assert run(program, config) == errno.ENOSPC


class Ref(ctypes.Structure):
    _fields_ = [("record", ctypes.c_void_p)]


@pytest.fixture
def library():
    if paths.is_sanitized():
        pytest.skip("Python cannot load a library built with a sanitizer")
    return ctypes.CDLL(str(paths.LIBTELEMETRY))


def test_python_sends_a_record_by_ctypes(library, serve, config, folder):
    server = serve()
    assert library.tm_set_config_file(str(config).encode()) == 0
    assert library.tm_is_opted_in() == 1
    ref = ctypes.POINTER(Ref)()
    assert library.tm_create_record(ctypes.byref(ref), 2, b"org.example/stranger/c", 7) == 0
    assert library.tm_set_event_id(ref, b"0123456789abcdef0123456789abcdef") == 0
    assert library.tm_set_payload(ref, "from Python, äöü €\n".encode()) == 0
    assert library.tm_send_record(ref) == 0
    (folder / "opt-out").touch()
    assert library.tm_send_record(ref) == -errno.ECONNREFUSED
    library.tm_free_record(ref)
    expect_the_record(server.frames, "from Python, äöü €\n".encode())


# The guest's manners: what a process has before the first call it has behind the last.
def test_the_library_leaves_no_trace_in_its_host(library, serve, config, capfd):
    def state():
        signals = re.findall(r"^Sig(?:Blk|Ign|Cgt):.*$", open("/proc/self/status").read(), re.M)
        return {*os.listdir("/proc/self/fd")}, {*os.listdir("/proc/self/task")}, signals

    def left_behind():
        fds, tasks, signals = state()
        return fds - before[0], tasks - before[1], signals if signals != before[2] else []

    serve(0, 5, "close")
    before = state()
    assert library.tm_set_config_file(str(config).encode()) == 0
    for answer in (0, -errno.EIO, -errno.EIO):
        ref = ctypes.POINTER(Ref)()
        assert library.tm_create_record(ctypes.byref(ref), 1, b"a/b/c", 1) == 0
        assert library.tm_send_record(ref) == answer
        library.tm_free_record(ref)
    assert library.tm_create_record(ctypes.byref(ref), 1, b"not a class", 1) == -errno.EINVAL
    # The daemon, in a thread of this process, closes its end behind its answer. What other tests
    # still had open before may go meanwhile.
    wait_until(lambda: not any(left_behind()), what=left_behind)
    assert capfd.readouterr() == ("", "")


def test_the_library_survives_being_closed_and_opened_again(run, serve, config):
    script = f"""
import _ctypes, ctypes
for i in range(3):
    library = ctypes.CDLL({str(paths.LIBTELEMETRY)!r})
    library.tm_set_config_file({str(config)!r}.encode())
    ref = ctypes.c_void_p()
    assert library.tm_create_record(ctypes.byref(ref), 1, b"a/b/c", 1) == 0
    assert library.tm_send_record(ref) == 0
    library.tm_free_record(ref)
    _ctypes.dlclose(library._handle)
"""
    server = serve()
    assert run(sys.executable, "-c", script) == 0
    assert len(server.frames) == 3
