#include "probes/crash/crash_signature.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>

#include "base/text.h"
#include "record/signature.h"

namespace telem {
namespace {

constexpr size_t kStableFrames = 3;
constexpr size_t kExactFrames = 5;
// A function that is that often on one stack is what overflows it.
constexpr size_t kRecursion = 20;

// Code that is on a stack because of how it ended or how it was started, not because of the bug:
// the C library and the runtimes of languages.
constexpr std::string_view kInnocentModules[] = {
    "ld-linux-aarch64.so", "ld-linux-x86-64.so",
    "ld-musl-aarch64.so",  "ld-musl-x86_64.so",
    "libasan.so",          "libc++.so",
    "libc++abi.so",        "libc.so",
    "libgcc_s.so",         "libpthread.so",
    "libstdc++.so",        "libubsan.so",
    "libunwind.so",        "[vdso]",
};

// The same where they are linked statically, by the start of a plain name.
constexpr std::string_view kInnocentStarts[] = {
    // C and C++ runtimes
    "_Unwind_",
    "__asan_",
    "__assert",
    "__cxa_",
    "__cxxabiv1::",
    "__gnu_cxx::",
    "__pthread_kill",
    "__sanitizer_",
    "__stack_chk_fail",
    "__fortify_fail",
    "__chk_fail",
    "__libc_fatal",
    "__libc_message",
    "__libc_start",
    "__ubsan_",
    "malloc_",
    "_int_",
    "__mem",
    "__str",
    "__wcs",
    "operator new",
    "operator delete",
    "std::",
    "tcache_",
    "unlink_chunk",
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "__GI_",
    "__restore",
    // Rust
    "__rust",
    "core::",
    "alloc::",
    "panic_abort::",
    "rust_begin_unwind",
    "rust_panic",
    "<core::",
    "<alloc::",
    "<std::",
    "<&",
    "<[",
    "<(",
    "<usize as ",
    "<str as ",
    "<i32 as ",
    "<u32 as ",
    "<u8 as ",
    "<i64 as ",
    "<u64 as ",
    "_rust_",
    // Go
    "runtime.",
    "internal/runtime",
    "internal/abi.",
    "internal/bytealg.",
};

constexpr std::string_view kInnocentNames[] = {
    "__abort",       "__errno_location",
    "__kill",        "_Exit",
    "_exit",         "abort",
    "aligned_alloc", "bcmp",
    "calloc",        "cfree",
    "exit",          "free",
    "gsignal",       "kill",
    "killpg",        "malloc",
    "memchr",        "memcmp",
    "memcpy",        "memmove",
    "memset",        "pthread_kill",
    "raise",         "realloc",
    "stpcpy",        "strcat",
    "strchr",        "strcmp",
    "strcpy",        "strdup",
    "strlen",        "strncmp",
    "strncpy",       "strnlen",
    "strrchr",       "strstr",
    "tgkill",        "tkill",
    "__memcpy_chk",  "printf",
    "sprintf",       "vfprintf",
    "fprintf",       "snprintf",
    "vsnprintf",     "puts",
    "fputs",         "qsort",
    "bsearch",       "a_crash",
};

// Where every program starts: nothing below it belongs to the bug.
constexpr std::string_view kStarts[] = {
    "_start",
    "__libc_start_main",
    "__libc_start_call_main",
    "__libc_start_main_impl",
    "start_thread",
    "clone",
    "__clone",
    "__clone3",
    "clone3",
    "runtime.goexit",
    "runtime.main",
    "libc_start_main_stage2",

    "std::rt::lang_start",
    "__rust_begin_short_backtrace",
};

template <size_t N>
bool IsAmong(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

bool IsInnocent(std::string_view function, std::string_view module) {
  if (IsAmong(kInnocentModules, module) || IsAmong(kInnocentNames, function)) return true;
  return std::any_of(std::begin(kInnocentStarts), std::end(kInnocentStarts),
                     [&](std::string_view start) { return function.starts_with(start); });
}

// Whether the `<` at `at` opens arguments of a template and not a part of a name: Rust writes
// "<Type as Trait>::method", C++ "operator<".
bool OpensArguments(std::string_view name, size_t at) {
  if (at == 0) return false;
  const std::string_view before = name.substr(0, at);
  if (before.ends_with("operator") || before.ends_with("operator<")) return false;
  return name[at - 1] != ' ' && name[at - 1] != '<' && name[at - 1] != '(';
}

// The position behind the bracket that closes the one at `at`; npos where none does.
size_t BehindClosing(std::string_view name, size_t at) {
  const char open = name[at];
  const char close = open == '<' ? '>' : open == '(' ? ')' : open == '[' ? ']' : '}';
  int depth = 0;
  for (size_t i = at; i < name.size(); ++i) {
    if (name[i] == open) ++depth;
    // "->" closes nothing.
    if (name[i] == close && (close != '>' || i == 0 || name[i - 1] != '-') && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

std::string WithoutTemplateArguments(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    if (name[i] == '<' && OpensArguments(name, i)) {
      const size_t end = BehindClosing(name, i);
      if (end != std::string_view::npos) {
        if (out.ends_with("::")) out.resize(out.size() - 2);  // Rust: name::<T>
        i = end;
        continue;
      }
    }
    out += name[i++];
  }
  return out;
}

// Lambdas and closures: "{lambda(int)#1}" of GCC, "$_0" and "'lambda'(int)" of clang,
// "{closure#0}" and "{{closure}}" of Rust, "func1" of Go are one name each.
std::string WithoutClosureNumbers(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const std::string_view rest = name.substr(i);
    if (rest.starts_with("{{closure}}")) {
      out += "{closure}";
      i += 11;
    } else if (rest.starts_with("{lambda") || rest.starts_with("{closure")) {
      const size_t end = BehindClosing(name, i);
      out += rest.starts_with("{lambda") ? "{lambda}" : "{closure}";
      i = end == std::string_view::npos ? name.size() : end;
    } else if (rest.starts_with("'lambda")) {
      const size_t end = name.find('\'', i + 1);
      out += "{lambda}";
      i = end == std::string_view::npos ? name.size() : end + 1;
      if (i < name.size() && name[i] == '(') i = std::min(BehindClosing(name, i), name.size());
    } else if (rest.starts_with("$_") && rest.size() > 2 && std::isdigit(rest[2]) != 0) {
      out += "{lambda}";
      for (i += 2; i < name.size() && std::isdigit(name[i]) != 0;) ++i;
    } else {
      out += name[i++];
    }
  }
  return out;
}

// Up to the arguments in parentheses, which are at the end, maybe before "const".
std::string WithoutArguments(std::string_view name) {
  size_t i = 0;
  while (i < name.size()) {
    if (name[i] != '(') {
      ++i;
      continue;
    }
    const size_t end = BehindClosing(name, i);
    if (end == std::string_view::npos) break;
    // "(anonymous namespace)::x", "main.(*Type).Method", "operator()(int)" go on.
    const bool goes_on = name.substr(end).starts_with("::") || name.substr(end).starts_with(".") ||
                         (name.substr(0, i).ends_with("operator") && end == i + 2);
    if (!goes_on) break;
    i = end;
  }
  return std::string(name.substr(0, i));
}

// Templates are written with their return type: "void f". The blank of "operator new" and of
// "<A as B>" belongs to the name.
std::string_view WithoutReturnType(std::string_view name) {
  size_t start = 0;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '<' || c == '(' || c == '{') ++depth;
    if (c == '>' || c == ')' || c == '}') --depth;
    if (c == ' ' && depth == 0 && !name.substr(0, i).ends_with("operator")) start = i + 1;
  }
  return name.substr(start);
}

std::string_view WithoutCloneSuffix(std::string_view name) {
  for (const std::string_view suffix : {".part.", ".constprop.", ".isra.", ".cold", ".lto_priv.",
                                        ".llvm.", " [clone", " (.", "@@", "@", ".localalias"}) {
    const size_t at = name.find(suffix);
    if (at != std::string_view::npos && at > 0) name = name.substr(0, at);
  }
  return name;
}

// What is inside of a function of Go: main.main.func1, main.main.func1.2, main.f.deferwrap1.
std::string_view WithoutGoNumbers(std::string_view name) {
  for (const std::string_view part : {".func", ".gowrap", ".deferwrap"}) {
    const size_t at = name.find(part);
    if (at != std::string_view::npos && at + part.size() < name.size() &&
        std::isdigit(name[at + part.size()]) != 0) {
      return name.substr(0, at + part.size());
    }
  }
  return name;
}

struct PlainFrame {
  std::string text;  // what goes into the signature
  bool innocent = false;
  bool start = false;
};

PlainFrame PlainOf(const SignatureFrame& frame) {
  const std::string module = PlainModule(frame.module);
  PlainFrame plain;
  if (frame.function.empty()) {
    // Without a name only the build tells one place from another.
    std::string place = frame.build_id.empty() ? module : frame.build_id;
    place += "+0x";
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%lx", static_cast<unsigned long>(frame.offset));
    plain.text = place + digits.data();
    plain.innocent = IsAmong(kInnocentModules, module) || module.empty();
    return plain;
  }
  const std::string function = PlainFunction(frame.function);
  plain.text = module + "!" + function;
  plain.innocent = IsInnocent(function, module);
  plain.start = IsAmong(kStarts, function);
  return plain;
}

// The functions that go round in a stack that overflows, whichever of them was last.
std::vector<std::string> FindRecursion(const std::vector<PlainFrame>& frames) {
  std::map<std::string, size_t> counts;
  for (const PlainFrame& frame : frames) {
    if (!frame.innocent) ++counts[frame.text];
  }
  std::vector<std::string> found;
  for (const auto& [text, count] : counts) {
    if (count >= kRecursion) found.push_back(text);
  }
  if (found.size() > kStableFrames) found.resize(kStableFrames);
  return found;
}

}  // namespace

std::string PlainFunction(std::string_view function) {
  std::string name(WithoutCloneSuffix(function));
  // Go's type arguments.
  if (const size_t generic = name.find("[...]"); generic != std::string::npos) {
    name.erase(generic, 5);
  }
  name = WithoutClosureNumbers(name);
  name = WithoutTemplateArguments(name);
  name = WithoutArguments(name);
  name = WithoutReturnType(name);
  name = WithoutGoNumbers(name);
  for (size_t at = 0; (at = name.find("(anonymous namespace)::")) != std::string::npos;) {
    name.erase(at, 23);
  }
  // A lambda is called through its operator.
  if (name.ends_with("{lambda}::operator()")) name.resize(name.size() - 12);
  return name;
}

std::string PlainModule(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  if (const size_t so = name.find(".so."); so != std::string::npos) name.resize(so + 3);
  const bool is_library = name.ends_with(".so");
  if (is_library) name.resize(name.size() - 3);
  // "-3.0", "3.11", "-11": a version, when something is left before it.
  size_t end = name.size();
  while (end > 0 && (std::isdigit(name[end - 1]) != 0 || name[end - 1] == '.')) --end;
  if (end > 1 && end < name.size()) {
    if (name[end - 1] == '-') --end;
    // "x86_64" and the like are no versions.
    if (std::isalpha(name[end - 1]) != 0 && !name.substr(0, end).ends_with("x")) name.resize(end);
  }
  if (is_library) name += ".so";
  return name;
}

std::vector<std::string> StableParts(const std::vector<SignatureFrame>& stack) {
  std::vector<PlainFrame> frames;
  for (const SignatureFrame& frame : stack) {
    PlainFrame plain = PlainOf(frame);
    if (plain.start) break;
    frames.push_back(std::move(plain));
  }
  if (std::vector<std::string> recursion = FindRecursion(frames); !recursion.empty()) {
    recursion.insert(recursion.begin(), "recursion");
    return recursion;
  }
  const bool all_innocent =
      std::all_of(frames.begin(), frames.end(), [](const PlainFrame& f) { return f.innocent; });
  std::vector<std::string> parts;
  for (PlainFrame& frame : frames) {
    if (frame.innocent && !all_innocent) continue;
    if (!parts.empty() && parts.back() == frame.text) continue;
    if (parts.size() == kStableFrames) break;
    parts.push_back(std::move(frame.text));
  }
  return parts;
}

std::string StableSignature(const std::vector<SignatureFrame>& stack) {
  return SignatureOf("s1", StableParts(stack));
}

std::string ExactSignature(const std::vector<SignatureFrame>& stack) {
  std::vector<std::string> parts;
  for (const SignatureFrame& frame : stack) {
    if (frame.inlined) continue;
    if (parts.size() == kExactFrames) break;
    std::string part = frame.build_id.empty() ? PlainModule(frame.module) : frame.build_id;
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%lx", static_cast<unsigned long>(frame.offset));
    part += "+0x";
    part += digits.data();
    parts.push_back(std::move(part));
  }
  return SignatureOf("e1", parts);
}

}  // namespace telem
