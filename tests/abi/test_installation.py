"""A stranger builds a probe against an installation that lies in a folder of its own."""

import os
import subprocess

from support import paths
from support.frames import parse_frame

PROBE = """
#include <telemetry.h>
int main(int argc, char **argv) {
  struct telem_ref *ref = 0;
  if (argc != 2 || tm_set_config_file(argv[1]) != 0) return 99;
  if (tm_create_record(&ref, 1, "org.example/installed/c", 1) != 0) return 98;
  return -tm_send_record(ref);
}
"""


def test_pkg_config_finds_an_installation_wherever_it_lies(folder, build, run, serve, config):
    staged = folder / "staged"
    subprocess.run(["cmake", "--install", str(paths.BUILD)], check=True, capture_output=True,
                   env=dict(os.environ, DESTDIR=str(staged)))
    (description,) = staged.rglob("libtelemetry.pc")
    # Moved after it was installed: nothing in the file may know where it was.
    moved = folder / "moved"
    staged.rename(moved)
    description = moved / description.relative_to(staged)

    def ask(*arguments):
        done = subprocess.run(
            ["pkg-config", *arguments, "libtelemetry"], check=True, capture_output=True, text=True,
            env=dict(os.environ, PKG_CONFIG_PATH=str(description.parent)))
        return done.stdout.split()

    program = build("probe.c", PROBE, *ask("--cflags"), *ask("--libs"))
    libraries = description.parent.parent
    assert (libraries / "libtelemetry.so.3").resolve() == libraries / "libtelemetry.so.4"
    server = serve()
    assert run(program, config, library_folder=libraries) == 0
    headers, _ = parse_frame(server.frames[0])
    assert headers["classification"] == "org.example/installed/c"
    build("probe.cc", "#include <telemetry.hpp>\nint main() { return 0; }\n", "-std=c++17",
          *ask("--cflags"), *ask("--libs"), compiler="c++")
