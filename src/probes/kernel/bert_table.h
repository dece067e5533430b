// What firmware tells of an error that ended the boot before: the data of the ACPI table BERT, one
// or more generic error status blocks (ACPI 6.5, 18.3.2.7.1; the sections are those of UEFI 2.10,
// appendix N).
#pragma once

#include <string>
#include <string_view>

namespace telem {

// Whether there is anything in it: firmware without an error leaves it zero.
bool HasError(std::string_view table);

// The severity of each generic error status block, and behind it the kind, severity, source and
// address of each error in it, a line each; as far as `table` holds such blocks. Never fails.
std::string DescribeErrors(std::string_view table);

// The payload of a record: `table` in base64, a newline after every 76 characters, then the
// description. At most `limit` bytes: of a table that is larger as much as fits, and how many bytes
// are left out.
std::string WriteBertPayload(std::string_view table, size_t limit);

}  // namespace telem
