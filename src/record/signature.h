// Signatures: short names under which records of the same bug meet. docs/signatures.md says what
// goes into which of them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace telem {

// `kind` (such as "s1": what went in and the version of the rules), a colon, and 16 hex digits: the
// FNV-1a hash of 64 bits of `kind` and of each of `parts`, all with a newline behind them.
std::string SignatureOf(std::string_view kind, std::span<const std::string> parts);

}  // namespace telem
