#include "ctl/status_text.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "ctl/terminal_text.h"
#include "ctl/time_text.h"

namespace telem {
namespace {

constexpr size_t kNameWidth = 15;

constexpr const char* kGreen = "\x1b[32m";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kRed = "\x1b[31m";

std::string Colored(std::string_view text, const char* color, bool colors) {
  if (!colors) return std::string(text);
  return color + std::string(text) + "\x1b[0m";
}

void AppendRow(std::string& out, std::string_view name, std::string_view value) {
  out += "  ";
  out += name;
  out.append(kNameWidth - name.size(), ' ');
  out += value;
  out += '\n';
}

class StatusPrinter {
 public:
  StatusPrinter(const StatusFields& status, uint64_t now, bool colors)
      : status_(status), now_(now), colors_(colors) {}

  std::string Print() {
    out_ = Headline() + "\n";
    Row("version", Get("version") + ", pid " + Get("pid"));
    Row("consent", Consent());
    Row("machine id", MachineId());
    // The counters outlive the process.
    if (Number("counting_since")) Row("counted since", Ago("counting_since", ""));
    Row("found at start", Get("found"));
    for (const char* name : {"accepted", "delivered"}) Row(name, Get(name));
    Row("waiting", Waiting());
    for (const char* name : {"rejected", "dropped", "evicted", "expired", "local"}) {
      Row(name, Get(name));
    }
    Row("refused", Refused());
    Row("frames", Get("frames"));
    Row("spool", Spool());
    Row("last success", Ago("last_success", "none"));
    Row("last error", LastError());
    Row("next attempt", NextAttempt());
    return std::move(out_);
  }

 private:
  void Row(std::string_view name, std::string_view value) { AppendRow(out_, name, value); }

  std::string Get(const std::string& name) const {
    const auto at = status_.find(name);
    if (at == status_.end() || at->second.empty()) return "-";
    return TerminalLine(at->second);
  }

  bool Is(const std::string& name) const { return Get(name) == "true"; }

  std::optional<uint64_t> Number(const std::string& name) const { return ParseUnsigned(Get(name)); }

  bool IsNull(const std::string& name) const {
    const std::string value = Get(name);
    return value == "null" || value == "-";
  }

  // "Mon 2026-11-23 14:53:19 UTC (12 min ago)"
  std::string Ago(const std::string& name, const char* none) const {
    const auto time = Number(name);
    if (!time) return none;
    std::string text = LocalTimeText(*time);
    if (*time <= now_) text += " (" + DurationText(now_ - *time) + " ago)";
    return text;
  }

  std::string Headline() const {
    std::string line;
    if (Is("collecting")) {
      line = Colored("collecting", kGreen, colors_) + " since ";
    } else {
      const bool wants_opt_in = Get("consent") == "opt-in";
      line = Colored("not collecting", kYellow, colors_) +
             (wants_opt_in ? " (nobody has opted in)" : " (opted out)") + ", running since ";
    }
    const auto since = Number(Is("collecting") ? "collecting_since" : "started");
    line += since ? LocalTimeText(*since) : "-";
    if (IsNull("server")) return line + "; no server is set, records stay on this machine";
    if (!Is("delivery_enabled")) {
      return line + "; delivery is switched off, records stay on this machine";
    }
    return line + (Is("collecting") ? "; sending to " : "; the server is ") + Get("server") + " (" +
           Get("server_protocol") + ")";
  }

  std::string Consent() const {
    std::string mode = Get("consent");
    if (mode == "opt-out") return "opt-out: collects unless someone opted out";
    if (mode == "opt-in") return "opt-in: collects only where someone opted in";
    return mode;
  }

  std::string MachineId() const {
    std::string id = Get("machine_id");
    if (Is("machine_id_static")) return id + ", static";
    const auto created = Number("machine_id_created");
    if (!created) return id;
    return id + ", " + DurationText(*created <= now_ ? now_ - *created : 0) + " old";
  }

  std::string Waiting() const {
    std::string text = Get("waiting");
    if (const auto under_way = Number("under_way"); under_way && *under_way > 0) {
      text += ", " + std::to_string(*under_way) + " of them under way";
    }
    if (Number("oldest_waiting")) text += ", oldest of " + Ago("oldest_waiting", "");
    return text;
  }

  std::string Refused() const {
    static constexpr std::array<std::pair<const char*, const char*>, 7> kReasons = {
        {{"refused_malformed", "malformed"},
         {"refused_too_large", "too large"},
         {"refused_spool_full", "spool full"},
         {"refused_opted_out", "opted out"},
         {"refused_rate_limited", "rate limited"},
         {"refused_io_error", "I/O error"},
         {"closed_incomplete", "closed incomplete"}}};
    uint64_t sum = 0;
    std::string reasons;
    for (const auto& [name, reason] : kReasons) {
      const uint64_t count = Number(name).value_or(0);
      if (count == 0) continue;
      sum += count;
      reasons += (reasons.empty() ? " (" : ", ") + std::to_string(count) + " " + reason;
    }
    return std::to_string(sum) + (reasons.empty() ? "" : reasons + ")");
  }

  std::string Spool() const {
    const auto bytes = Number("spool_bytes");
    if (!bytes) return "-";
    std::string text = std::to_string((*bytes + 1023) / 1024) + " KiB";
    if (Get("spool_max_kib") == "-1") return text + ", no limit";
    return text + " of " + Get("spool_max_kib") + " KiB";
  }

  std::string LastError() const {
    if (IsNull("last_error")) return "none";
    const std::string text = Get("last_error");
    return Number("last_error_time") ? text + ", " + Ago("last_error_time", "") : text;
  }

  std::string NextAttempt() const {
    const auto time = Number("next_attempt");
    if (!time) return "none";
    if (*time <= now_) return "now";
    return LocalTimeText(*time) + " (in " + DurationText(*time - now_) + ")";
  }

  const StatusFields& status_;
  uint64_t now_;
  bool colors_;
  std::string out_;
};

}  // namespace

std::string StatusText(const StatusFields& status, uint64_t now, bool colors) {
  return StatusPrinter(status, now, colors).Print();
}

std::string StoppedText(const Stopped& stopped, bool colors) {
  std::string out = Colored("not collecting", kRed, colors) + ": telemd does not run\n";
  AppendRow(out, "why", TerminalLine(stopped.why));
  AppendRow(out, "consent", stopped.is_consent_given ? "given" : "not given");
  AppendRow(out, "server",
            stopped.server.empty() ? "none is set, records stay on this machine"
                                   : TerminalLine(stopped.server) + " (" +
                                         TerminalLine(stopped.server_protocol) + ")");
  AppendRow(out, "waiting",
            (stopped.waiting ? std::to_string(*stopped.waiting) : std::string("unknown number")) +
                " in " + TerminalLine(stopped.spool_dir));
  return out + "start it with 'telemd', as root or with a configuration of your own\n";
}

}  // namespace telem
