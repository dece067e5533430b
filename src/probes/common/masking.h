// Takes out of a text what says who or where somebody is: addresses, names of users and machines,
// serial numbers. For texts of the kernel and of services, which were written for their own
// administrator's eyes.
#pragma once

#include <string>
#include <string_view>

namespace telem {

// `text` with every find of the rules (masking.cc) replaced by a word in angle brackets that says
// what stood there, and with bytes that are not printable ASCII replaced by `?` (newline and tab
// stay). `host_name`: of the machine that wrote it, which is masked, too, with or without its
// domain; empty: not known.
std::string MaskPersonalData(std::string_view text, std::string_view host_name = {});

// The name of this machine, as uname(2) has it when it is first asked for.
const std::string& OwnHostName();

}  // namespace telem
