#include "collector/collector_settings.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

std::string Mistakes(std::string_view text) {
  const auto settings = ParseCollectorSettings(text, "F");
  return settings ? "" : settings.error().message;
}

TEST(CollectorSettingsTest, ListensOnThisMachineOnlyUnlessToldOtherwise) {
  const auto settings = ParseCollectorSettings("", "F");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->listen, "127.0.0.1:8080");
  EXPECT_EQ(settings->max_payload, 512u);
  EXPECT_EQ(settings->tids.size(), 1u);
}

TEST(CollectorSettingsTest, TakesEveryKey) {
  const auto settings = ParseCollectorSettings(
      "# comment\n[settings]\nlisten = [::1]:0\nstore=sqlite:/tmp/x.db\ntid = a, b\n"
      "max_payload = 1024\n",
      "F");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->listen, "[::1]:0");
  EXPECT_EQ(settings->store, "sqlite:/tmp/x.db");
  EXPECT_EQ(settings->tids, std::vector<std::string>({"a", "b"}));
  EXPECT_EQ(settings->max_payload, 1024u);
}

TEST(CollectorSettingsTest, NamesFileLineAndKeyOfEachMistake) {
  EXPECT_EQ(Mistakes("[settings]\nlisten = 8080\nstore = x\nnonsense\nmax_payload = 0\n"),
            "F:2: listen: '8080' is not ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080\n"
            "F:3: store: 'x' is not sqlite: and an absolute path\n"
            "F:4: neither 'key = value' nor a comment\n"
            "F:5: max_payload: '0' is not a number of KiB from 1 to 1024");
  EXPECT_EQ(Mistakes("[settings]\nlistne = x\n"),
            "F:2: listne: unknown key; there are listen, store, tid and max_payload");
  EXPECT_EQ(Mistakes("[settings]\ntid =\n"),
            "F:2: tid: '' is not a list of telemetry ids with commas between");
}

TEST(CollectorSettingsTest, RefusesOddValues) {
  for (const char* line :
       {"tid = a,,b", "tid = ,", "tid = a b", "max_payload = 1025", "max_payload = 1k",
        "max_payload = -1", "listen = localhost:80", "listen = 1.2.3.4:65536", "listen = ::1:80",
        "store = sqlite:relative.db", "store = sqlite:", "store = clickhouse://x"}) {
    EXPECT_NE(Mistakes(std::string("[settings]\n") + line), "") << line;
  }
}

}  // namespace
}  // namespace telem
