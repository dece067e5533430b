// What a server's answer to one record means. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "record/delivery_codec.h"

namespace telem {

// 200, 201: accepted. 400 405 406 409 411 413 414 415 422 431: refused for good. Everything else,
// and no answer (0): later.
Outcome OutcomeOf(uint32_t status);

// The server's words for people: "message" of a JSON object, else the first line of the body.
std::string WordsOf(std::string_view body);

}  // namespace telem
