// What telem-deliver is to know of the settings.
#pragma once

#include "config/settings.h"
#include "record/delivery_codec.h"

namespace telem {

inline DeliverySettings DeliveryTargetOf(const Settings& settings) {
  return {.server = settings.server,
          .server_protocol = settings.server_protocol,
          .tidheader = settings.tidheader,
          .cainfo = settings.cainfo};
}

}  // namespace telem
