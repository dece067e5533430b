// Symbolizer: names for addresses. A function is named by DWARF where the machine has debug
// information (inlined calls and lines too), else by .symtab, .dynsym or .gnu_debugdata.
//
// All addresses are looked up together, module by module: every symbol table and every DIE tree is
// gone through once, whatever the number of addresses.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "unwind/unwinder.h"

namespace telem {

// One function at an address.
struct SourceFrame {
  std::string function;  // readable; empty where nothing names it
  std::string file;      // empty without debug information
  int line = 0;
};

struct Location {
  // The function that the machine code belongs to is last; what was inlined into it stands before,
  // innermost first. Never empty.
  std::vector<SourceFrame> functions;
};

class Symbolizer {
 public:
  // After `time_limit` DWARF is looked into no more, and names come from symbol tables alone.
  Symbolizer(Unwinder& unwinder, const Clock& clock, std::chrono::milliseconds time_limit)
      : unwinder_(unwinder), clock_(clock), end_(clock.Monotonic() + time_limit) {}

  // Names all of `addresses` (StackFrame::lookup()) by symbol tables.
  void LookUpSymbols(std::vector<uint64_t> addresses);
  // Adds what DWARF says of them. It is what takes time and memory, so it comes last.
  void LookUpDwarf();
  // What was found so far.
  const Location& Find(uint64_t address) const;

 private:
  struct InModule {
    size_t index = 0;
    Dwfl_Module* module = nullptr;
    std::vector<uint64_t> addresses;  // sorted
    std::map<uint64_t, std::string> symbols;
  };
  bool HasTime() const { return clock_.Monotonic() < end_; }
  void LookUpDwarf(const InModule& in);
  void AddSymbols(const InModule& in);

  Unwinder& unwinder_;
  const Clock& clock_;
  MonotonicTime end_;
  std::vector<InModule> modules_;
  std::unordered_map<uint64_t, Location> locations_;
};

}  // namespace telem
