// CrashReport: the words of a record about a crash, and under which classification it goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "unwind/core_notes.h"
#include "unwind/module_map.h"

namespace telem {

// What is known before anybody has looked into a file.
struct CrashFacts {
  std::string name;  // the kernel's comm
  std::string exe;   // path, empty where it is not known
  pid_t pid = 0;
  int signal = 0;
  std::optional<SignalInfo> signal_info;
  std::string address;  // DescribeAddress(); empty where the signal has none
  std::string container;
  std::string unit;
  std::string package;
};

struct CrashKind {
  std::string_view rest;  // of the classification, behind the domain
  uint32_t severity;
  bool operator==(const CrashKind&) const = default;
};
inline constexpr CrashKind kCrash{"/crash/clr", 3};
inline constexpr CrashKind kThirdParty{"/crash/unknown", 2};
inline constexpr CrashKind kPackageBuild{"/crash/clr-build", 2};
inline constexpr CrashKind kFailedAnalysis{"/crash/error", 4};

// A line of a record.
inline constexpr char kEndedEarly[] = "(the core ended early: threads may be missing)";

inline constexpr char kThirdPartyText[] = "Crash from third party\n";
inline constexpr char kPackageBuildText[] = "Crash from Clear package build\n";

// What may be said about a crash of the program at `exe`. `globs` is crash_report_paths.
CrashKind KindOf(std::string_view exe, std::string_view globs, bool has_privacy_filters);

// "Process: …", "PID: …", "Signal: …" and what else is known, a line each.
std::string ReportHead(const CrashFacts& facts);

// "11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0".
std::string DescribeSignal(int signal, const std::optional<SignalInfo>& info,
                           std::string_view address);

// Whether a text may be what AnalyseCrash() emits: lines of its forms, each in its place, without
// control characters and not longer than they can be. The text comes from a sandbox, where hostile
// bytes may have had their way; what stands in names cannot be checked.
bool IsReportText(std::string_view text);

// Whether it is lines of UTF-8 without control characters.
bool IsPlainText(std::string_view text);

// The value behind the last "exact: " of such a text; empty where there is none.
std::string_view ExactSignatureOf(std::string_view text);
std::string_view StableSignatureOf(std::string_view text);

// `text` with a Package line behind its Build-ID, where it has none and the package is known.
std::string WithPackage(std::string text, const CrashFacts& facts);

}  // namespace telem
