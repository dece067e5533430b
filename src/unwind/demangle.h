// Names of functions as compilers write them for linkers, made readable again.
#pragma once

#include <string>
#include <string_view>

namespace telem {

// Symbols longer than that are left as they are: a name of this kind can be made to unfold without
// end.
inline constexpr size_t kMaxMangled = 2048;
// A readable name is cut there.
inline constexpr size_t kMaxReadable = 1024;

// C++ (_Z…, Itanium ABI), Rust of both kinds (_ZN…17h…E, _R…) without hashes and crate numbers.
// Anything else, such as names of C and Go, comes back as it is. Control characters become `?`.
std::string Demangle(std::string_view symbol);

// Rust's symbols of version 0 (RFC 2603); empty where `symbol` is none.
std::string DemangleRustV0(std::string_view symbol);

}  // namespace telem
