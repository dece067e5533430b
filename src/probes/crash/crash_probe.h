// CrashProbe: the life of a crash record, from a core or a dying process to telemd's answer. The
// one place in which the parts of this folder are wired together.
#pragma once

#include <string>

#include "config/settings.h"
#include "probes/crash/crash_arguments.h"
#include "probes/crash/crash_report.h"

namespace telem {

inline constexpr char kCrashProgram[] = "crashprobe";

// Each returns the exit code, and says on stderr what went wrong.

// By hand or for the kernel's pipe: a core at standard input, or in a file. With --socket: the
// kernel's socket is at standard input.
int ReportCrash(const CrashArguments& arguments, const Settings& settings);

// A crash that somebody else has looked into; `text` is the part of the record behind its head. It
// may come again with the same `event_id` (32 hex digits), and is told once.
int ReportKnownCrash(const CrashArguments& arguments, const Settings& settings,
                     const CrashFacts& facts, const std::string& text, const std::string& event_id);

// For people: what would be reported of a core or a running process, and where it came from.
int ExplainCrash(const CrashArguments& arguments, const Settings& settings);

// For people: the record that a process of ours would give if it called abort(3).
int ShowSampleCrash(const CrashArguments& arguments, const Settings& settings);

// Sends the counts of crashes that were not told in full, where they are due.
int SendCrashCounts(const CrashArguments& arguments, const Settings& settings);

}  // namespace telem
