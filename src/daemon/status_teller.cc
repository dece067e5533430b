#include "daemon/status_teller.h"

#include <unistd.h>

#include "base/flat_json.h"
#include "base/text.h"

namespace telem {
namespace {

// "https://host:port", without what may be a secret.
std::string HostOf(std::string_view url) {
  const size_t start = url.find("://") + 3;
  std::string_view host = url.substr(start);
  host = host.substr(0, host.find_first_of("/?#"));
  if (const size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  return std::string(url.substr(0, start)) + std::string(host);
}

}  // namespace

std::string StatusTeller::MakeStatus() const {
  FlatJsonWriter json;
  const auto add_count = [&](std::string_view name, uint64_t value) {
    json.Add(name, static_cast<int64_t>(value));
  };
  const auto add_time = [&](const char* name, std::optional<WallTime> time) {
    if (time) {
      json.Add(name, EpochSeconds(*time));
    } else {
      json.AddNull(name);
    }
  };
  const Clock& clock = parts_.clock;
  ConsentWatch& consent = parts_.consent;
  const Counters& counters = parts_.counters;
  const Delivery& delivery = parts_.delivery;
  const MachineId& machine_id = parts_.machine_id;
  const Settings& settings = parts_.settings;
  json.Add("version", TELEM_VERSION).Add("pid", static_cast<int64_t>(::getpid()));
  add_time("started", parts_.started);
  add_time("counting_since", parts_.counting_since);
  json.Add("collecting", consent.IsGiven());
  add_time("collecting_since",
           consent.IsGiven() ? std::optional(parts_.consent_follower.seen_since()) : std::nullopt);
  json.Add("consent", settings.consent == ConsentMode::kOptIn ? "opt-in" : "opt-out")
      .Add("delivery_enabled", settings.record_server_delivery_enabled)
      .Add("server", settings.server)
      .Add("server_protocol", settings.server_protocol)
      .Add("machine_id", machine_id.value());
  add_time("machine_id_created",
           machine_id.is_static() ? std::nullopt : std::optional(machine_id.created()));
  json.Add("machine_id_static", machine_id.is_static());

  for (const auto& [name, member] : kCounterNames) add_count(name, counters.*member);
  add_count("refused_rate_limited", counters.dropped);
  add_count("waiting", CountWaiting());
  add_count("spool_bytes", parts_.spool.bytes());
  json.Add("spool_max_kib", settings.spool_max_size);
  std::optional<WallTime> oldest_since;
  if (const auto since = parts_.spool.OldestSince()) {
    oldest_since =
        clock.Now() - std::chrono::seconds(WaitingSeconds(clock.Monotonic()) - int64_t{*since});
  }
  add_time("oldest_waiting", oldest_since);
  add_count("under_way", delivery.under_way());
  add_time("last_success", delivery.last_success());
  if (const auto& error = delivery.last_error()) {
    json.Add("last_error", error->text);
    add_time("last_error_time", error->time);
  } else {
    json.AddNull("last_error").AddNull("last_error_time");
  }
  const auto at_wall = [&](std::optional<MonotonicTime> when) -> std::optional<WallTime> {
    if (!when) return std::nullopt;
    return WallTimeAt(clock, *when);
  };
  json.Add("failing", delivery.is_failing());
  add_time("limited_until", at_wall(delivery.limited_until()));
  add_time("next_attempt", at_wall(delivery.next_attempt()));
  return json.Finish();
}

std::string StatusTeller::MakeSentence() const {
  const Settings& settings = parts_.settings;
  ConsentWatch& consent = parts_.consent;
  if (consent.IsWithheld()) return "Collecting nothing: the user has opted out.";
  if (!consent.IsGiven()) return "Collecting nothing: the consent markers cannot be looked at.";
  if (settings.server.empty()) return "Records stay on this machine: no server is configured.";
  if (!settings.record_server_delivery_enabled) {
    return "Records stay on this machine: delivery is switched off.";
  }
  std::string sentence;
  AppendUnsigned(sentence, parts_.counters.delivered);
  sentence += " records delivered to " + HostOf(settings.server) + ", ";
  AppendUnsigned(sentence, CountWaiting());
  sentence += " waiting";
  const auto& error = parts_.delivery.last_error();
  if (error && error->time >= parts_.delivery.last_success()) {
    sentence += ": " + PrintableAscii(error->text, 100);
  }
  return sentence;
}

size_t StatusTeller::CountWaiting() const {
  return parts_.spool.waiting() + parts_.delivery.not_in_spool_list();
}

}  // namespace telem
