"""The public headers compile for everyone who may include them, without a warning."""

import shutil

import pytest
from support import paths

INCLUDE = f"-I{paths.REPO / 'include'}"


@pytest.mark.parametrize("standard", ["c89", "c99", "c11", "c17"])
def test_telemetry_h_is_plain_c(build, standard):
    build("header.c", "#include <telemetry.h>\nint main(void) { return 0; }\n", INCLUDE,
          f"-std={standard}", "-pedantic", "-Wstrict-prototypes")


@pytest.mark.parametrize("standard", ["c++98", "c++11", "c++17", "c++23"])
def test_telemetry_h_is_plain_cxx(build, standard):
    build("header.cc", "#include <telemetry.h>\nint main() { return 0; }\n", INCLUDE,
          f"-std={standard}", "-pedantic", compiler="c++")


@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
@pytest.mark.parametrize("standard", ["c++17", "c++20", "c++23"])
def test_telemetry_hpp_needs_cxx17(build, compiler, standard):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    build("header.cc", "#include <telemetry.hpp>\nint main() { return 0; }\n", INCLUDE,
          f"-std={standard}", "-pedantic", "-Wshadow", "-Wconversion", "-c", compiler=compiler)
