// Foreign text made fit for a terminal: nothing that a record, a server or a daemon wrote may move
// the cursor, change colours or type for the user.
#pragma once

#include <string>
#include <string_view>

namespace telem {

// One line: control characters (C0, DEL, and the C1 range of UTF-8) become `?`, and where the text
// is no UTF-8 every byte that is not ASCII.
std::string TerminalLine(std::string_view text);

// The same for text of several lines: newlines and tabs stay.
std::string TerminalBlock(std::string_view text);

// JSON of ours, where control characters below 0x20 are escaped already: escapes DEL and C1 too.
std::string TerminalJson(std::string_view json);

}  // namespace telem
