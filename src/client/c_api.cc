// The C API: telemetry.h says what each function does.
#include <pthread.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "base/clock.h"
#include "client/client_settings.h"
#include "client/record_builder.h"
#include "client/record_text.h"
#include "client/sender.h"
#include "config/consent.h"
#include "record/classification.h"
#include "record/frame_codec.h"
#include "record/headers.h"
#include "record/record_id.h"
#include "telemetry.h"

#define TELEM_EXPORT extern "C" __attribute__((visibility("default")))

struct telem_record {
  telem::RecordBuilder builder;
};

namespace telem {
namespace {

// The host program is held up for a second at most: of that, this is for what comes before the
// wait, and for the timers of the kernel, which are late by a tick (10 ms at most).
constexpr std::chrono::milliseconds kSendReserve(20);
constexpr std::chrono::milliseconds kSendLimit = std::chrono::seconds(1) - kSendReserve;

// Runs `call` as a guest should: no exception gets out, and a thread that the host cancels is
// cancelled behind the call, not with our descriptors and locks half way.
template <typename Call>
int AsGuest(Call call) noexcept {
  int before = PTHREAD_CANCEL_ENABLE;
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  int result = -EIO;
  try {
    result = call();
  } catch (const std::bad_alloc&) {
    result = -ENOMEM;
  } catch (...) {
    result = -EIO;
  }
  ::pthread_setcancelstate(before, nullptr);
  return result;
}

int NegativeErrno(const Status& status) { return status ? 0 : -status.error().err; }

// `text` up to its NUL. A text above the limit is cut behind it, which makes it too long for those
// who check, without looking for an end that may be far away.
std::string_view Bounded(const char* text, size_t limit) {
  return {text, ::strnlen(text, limit + 1)};
}

}  // namespace

std::string TextOf(const telem_ref& ref) {
  return ref.record->builder.HeaderText() + ref.record->builder.payload() + '\n';
}

}  // namespace telem

TELEM_EXPORT int tm_set_config_file(const char* c_file) {
  return telem::AsGuest([&] {
    if (c_file == nullptr || c_file[0] != '/') return -EINVAL;
    struct stat st;
    if (::stat(c_file, &st) != 0) return -ENOENT;
    if (!S_ISREG(st.st_mode)) return -EINVAL;
    telem::ChooseConfigFile(c_file);
    return 0;
  });
}

TELEM_EXPORT int tm_create_record(telem_ref** t_ref, uint32_t severity, const char* classification,
                                  uint32_t payload_version) {
  return telem::AsGuest([&] {
    if (t_ref == nullptr || classification == nullptr) return -EINVAL;
    auto builder = telem::RecordBuilder::Create(
        severity, telem::Bounded(classification, telem::kMaxClassification), payload_version,
        telem::ThisHost(), telem::SystemClock().Now());
    if (!builder) return -EINVAL;
    auto ref = std::make_unique<telem_ref>();
    ref->record = new telem_record{std::move(*builder)};
    *t_ref = ref.release();
    return 0;
  });
}

TELEM_EXPORT int tm_set_event_id(telem_ref* t_ref, const char* event_id) {
  return telem::AsGuest([&] {
    if (t_ref == nullptr || t_ref->record == nullptr || event_id == nullptr) return -EINVAL;
    const auto set = t_ref->record->builder.SetEventId(telem::Bounded(event_id, telem::kHexIdSize));
    return set ? 0 : -EINVAL;
  });
}

TELEM_EXPORT int tm_set_payload(telem_ref* t_ref, const char* payload) {
  return telem::AsGuest([&] {
    if (t_ref == nullptr || t_ref->record == nullptr || payload == nullptr) return -EINVAL;
    const auto set = t_ref->record->builder.SetPayload(telem::Bounded(payload, telem::kMaxPayload));
    return set ? 0 : -EINVAL;
  });
}

TELEM_EXPORT int tm_send_record(telem_ref* t_ref) {
  return telem::AsGuest([&] {
    if (t_ref == nullptr || t_ref->record == nullptr) return -EINVAL;
    const telem::Settings& settings = telem::CurrentSettings();
    if (!telem::IsCollectionAllowed(settings)) return -ECONNREFUSED;
    const telem::RecordBuilder& builder = t_ref->record->builder;
    return telem::NegativeErrno(telem::SendFrame(
        settings.socket_path, telem::EncodeFrame(builder.HeaderText(), builder.payload()),
        telem::kSendLimit));
  });
}

TELEM_EXPORT void tm_free_record(telem_ref* t_ref) {
  if (t_ref == nullptr) return;
  delete t_ref->record;
  delete t_ref;
}

TELEM_EXPORT int tm_is_opted_in(void) {
  const int allowed =
      telem::AsGuest([] { return telem::IsCollectionAllowed(telem::CurrentSettings()) ? 1 : 0; });
  // Where the answer is not known, nothing is collected.
  return allowed == 1 ? 1 : 0;
}
