// What a server's answer means. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "record/delivery_codec.h"

namespace telem {

// 200, 201: accepted. 400 405 406 409 411 413 414 415 422 431: refused for good. Everything else,
// and no answer (0): later.
//
// With otlp any 2xx is accepted: the specification asks for 200, but there are servers that say
// 204, and its own exporters take that; to wait would store the same records there again and again.
Outcome OutcomeOf(uint32_t status, Protocol protocol);

// The server's words for people: "message" of a JSON object (google.rpc.Status has one, too), else
// the first line of the body.
std::string WordsOf(std::string_view body);

// What the answer to an otlp request that was taken says against it (partialSuccess): how many log
// records were rejected, and the server's words. Empty when all is well. It does not say which, so
// all of the request are delivered.
std::string PartialSuccessOf(std::string_view body);

}  // namespace telem
