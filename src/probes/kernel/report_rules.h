// What kernels print when something is wrong: how reports begin and end, and what kind they are.
// The tables are in report_rules.cc; it is meant to be read, and added to, like data.
#pragma once

#include <cstdint>
#include <string_view>

namespace telem {

// The last part of the classification, in the order of classification_of_kind (report_rules.cc).
enum class ReportKind : uint8_t {
  kBug,
  kWarning,
  kStackOverflow,
  kPanic,
  kHang,
  kOom,
  kHardware,
  kLockdep,
  kSanitizer,
  kLeak,
};

struct KindInfo {
  std::string_view name;  // "bug": DOMAIN/kernel/bug
  uint32_t severity;
};
const KindInfo& InfoOf(ReportKind kind);

// What a beginning does when a report is already open.
enum class Role : uint8_t {
  kOpener,  // comes before the line that says what happened; no report on its own
  kTitle,   // says what happened; always a report of its own
  kSecond,  // says the same again as the line before, or more: joins a report that has no body yet
  kDetail,  // as kSecond, and is the reason only where nothing better is said
  kTheEnd,  // the kernel stops: joins the report that led to it
  kInside,  // a part of other reports, and a report only where their beginning is lost
};

// Where the function that is to blame stands.
enum class Blame : uint8_t {
  kFirst,      // the first function that is no plumbing: in the title, at the instruction pointer,
               // in the stack
  kNamed,      // as kFirst, but what the title names counts even where it is plumbing
  kLockSite,   // where the lock was to be taken ("at: FUNCTION"), else as kFirst
  kInterrupt,  // what takes the lock in an interrupt ("became HARDIRQ-irq-safe at:"), else as
               // kLockSite
  kOperation,  // somewhere in a long operation: the operation's own function, not where it was
               // interrupted
  kWait,       // as kFirst, without what only waits
  kLeaker,     // as kFirst, without whatever allocates
  kOwner,      // as kFirst, in the stack of who allocated the memory where that was printed
  kHandler,  // whom the kernel had called, which a line of its own says: the first of the interrupt
             // handlers that are listed, the work's function
  kNobody,   // no function is
};

struct Beginning {
  std::string_view pattern;  // `*` stands for any text; the end is open
  ReportKind kind;
  Role role;
  Blame blame;
  // Only a report when a stack trace or registers follow: the words alone are used for other
  // things.
  bool needs_body = false;
};

// What `text`, a line without its log prefix, begins; nullptr for nearly every line. Fast: called
// for each line of a log.
const Beginning* FindBeginning(std::string_view text);

// Whether this line is the last of a report.
bool IsEnding(std::string_view text);

// Whether this line can only stand behind the title: registers, a stack, the process.
bool IsBody(std::string_view text);

// Whether `text` starts with `pattern`, in which `*` stands for any text.
bool MatchesPattern(std::string_view text, std::string_view pattern);

}  // namespace telem
