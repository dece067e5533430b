#include "ctl/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace telem {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kNow = 1795445599;  // Mon 2026-11-23 14:53:19 UTC

class StatusTextTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }

  static StatusFields Collecting() {
    return {{"version", "3.0.0"},
            {"pid", "4711"},
            {"started", "1795445479"},
            {"collecting", "true"},
            {"collecting_since", "1795445539"},
            {"consent", "opt-out"},
            {"delivery_enabled", "true"},
            {"server", "https://collector.example/v2/collector"},
            {"server_protocol", "v2"},
            {"machine_id", "0123456789abcdef0123456789abcdef"},
            {"machine_id_created", "1795359199"},
            {"machine_id_static", "false"},
            {"frames", "17"},
            {"refused_malformed", "2"},
            {"refused_too_large", "0"},
            {"refused_spool_full", "1"},
            {"refused_opted_out", "0"},
            {"refused_rate_limited", "0"},
            {"refused_io_error", "0"},
            {"closed_incomplete", "0"},
            {"found", "3"},
            {"accepted", "14"},
            {"delivered", "9"},
            {"waiting", "5"},
            {"rejected", "1"},
            {"dropped", "0"},
            {"evicted", "0"},
            {"expired", "2"},
            {"local", "0"},
            {"spool_bytes", "20480"},
            {"spool_max_kib", "5120"},
            {"oldest_waiting", "1795445299"},
            {"under_way", "2"},
            {"last_success", "1795445589"},
            {"last_error", "503 busy"},
            {"last_error_time", "1795445594"},
            {"next_attempt", "1795445659"}};
  }

  static std::string Headline(const StatusFields& status) {
    const std::string text = StatusText(status, kNow, false);
    return text.substr(0, text.find('\n'));
  }
};

TEST_F(StatusTextTest, TellsEverythingInOneView) {
  EXPECT_EQ(StatusText(Collecting(), kNow, false),
            "collecting since Mon 2026-11-23 14:52:19 UTC; sending to "
            "https://collector.example/v2/collector (v2)\n"
            "  version        3.0.0, pid 4711\n"
            "  consent        opt-out: collects unless someone opted out\n"
            "  machine id     0123456789abcdef0123456789abcdef, 24 h old\n"
            "  found at start 3\n"
            "  accepted       14\n"
            "  delivered      9\n"
            "  waiting        5, 2 of them under way, oldest of Mon 2026-11-23 14:48:19 UTC "
            "(5 min ago)\n"
            "  rejected       1\n"
            "  dropped        0\n"
            "  evicted        0\n"
            "  expired        2\n"
            "  local          0\n"
            "  refused        3 (2 malformed, 1 spool full)\n"
            "  frames         17\n"
            "  spool          20 KiB of 5120 KiB\n"
            "  last success   Mon 2026-11-23 14:53:09 UTC (10 s ago)\n"
            "  last error     503 busy, Mon 2026-11-23 14:53:14 UTC (5 s ago)\n"
            "  next attempt   Mon 2026-11-23 14:54:19 UTC (in 60 s)\n");
}

TEST_F(StatusTextTest, SaysFirstWhyNothingIsCollectedOrSent) {
  StatusFields status = Collecting();
  status["server"] = "";
  EXPECT_EQ(Headline(status),
            "collecting since Mon 2026-11-23 14:52:19 UTC; no server is set, records stay on this "
            "machine");
  status = Collecting();
  status["delivery_enabled"] = "false";
  EXPECT_THAT(Headline(status), HasSubstr("; delivery is switched off, records stay"));
  status = Collecting();
  status["collecting"] = "false";
  EXPECT_THAT(Headline(status),
              StartsWith("not collecting (opted out), running since Mon 2026-11-23 14:51:19"));
  EXPECT_THAT(Headline(status), HasSubstr("; the server is https://collector.example/"));
  status["consent"] = "opt-in";
  EXPECT_THAT(Headline(status), StartsWith("not collecting (nobody has opted in), running since"));
}

TEST_F(StatusTextTest, ShowsWhatIsNotThereAsNone) {
  StatusFields status = Collecting();
  for (const char* name : {"last_success", "last_error", "last_error_time", "next_attempt",
                           "oldest_waiting", "machine_id_created"}) {
    status[name] = "null";
  }
  status["machine_id_static"] = "true";
  status["under_way"] = "0";
  status["spool_max_kib"] = "-1";
  const std::string text = StatusText(status, kNow, false);
  EXPECT_THAT(text, HasSubstr("  machine id     0123456789abcdef0123456789abcdef, static\n"));
  EXPECT_THAT(text, HasSubstr("  waiting        5\n"));
  EXPECT_THAT(text, HasSubstr("  spool          20 KiB, no limit\n"));
  EXPECT_THAT(text, HasSubstr("  last success   none\n"));
  EXPECT_THAT(text, HasSubstr("  last error     none\n"));
  EXPECT_THAT(text, HasSubstr("  next attempt   none\n"));
}

TEST_F(StatusTextTest, DoesWithoutFieldsThatAnotherVersionLeavesOut) {
  const std::string text = StatusText({}, kNow, false);
  EXPECT_THAT(text, HasSubstr("  accepted       -\n"));
  EXPECT_THAT(text, HasSubstr("  last error     none\n"));
}

TEST_F(StatusTextTest, KeepsForeignTextFromTheTerminal) {
  StatusFields status = Collecting();
  status["last_error"] = "\x1b[31m\nfake row\x9b";
  status["server"] = "http://\a";
  const std::string text = StatusText(status, kNow, false);
  EXPECT_THAT(text, HasSubstr("  last error     ?[31m?fake row?, Mon"));
  EXPECT_THAT(text, HasSubstr("sending to http://? (v2)\n"));
}

TEST_F(StatusTextTest, ColorsTellWhetherItCollects) {
  EXPECT_THAT(StatusText(Collecting(), kNow, true), StartsWith("\x1b[32mcollecting\x1b[0m since "));
  StatusFields status = Collecting();
  status["collecting"] = "false";
  EXPECT_THAT(StatusText(status, kNow, true), StartsWith("\x1b[33mnot collecting\x1b[0m (opted"));
  EXPECT_THAT(StoppedText({}, true), StartsWith("\x1b[31mnot collecting\x1b[0m: telemd"));
}

TEST_F(StatusTextTest, TellsWhatIsKnownWithoutTelemd) {
  EXPECT_EQ(StoppedText({.why = "nobody\x1b is there",
                         .is_consent_given = true,
                         .server = "https://c.example/",
                         .server_protocol = "v2",
                         .spool_dir = "/spool",
                         .waiting = 3},
                        false),
            "not collecting: telemd does not run\n"
            "  why            nobody? is there\n"
            "  consent        given\n"
            "  server         https://c.example/ (v2)\n"
            "  waiting        3 in /spool\n"
            "start it with 'telemd', as root or with a configuration of your own\n");
  EXPECT_THAT(StoppedText({}, false), HasSubstr("waiting        unknown number in"));
}

TEST_F(StatusTextTest, SaysSinceWhenItCounts) {
  StatusFields status = Collecting();
  status["counting_since"] = "1795359199";
  EXPECT_THAT(StatusText(status, kNow, false),
              HasSubstr("  counted since  Sun 2026-11-22 14:53:19 UTC (24 h ago)\n"));
}

}  // namespace
}  // namespace telem
