// The two signatures of a crash; docs/signatures.md is the text to this code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace telem {

// One function of a stack.
struct SignatureFrame {
  std::string function;  // readable; empty where nothing names it
  std::string module;    // path; empty where there is none
  std::string build_id;  // of the module, may be empty
  uint64_t offset = 0;   // in the module
  bool inlined = false;
};

// The stack of the thread that crashed.
struct CrashingStack {
  std::vector<SignatureFrame> frames;  // innermost first, inlined ones too
  bool overflowed = false;             // it had no room any more, and that was the crash
};

// The same for the same bug: on every machine, in every build. "s1:…"
std::string StableSignature(const CrashingStack& stack);

// The same for the same bug in the same build, whether there are names or not. `program` is the
// build id of what was started, or its name: two programs may crash in one place of one library.
// "e1:…"
std::string ExactSignature(const CrashingStack& stack, std::string_view program);

// The parts that go into the stable one, for people and tests.
std::vector<std::string> StableParts(const CrashingStack& stack);

// A function's name without what differs from build to build: arguments, template arguments,
// return type, clones that a compiler made, numbers of lambdas and closures.
std::string PlainFunction(std::string_view function);

// The file name of a module without version numbers: "libssl.so.3" and "libssl-3.0.so" are
// "libssl.so".
std::string PlainModule(std::string_view path);

}  // namespace telem
