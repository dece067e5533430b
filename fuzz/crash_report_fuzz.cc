// The text of crashprobe's child, which may have been taken over by what it read.
#include <cstdint>
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/crash/crash_report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string text(AsText(data, size));
  if (!IsReportText(text)) return 0;
  Require(IsPlainText(text), "a report has lines of text only");
  for (const std::string_view signature : {ExactSignatureOf(text), StableSignatureOf(text)}) {
    Require(!HasControl(signature) && !signature.contains(' '), "a signature is one word");
  }
  CrashFacts facts;
  facts.package = "example 1.0-1";
  Require(IsReportText(WithPackage(text, facts)), "with a package it is a report still");
  return 0;
}
