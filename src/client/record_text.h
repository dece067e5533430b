// What the public API does not show: the bytes of a record. For programs of this project that link
// the library statically (telem-record-gen --echo).
#pragma once

#include <string>

#include "telemetry.h"

namespace telem {

// The record as it stands in a spool file: fifteen header lines, payload, newline.
std::string TextOf(const telem_ref& ref);

}  // namespace telem
