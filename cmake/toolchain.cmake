# How everything is compiled and linked, and the words the other CMake files use:
#   telem_library(NAME SOURCES… DEPENDS…)   a part of src/, linked statically where it is needed
#   telem_fast(NAME)                        such a part is compiled for speed, not for size
#   telem_program(NAME [LIBEXEC | DESTINATION FOLDER] [LIGHT] SOURCES… DEPENDS…)
#   telem_test(NAME SOURCES… DEPENDS…)      unit tests that stand beside their source

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Small: what a daemon at rest and a guest in other programs are judged by, and their time goes into
# system calls. Measured: telemd has 150 KiB less private memory than with -O2. What goes over every
# byte of a record is told to be fast (telem_fast).
set(CMAKE_CXX_FLAGS_RELEASE "-Os -g1")
set(CMAKE_C_FLAGS_RELEASE "-Os -g1")

# The build tree looks like an installation (bin, lib, libexec), so programs find each other in both.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
set(TELEM_LIBEXEC_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/libexec/telemetrics)
set(TELEM_LIBEXEC_INSTALL_DIR ${CMAKE_INSTALL_LIBEXECDIR}/telemetrics)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(telem_flags INTERFACE)
target_compile_options(telem_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Wformat=2
  -ffunction-sections -fdata-sections -fstack-protector-strong)
target_compile_definitions(telem_flags INTERFACE _GNU_SOURCE TELEM_VERSION="${PROJECT_VERSION}")
if(TELEMETRICS_WERROR)
  target_compile_options(telem_flags INTERFACE -Werror)
endif()
if(TELEMETRICS_SANITIZE)
  target_compile_options(telem_flags INTERFACE
    -fsanitize=${TELEMETRICS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(telem_flags INTERFACE -fsanitize=${TELEMETRICS_SANITIZE})
else()
  target_compile_definitions(telem_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
target_link_options(telem_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--as-needed)
target_include_directories(telem_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

# libstdc++ inside: what a guest in other programs and a daemon of a few hundred KiB need.
add_library(telem_light INTERFACE)
if(NOT TELEMETRICS_SANITIZE)
  target_link_options(telem_light INTERFACE -static-libstdc++ -static-libgcc)
endif()

function(telem_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC telem_flags ${ARG_DEPENDS})
endfunction()

function(telem_fast name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O2>)
endfunction()

function(telem_program name)
  cmake_parse_arguments(ARG "LIBEXEC;LIGHT" "DESTINATION" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE telem_flags ${ARG_DEPENDS})
  if(ARG_LIGHT)
    target_link_libraries(${name} PRIVATE telem_light)
  endif()
  if(ARG_LIBEXEC)
    set(ARG_DESTINATION ${TELEM_LIBEXEC_INSTALL_DIR})
  endif()
  if(ARG_DESTINATION)
    set_target_properties(${name} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${TELEM_LIBEXEC_OUTPUT_DIRECTORY})
    install(TARGETS ${name} DESTINATION ${ARG_DESTINATION})
  else()
    install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_BINDIR})
    telem_completion(${name})
  endif()
endfunction()

# Completion of the program PROGRAM in three shells, each of which looks for a file of its name.
set(TELEMETRICS_ZSH_COMPLETIONS ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING
  "Where zsh completions are installed; Debian's packages have them in share/zsh/vendor-completions")
function(telem_completion PROGRAM)
  set(from ${PROJECT_SOURCE_DIR}/packaging/completion)
  set(to ${PROJECT_BINARY_DIR}/completion)
  configure_file(${from}/completion.bash ${to}/bash/${PROGRAM} @ONLY)
  configure_file(${from}/completion.zsh ${to}/zsh/_${PROGRAM} @ONLY)
  configure_file(${from}/completion.fish ${to}/fish/${PROGRAM}.fish @ONLY)
  install(FILES ${to}/bash/${PROGRAM} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${to}/zsh/_${PROGRAM} DESTINATION ${TELEMETRICS_ZSH_COMPLETIONS})
  install(FILES ${to}/fish/${PROGRAM}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endfunction()

if(TELEMETRICS_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

function(telem_test name)
  if(NOT TELEMETRICS_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE telem_flags ${ARG_DEPENDS} GTest::gtest_main GTest::gmock)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
endfunction()
