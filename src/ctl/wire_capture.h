// What really goes over the wire for a record: telem-deliver itself sends it, to a server that
// stands in this process. Nothing leaves the machine, and no name is looked up.
//
// telem-deliver is told to go through a SOCKS proxy (RFC 1928), which is us: behind that handshake
// it writes what it would write to the server. An https:// server is taken as http://, so that the
// request can be seen: over TLS the same request goes encrypted, and in HTTP/2 in its binary form.
// Where a proxy is set, this is what the server gets from it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "record/delivery_codec.h"

namespace telem {

// Where telem-deliver lies, seen from the program that runs.
std::string DeliverProgram();

// The request for one record, byte for byte. kUnavailable when there is none, with the reason.
Result<std::string> CaptureRequest(const std::string& deliver_program, DeliverySettings settings,
                                   const DeliveryRecord& record);

}  // namespace telem
