// The two signatures of a crash; docs/signatures.md is the text to this code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace telem {

// One function of the stack of the thread that crashed, inlined ones too, innermost first.
struct SignatureFrame {
  std::string function;  // readable; empty where nothing names it
  std::string module;    // path; empty where there is none
  std::string build_id;  // of the module, may be empty
  uint64_t offset = 0;   // in the module
  bool inlined = false;
};

// The same for the same bug: on every machine, in every build. "s1:…"
std::string StableSignature(const std::vector<SignatureFrame>& stack);

// The same for the same bug in the same build, whether there are names or not. `program` is the
// build id of what was started, or its name: two programs may crash in one place of one library.
// "e1:…"
std::string ExactSignature(const std::vector<SignatureFrame>& stack, std::string_view program);

// The parts that go into the stable one, for people and tests.
std::vector<std::string> StableParts(const std::vector<SignatureFrame>& stack);

// A function's name without what differs from build to build: arguments, template arguments,
// return type, clones that a compiler made, numbers of lambdas and closures.
std::string PlainFunction(std::string_view function);

// The file name of a module without version numbers: "libssl.so.3" and "libssl-3.0.so" are
// "libssl.so".
std::string PlainModule(std::string_view path);

}  // namespace telem
