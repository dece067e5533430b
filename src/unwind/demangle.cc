#include "unwind/demangle.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "base/text.h"

namespace telem {
namespace {

// Whether a name that was read as C++ is one of Rust's of the old kind: it ends in "::h" and
// sixteen digits of a hash.
bool HasRustHash(std::string_view name) {
  constexpr size_t kHash = 16;
  return name.size() > kHash + 3 && name.substr(name.size() - kHash - 3, 3) == "::h" &&
         IsLowerHex(name.substr(name.size() - kHash), kHash);
}

// The old kind writes what C++ has no letters for as $NAME$, and :: inside of a part as two dots.
std::string UnescapeRust(std::string_view name) {
  struct Escape {
    std::string_view code;
    std::string_view text;
  };
  static constexpr Escape kEscapes[] = {
      {"$SP$", "@"},  {"$BP$", "*"},  {"$RF$", "&"},  {"$LT$", "<"},
      {"$GT$", ">"},  {"$LP$", "("},  {"$RP$", ")"},  {"$C$", ","},
      {"$u20$", " "}, {"$u27$", "'"}, {"$u5b$", "["}, {"$u5d$", "]"},
      {"$u7b$", "{"}, {"$u7d$", "}"}, {"$u7e$", "~"}, {"..", "::"},
  };
  std::string out;
  while (!name.empty()) {
    // A part that would begin with $ has an underscore before it.
    if (name.starts_with("_$") && (out.empty() || out.ends_with("::"))) name.remove_prefix(1);
    bool found = false;
    for (const Escape& escape : kEscapes) {
      if (!name.starts_with(escape.code)) continue;
      out += escape.text;
      name.remove_prefix(escape.code.size());
      found = true;
      break;
    }
    if (found) continue;
    out += name.front();
    name.remove_prefix(1);
  }
  return out;
}

// The grammar of RFC 2603, one function for each rule. Everything is bounded: depth, length, and
// (by both) time.
class RustV0 {
 public:
  explicit RustV0(std::string_view symbol) : text_(symbol) {}

  std::string Run() {
    Path(true);
    return failed_ ? "" : std::move(out_);
  }

 private:
  static constexpr int kMaxDepth = 100;
  static constexpr int kMaxSteps = 10'000;

  // Counts how deep the rules are nested.
  class Nested {
   public:
    explicit Nested(RustV0& owner) : owner_(owner) {
      if (++owner_.depth_ > kMaxDepth || ++owner_.steps_ > kMaxSteps) owner_.failed_ = true;
    }
    ~Nested() { --owner_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    RustV0& owner_;
  };

  void Write(std::string_view text) {
    if (!quiet_ && out_.size() < kMaxReadable) out_ += text;
  }
  void WriteNumber(uint64_t number) {
    std::string digits;
    AppendUnsigned(digits, number);
    Write(digits);
  }

  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char Take() {
    if (at_ >= text_.size()) {
      failed_ = true;
      return '\0';
    }
    return text_[at_++];
  }
  bool TakeIf(char c) {
    if (Peek() != c || failed_) return false;
    ++at_;
    return true;
  }

  uint64_t Base62() {
    if (TakeIf('_')) return 0;
    uint64_t value = 0;
    while (!failed_) {
      const char c = Take();
      if (c == '_') return value < UINT64_MAX ? value + 1 : 0;
      uint64_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<uint64_t>(c - '0');
      } else if (c >= 'a' && c <= 'z') {
        digit = static_cast<uint64_t>(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'Z') {
        digit = static_cast<uint64_t>(c - 'A') + 36;
      } else {
        failed_ = true;
      }
      if (__builtin_mul_overflow(value, 62, &value) ||
          __builtin_add_overflow(value, digit, &value)) {
        failed_ = true;
      }
    }
    return 0;
  }

  uint64_t Disambiguator() { return TakeIf('s') ? Base62() + 1 : 0; }

  std::string_view Identifier() {
    const bool is_punycode = TakeIf('u');
    size_t size = 0;
    if (!TakeIf('0')) {
      if (Peek() < '1' || Peek() > '9') failed_ = true;
      while (!failed_ && Peek() >= '0' && Peek() <= '9') {
        size = size * 10 + static_cast<size_t>(Take() - '0');
        if (size > text_.size()) failed_ = true;
      }
    }
    TakeIf('_');
    if (failed_ || size > text_.size() - at_) {
      failed_ = true;
      return "";
    }
    const std::string_view name = text_.substr(at_, size);
    at_ += size;
    if (is_punycode) Write("punycode:");
    return name;
  }

  // Goes on at an earlier place of the symbol, and then comes back.
  template <typename Rule>
  void Backref(Rule rule) {
    const size_t target = Base62();
    if (failed_ || target >= at_) {
      failed_ = true;
      return;
    }
    if (quiet_) return;
    const size_t back = at_;
    at_ = target;
    rule();
    at_ = back;
  }

  void Path(bool in_value) {
    const Nested nested(*this);
    if (failed_) return;
    switch (Take()) {
      case 'C':
        Disambiguator();
        Write(Identifier());
        break;
      case 'N':
        NestedPath(in_value);
        break;
      case 'M':
        ImplPath();
        Write("<");
        Type();
        Write(">");
        break;
      case 'X':
        ImplPath();
        [[fallthrough]];
      case 'Y':
        Write("<");
        Type();
        Write(" as ");
        Path(false);
        Write(">");
        break;
      case 'I':
        Path(in_value);
        if (in_value) Write("::");
        Write("<");
        for (bool first = true; !failed_ && !TakeIf('E'); first = false) {
          if (!first) Write(", ");
          GenericArgument();
        }
        Write(">");
        break;
      case 'B':
        Backref([&] { Path(in_value); });
        break;
      default:
        failed_ = true;
    }
  }

  void NestedPath(bool in_value) {
    const char space = Take();
    Path(in_value);
    const uint64_t number = Disambiguator();
    const bool is_special = space >= 'A' && space <= 'Z';
    if (!is_special) {
      const size_t mark = out_.size();
      Write("::");
      const std::string_view name = Identifier();
      if (name.empty() && !quiet_) out_.resize(std::min(out_.size(), mark));
      Write(name);
      return;
    }
    Write("::{");
    Write(space == 'C'   ? std::string_view("closure")
          : space == 'S' ? std::string_view("shim")
                         : std::string_view(&space, 1));
    const std::string_view name = Identifier();
    if (!name.empty()) {
      Write(":");
      Write(name);
    }
    Write("#");
    WriteNumber(number);
    Write("}");
  }

  // Where an impl stands says nothing that its type does not.
  void ImplPath() {
    Disambiguator();
    const bool before = quiet_;
    quiet_ = true;
    Path(false);
    quiet_ = before;
  }

  void GenericArgument() {
    if (TakeIf('L')) {
      Lifetime(Base62());
    } else if (TakeIf('K')) {
      Const();
    } else {
      Type();
    }
  }

  void Lifetime(uint64_t index) {
    if (index == 0) {
      Write("'_");
      return;
    }
    Write("'");
    const uint64_t number = index <= binders_ ? binders_ - index : 0;
    Write(std::string(1, static_cast<char>('a' + number % 26)));
  }

  static std::string_view BasicType(char c) {
    switch (c) {
      case 'a':
        return "i8";
      case 'b':
        return "bool";
      case 'c':
        return "char";
      case 'd':
        return "f64";
      case 'e':
        return "str";
      case 'f':
        return "f32";
      case 'h':
        return "u8";
      case 'i':
        return "isize";
      case 'j':
        return "usize";
      case 'l':
        return "i32";
      case 'm':
        return "u32";
      case 'n':
        return "i128";
      case 'o':
        return "u128";
      case 'p':
        return "_";
      case 's':
        return "i16";
      case 't':
        return "u16";
      case 'u':
        return "()";
      case 'v':
        return "...";
      case 'x':
        return "i64";
      case 'y':
        return "u64";
      case 'z':
        return "!";
      default:
        return "";
    }
  }

  void Type() {
    const Nested nested(*this);
    if (failed_) return;
    const char c = Peek();
    if (const std::string_view basic = BasicType(c); !basic.empty()) {
      Take();
      Write(basic);
      return;
    }
    switch (c) {
      case 'A':
      case 'S':
        Take();
        Write("[");
        Type();
        if (c == 'A') {
          Write("; ");
          Const();
        }
        Write("]");
        break;
      case 'T': {
        Take();
        Write("(");
        int count = 0;
        for (; !failed_ && !TakeIf('E'); ++count) {
          if (count > 0) Write(", ");
          Type();
        }
        Write(count == 1 ? ",)" : ")");
        break;
      }
      case 'R':
      case 'Q':
        Take();
        Write("&");
        if (TakeIf('L')) {
          if (const uint64_t lifetime = Base62(); lifetime != 0) {
            Lifetime(lifetime);
            Write(" ");
          }
        }
        if (c == 'Q') Write("mut ");
        Type();
        break;
      case 'P':
      case 'O':
        Take();
        Write(c == 'P' ? "*const " : "*mut ");
        Type();
        break;
      case 'F':
        Take();
        Function();
        break;
      case 'D':
        Take();
        Dynamic();
        break;
      case 'B':
        Take();
        Backref([&] { Type(); });
        break;
      default:
        Path(false);
    }
  }

  uint64_t Binder() { return TakeIf('G') ? Base62() + 1 : 0; }

  void Function() {
    const uint64_t bound = Binder();
    binders_ += bound;
    if (TakeIf('U')) Write("unsafe ");
    if (TakeIf('K')) {
      Write("extern \"");
      Write(TakeIf('C') ? std::string_view("C") : Identifier());
      Write("\" ");
    }
    Write("fn(");
    for (bool first = true; !failed_ && !TakeIf('E'); first = false) {
      if (!first) Write(", ");
      Type();
    }
    Write(")");
    if (!TakeIf('u')) {
      Write(" -> ");
      Type();
    }
    binders_ -= bound;
  }

  // The path of a trait, of which the bracket with its arguments may still be open: what its types
  // are bound to belongs there.
  bool OpenPath() {
    const Nested nested(*this);
    if (failed_) return false;
    bool is_open = false;
    if (TakeIf('B')) {
      Backref([&] { is_open = OpenPath(); });
    } else if (TakeIf('I')) {
      Path(false);
      Write("<");
      for (bool first = true; !failed_ && !TakeIf('E'); first = false) {
        if (!first) Write(", ");
        GenericArgument();
      }
      is_open = true;
    } else {
      Path(false);
    }
    return is_open;
  }

  void Dynamic() {
    const uint64_t bound = Binder();
    binders_ += bound;
    Write("dyn ");
    for (bool first = true; !failed_ && !TakeIf('E'); first = false) {
      if (!first) Write(" + ");
      bool is_open = OpenPath();
      while (TakeIf('p')) {
        Write(is_open ? ", " : "<");
        is_open = true;
        Write(Identifier());
        Write(" = ");
        Type();
      }
      if (is_open) Write(">");
    }
    binders_ -= bound;
    if (!TakeIf('L')) {
      failed_ = true;
    } else if (const uint64_t lifetime = Base62(); lifetime != 0) {
      Write(" + ");
      Lifetime(lifetime);
    }
  }

  void Const() {
    const Nested nested(*this);
    if (failed_) return;
    if (TakeIf('p')) {
      Write("_");
      return;
    }
    if (TakeIf('B')) {
      Backref([&] { Const(); });
      return;
    }
    const char type = Take();
    if (BasicType(type).empty()) {
      failed_ = true;
      return;
    }
    const bool is_negative = TakeIf('n');
    uint64_t value = 0;
    bool is_large = false;
    while (!failed_ && Peek() != '_') {
      const char c = Take();
      const bool is_digit = c >= '0' && c <= '9';
      if (!is_digit && (c < 'a' || c > 'f')) failed_ = true;
      if (value >> 60 != 0) is_large = true;
      value = value * 16 + static_cast<uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
    }
    TakeIf('_');
    if (type == 'b') {
      Write(value != 0 ? "true" : "false");
      return;
    }
    if (is_negative) Write("-");
    if (is_large) {
      Write("_");
    } else {
      WriteNumber(value);
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string out_;
  int depth_ = 0;
  int steps_ = 0;
  uint64_t binders_ = 0;
  bool quiet_ = false;
  bool failed_ = false;
};

std::string DemangleCpp(std::string_view symbol) {
  int status = 0;
  const std::string terminated(symbol);
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(terminated.c_str(), nullptr, nullptr, &status), &std::free);
  return name && status == 0 ? std::string(name.get()) : "";
}

std::string Readable(std::string_view symbol) {
  if (symbol.size() > kMaxMangled) return std::string(symbol);
  std::string name;
  if (symbol.starts_with("_R")) {
    name = DemangleRustV0(symbol);
  } else if (symbol.starts_with("_Z")) {
    // What compilers append to a copy of a function (".llvm.123", ".cold").
    const std::string_view plain = symbol.substr(0, symbol.find(".llvm."));
    name = DemangleCpp(plain);
    if (HasRustHash(name)) name = UnescapeRust(name.substr(0, name.rfind("::")));
  }
  return name.empty() ? std::string(symbol) : name;
}

}  // namespace

std::string DemangleRustV0(std::string_view symbol) {
  if (!symbol.starts_with("_R") || symbol.size() > kMaxMangled) return "";
  return RustV0(symbol.substr(2)).Run();
}

std::string Demangle(std::string_view symbol) {
  std::string name = Readable(symbol);
  if (name.size() > kMaxReadable) {
    name.resize(kMaxReadable);
    name += "…";
  }
  for (char& c : name) {
    if (IsControl(c)) c = '?';
  }
  return name;
}

}  // namespace telem
