#include "probes/crash/crash_signature.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "base/text.h"
#include "record/signature.h"

namespace telem {
namespace {

constexpr size_t kStableFrames = 3;
// Panics of Rust and Go have up to eleven frames of their own, with which the bug has nothing to
// do; the exact signature knows no names, and so cannot leave these out.
constexpr size_t kExactFrames = 16;
// A function that is that often on a stack that overflowed goes round there.
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
    "__gxx_personality_",
    "__clang_call_terminate",
    "__invoke",
    "_M_invoke",
    "execute_native_thread_routine",
    "__gnu_cxx::",
    "__pthread_kill",
    "__sanitizer_",
    "__stack_chk_fail",
    "__fortify_fail",
    "__chk_fail",
    "__libc_",
    "__vfprintf",
    "__vsnprintf",
    "__fprintf",
    "__printf",
    "__snprintf",
    "__sprintf",
    "buffered_vfprintf",
    "_IO_",
    "__qsort",
    "msort_with_tmp",
    "__run_exit_handlers",
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
    "munmap_chunk",
    "sysmalloc",
    "__GI_",
    "__restore",
    // Rust
    "__rust",
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

// The same, of names without arguments: those of C++ have them, and anybody may call a namespace
// so.
constexpr std::string_view kInnocentCrates[] = {"core::", "alloc::"};

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

template <size_t N>
bool StartsLikeOne(const std::string_view (&starts)[N], std::string_view name) {
  return std::any_of(std::begin(starts), std::end(starts),
                     [&](std::string_view start) { return name.starts_with(start); });
}

// `function` is plain, `readable` is how it is shown.
bool IsInnocent(std::string_view function, std::string_view readable, std::string_view module) {
  if (IsAmong(kInnocentModules, module) || IsAmong(kInnocentNames, function)) return true;
  if (StartsLikeOne(kInnocentStarts, function)) return true;
  return !readable.ends_with(')') && !readable.contains(") const") &&
         StartsLikeOne(kInnocentCrates, function);
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

// Behind the qualifiers of a member function that begin at `at`: " const", " &&".
size_t BehindQualifiers(std::string_view name, size_t at) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view qualifier : {" const", " volatile", " &&", " &", " noexcept"}) {
      if (!name.substr(at).starts_with(qualifier)) continue;
      at += qualifier.size();
      found = true;
    }
  }
  return at;
}

// Arguments in parentheses stand at the end, or before "::" and something inside of the function.
std::string WithoutArguments(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    if (name[i] != '(') {
      out += name[i++];
      continue;
    }
    const size_t end = BehindClosing(name, i);
    if (end == std::string_view::npos) break;
    // "(anonymous namespace)::x", "main.(*Type).Method" and "operator()(int)" are names.
    const bool is_name = out.empty() || out.ends_with("::") || out.ends_with('.') ||
                         (out.ends_with("operator") && end == i + 2);
    if (is_name) {
      out += name.substr(i, end - i);
      i = end;
      continue;
    }
    i = BehindQualifiers(name, end);
    if (!name.substr(i).starts_with("::")) break;
  }
  return out;
}

// "[go.shape.string_0]" and "[...]" of Go.
std::string WithoutTypeArguments(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const bool is_behind_name = i > 0 && (std::isalnum(name[i - 1]) != 0 || name[i - 1] == '_') &&
                                !out.ends_with("operator");
    const size_t end =
        name[i] == '[' && is_behind_name ? BehindClosing(name, i) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += name[i++];
    } else {
      i = end;
    }
  }
  return out;
}

// Rust's "<crate::Type>::method" of new compilers is "crate::Type::method" of old ones. Those of
// traits, "<crate::Type as Trait>::method", are the same in both.
std::string WithoutBracketsOfType(std::string name) {
  if (!name.starts_with('<')) return name;
  const size_t end = BehindClosing(name, 0);
  if (end == std::string::npos || name.substr(0, end).contains(" as ")) return name;
  return name.substr(1, end - 2) + name.substr(end);
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
    if (c != ' ' || depth != 0) continue;
    if (name.substr(0, i).ends_with("operator")) break;
    start = i + 1;
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

// What is inside of a function of Go: main.main.func1, main.main.func1.2, main.f.deferwrap1. Of the
// last kind are calls by go and defer, which were functions like others before Go 1.22.
std::string WithoutGoNumbers(std::string_view name) {
  for (const std::string_view part : {".func", ".gowrap", ".deferwrap"}) {
    const size_t at = name.find(part);
    if (at != std::string_view::npos && at + part.size() < name.size() &&
        std::isdigit(name[at + part.size()]) != 0) {
      return std::string(name.substr(0, at)) + ".func";
    }
  }
  return std::string(name);
}

// The place in a build.
std::string PlaceOf(const SignatureFrame& frame) {
  std::string place = frame.build_id.empty() ? PlainModule(frame.module) : frame.build_id;
  std::array<char, 24> offset{};
  std::snprintf(offset.data(), offset.size(), "+0x%llx",
                static_cast<unsigned long long>(frame.offset));
  return place + offset.data();
}

bool HasInnocentModule(const SignatureFrame& frame) {
  return IsAmong(kInnocentModules, PlainModule(frame.module));
}

// Those that give access to what an object holds: of a few instructions, and so inlined by every
// compiler that may. Clang folds such a load into what the caller does with it ("add 8(%rcx),
// %eax"), and then gives it the place of the caller alone. A lambda has lost its operator by now.
bool IsOperatorOfAccess(std::string_view function) {
  for (const std::string_view name : {"operator()", "operator[]", "operator->", "operator*"}) {
    if (!function.ends_with(name)) continue;
    const std::string_view before = function.substr(0, function.size() - name.size());
    return before.empty() || before.ends_with("::");
  }
  return false;
}

struct PlainFrame {
  std::string text;  // what goes into the signature
  bool innocent = false;
  bool start = false;
  bool is_access = false;
  bool is_personality = false;
  bool is_throw = false;
};

PlainFrame PlainOf(const SignatureFrame& frame) {
  const std::string module = PlainModule(frame.module);
  PlainFrame plain;
  if (frame.function.empty()) {
    // Without a name only the build tells one place from another.
    plain.text = PlaceOf(frame);
    plain.innocent = IsAmong(kInnocentModules, module) || module.empty();
    return plain;
  }
  const std::string function = PlainFunction(frame.function);
  plain.text = module + "!" + function;
  plain.innocent = IsInnocent(function, WithoutCloneSuffix(frame.function), module);
  plain.start = IsAmong(kStarts, function);
  plain.is_personality = function == "__gxx_personality_v0";
  plain.is_throw = function == "__cxa_throw" || function == "__cxa_rethrow";
  plain.is_access = IsOperatorOfAccess(function);
  return plain;
}

// Where an exception met noexcept, the table of the function that promised it ended the program. In
// GCC's builds that is found out from within the throw, with the thrower still on the stack; in
// clang's the stack is unwound up to that function first. To throw is no mistake: the thrower is
// left out. `after` is the frame behind __cxa_throw or __cxa_rethrow.
void AcquitThrower(std::vector<PlainFrame>& frames, size_t after) {
  if (after >= frames.size() || frames[after].innocent) return;
  const bool has_caller =
      std::any_of(frames.begin() + static_cast<ptrdiff_t>(after) + 1, frames.end(),
                  [](const PlainFrame& frame) { return !frame.innocent; });
  frames[after].innocent = has_caller;
}

// What goes round in a stack that overflows, in the order of the alphabet: whichever was last.
std::vector<std::string> FindRecursion(const std::vector<std::string>& stack, size_t limit) {
  std::map<std::string_view, size_t> counts;
  for (const std::string& text : stack) ++counts[text];
  std::vector<std::string> found;
  for (const auto& [text, count] : counts) {
    if (count >= kRecursion && found.size() < limit) found.emplace_back(text);
  }
  if (!found.empty()) found.insert(found.begin(), "recursion");
  return found;
}

}  // namespace

std::string PlainFunction(std::string_view function) {
  std::string name(WithoutCloneSuffix(function));
  name = WithoutTypeArguments(name);
  name = WithoutClosureNumbers(name);
  name = WithoutBracketsOfType(WithoutTemplateArguments(name));
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

std::vector<std::string> StableParts(const CrashingStack& stack) {
  std::vector<PlainFrame> frames;
  bool has_met_noexcept = false;
  std::optional<size_t> thrower;
  for (const SignatureFrame& frame : stack.frames) {
    PlainFrame plain = PlainOf(frame);
    if (plain.start) break;
    // Only the search for a handler calls it, and only a table that allows none ends the program
    // from there.
    if (plain.is_personality) has_met_noexcept = true;
    if (plain.is_throw && has_met_noexcept && !thrower) thrower = frames.size() + 1;
    frames.push_back(std::move(plain));
  }
  if (thrower) AcquitThrower(frames, *thrower);
  if (stack.overflowed) {
    std::vector<std::string> to_blame;
    for (const PlainFrame& frame : frames) {
      if (!frame.innocent) to_blame.push_back(frame.text);
    }
    auto recursion = FindRecursion(to_blame, kStableFrames);
    if (!recursion.empty()) return recursion;
  }
  // The object is wrong that the caller asked, and the caller is there in every build. Where a
  // runtime or library called it, the operator is a task of its own.
  if (frames.size() > 1 && !frames[1].innocent && frames[0].is_access) frames[0].innocent = true;
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

std::string StableSignature(const CrashingStack& stack) {
  return SignatureOf("s1", StableParts(stack));
}

std::string ExactSignature(const CrashingStack& stack, std::string_view program) {
  const std::vector<SignatureFrame>& frames = stack.frames;
  std::vector<std::string> places;
  const bool all_innocent = std::all_of(frames.begin(), frames.end(), HasInnocentModule);
  for (const SignatureFrame& frame : frames) {
    if (frame.inlined) continue;
    // The way of every abort through the C library tells nothing.
    if (places.empty() && !all_innocent && HasInnocentModule(frame)) continue;
    places.push_back(PlaceOf(frame));
  }
  auto recursion =
      stack.overflowed ? FindRecursion(places, kExactFrames) : std::vector<std::string>();
  if (!recursion.empty()) {
    places = std::move(recursion);
  } else if (places.size() > kExactFrames) {
    places.resize(kExactFrames);
  }
  places.emplace(places.begin(), program);
  return SignatureOf("e1", places);
}

}  // namespace telem
