// The command line of crashprobe: whoever crashes has chosen the name that the kernel puts there.
// The input is the words, with a NUL behind each.
#include <cstdint>
#include <string>
#include <vector>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/crash/crash_arguments.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::vector<std::string> words = {"crashprobe"};
  for (std::string_view rest = AsText(data, size); !rest.empty();) {
    words.emplace_back(TakeUntil(rest, '\0'));
  }
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto parsed = ParseCrashArguments(static_cast<int>(words.size()), argv.data());
  if (!parsed) {
    Require(!parsed.error().message.empty(), "a mistake is told");
    return 0;
  }
  Require(parsed->signal >= 0 && parsed->signal <= 64, "a signal is one");
  Require(parsed->pid >= 0 && parsed->tid >= 0 && parsed->inner_tid >= 0,
          "ids are none below zero");
  Require(!parsed->from_kernel || !parsed->exe.contains('!'), "a path has its slashes back");
  return 0;
}
