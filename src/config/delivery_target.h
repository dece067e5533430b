// What telem-deliver is to know of the settings.
#pragma once

#include "config/settings.h"
#include "record/delivery_codec.h"

namespace telem {

inline DeliverySettings DeliveryTargetOf(const Settings& settings) {
  return {.server = settings.server,
          .server_protocol = settings.server_protocol,
          .tidheader = settings.tidheader,
          .cainfo = settings.cainfo,
          .clientcert = settings.clientcert,
          .clientkey = settings.clientkey,
          .proxy = settings.proxy,
          .otlp_headers = settings.otlp_headers};
}

}  // namespace telem
