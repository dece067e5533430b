#include "config/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/config_file.h"

namespace telem {
namespace {

class SettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-settings-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    file_ = folder_ + "/telemetrics.conf";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& path, std::string_view text) { std::ofstream(path) << text; }

  LoadedSettings Load(std::string_view text) {
    Write(file_, text);
    auto loaded = LoadSettings(file_);
    EXPECT_TRUE(loaded);
    return std::move(*loaded);
  }

  std::string folder_;
  std::string file_;
};

TEST_F(SettingsTest, HasTheDefaultsOf1xWhenNothingIsWritten) {
  const Settings settings = Load("").settings;
  EXPECT_EQ(settings.server, "");
  EXPECT_EQ(settings.socket_path, "/run/telem-0");
  EXPECT_EQ(settings.record_expiry, 1200);
  EXPECT_EQ(settings.spool_max_size, 5120);
  EXPECT_EQ(settings.record_burst_limit, 1000);
  EXPECT_EQ(settings.tidheader, "X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f");
}

TEST_F(SettingsTest, ReadsValuesCommentsAndEscapedSpaces) {
  const Settings settings = Load(
                                "# a comment\n; another\n\n[settings]\n"
                                "server=https://collector.example/v2/collector\n"
                                " tidheader = X-Telemetry-TID:\\sabc \r\n"
                                "rate_limit_enabled = false\nspool_sync = always\n"
                                "byte_burst_limit = -1")
                                .settings;
  EXPECT_EQ(settings.server, "https://collector.example/v2/collector");
  EXPECT_EQ(settings.tidheader, "X-Telemetry-TID: abc");
  EXPECT_FALSE(settings.rate_limit_enabled);
  EXPECT_EQ(settings.spool_sync, SpoolSync::kAlways);
}

TEST_F(SettingsTest, ReadsHowRecordsReachTheServer) {
  const Settings defaults = Load("").settings;
  EXPECT_EQ(defaults.server_protocol, "v2");
  EXPECT_EQ(defaults.clientcert + defaults.clientkey + defaults.proxy + defaults.otlp_headers, "");
  const auto loaded = Load(
      "[settings]\nserver_protocol = otlp\nclientcert = /a/cert.pem\nclientkey = /a/key.pem\n"
      "proxy = socks5h://127.0.0.1:1080\notlp_headers = Authorization=Bearer%20x,scope=a\\sb\n");
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.settings.server_protocol, "otlp");
  EXPECT_EQ(loaded.settings.clientcert, "/a/cert.pem");
  EXPECT_EQ(loaded.settings.clientkey, "/a/key.pem");
  EXPECT_EQ(loaded.settings.proxy, "socks5h://127.0.0.1:1080");
  EXPECT_EQ(loaded.settings.otlp_headers, "Authorization=Bearer%20x,scope=a b");
}

TEST_F(SettingsTest, NamesFileLineKeyAndWhatIsAllowed) {
  const auto loaded = Load("[settings]\n\nrate_limit_enabled = maybe\nrecord_expiry = abc\n");
  ASSERT_EQ(loaded.errors.size(), 2u);
  EXPECT_EQ(loaded.errors[0], file_ + ":3: rate_limit_enabled: 'maybe' is not true or false");
  EXPECT_EQ(loaded.errors[1], file_ + ":4: record_expiry: 'abc' is not a whole number");
  EXPECT_TRUE(loaded.settings.rate_limit_enabled);
  EXPECT_FALSE(LoadSettingsStrictly(file_));
}

// The log, which more people read than the configuration, had the token in it.
TEST_F(SettingsTest, RepeatsNoValueThatMayBeASecret) {
  for (const char* line : {"otlp_headers = authorization: Bearer s3cret", "tidheader = s3cret",
                           "proxy = user:s3cret@proxy:3128"}) {
    const auto loaded = Load(std::string("[settings]\n") + line + "\n");
    ASSERT_EQ(loaded.errors.size(), 1u) << line;
    EXPECT_TRUE(loaded.errors[0].contains(": its value is not ")) << loaded.errors[0];
    EXPECT_FALSE(loaded.errors[0].contains("s3cret")) << loaded.errors[0];
  }
}

TEST_F(SettingsTest, RefusesBadValuesOfEveryKind) {
  for (const char* line : {"server = ftp://x",
                           "server = http://",
                           "server = http://a b",
                           "spool_dir = relative",
                           "rate_limit_strategy = block",
                           "spool_full_policy = drop",
                           "tidheader = no colon",
                           "consent = yes",
                           "server_protocol = v9",
                           "classification_domain = a/b",
                           "no equals sign",
                           "[other]",
                           "record_expiry =",
                           "spool_max_size = 1e3",
                           "clientcert = cert.pem",
                           "clientkey = key.pem",
                           "proxy = host:3128",
                           "proxy = ftp://host",
                           "otlp_headers = token",
                           "otlp_headers = a=b%0d%0ac: d"}) {
    EXPECT_EQ(Load(std::string("[settings]\n") + line + "\n").errors.size(), 1u) << line;
  }
  EXPECT_EQ(Load("server = http://x\n").errors.size(), 1u) << "outside of a section";
  EXPECT_EQ(Load("[settings]\nsocket_path = /" + std::string(107, 'x')).errors.size(), 1u);
}

TEST_F(SettingsTest, ClampsNumbersWithAWarning) {
  const auto loaded = Load("[settings]\nspool_process_time = 5\nrecord_window_length = 60\n");
  EXPECT_TRUE(loaded.errors.empty());
  ASSERT_EQ(loaded.warnings.size(), 2u);
  EXPECT_EQ(loaded.warnings[0],
            file_ + ":2: spool_process_time: '5' is out of range, taken as 120");
  EXPECT_EQ(loaded.settings.record_window_length, 59);
}

TEST_F(SettingsTest, WarnsOfUnknownKeys) {
  const auto loaded = Load("[settings]\nfoo = 1\n");
  ASSERT_EQ(loaded.warnings.size(), 1u);
  EXPECT_EQ(loaded.warnings[0], file_ + ":2: unknown key 'foo', ignoring it");
}

TEST_F(SettingsTest, ReadsDropInsInNameOrderAndTellsWhereAValueComesFrom) {
  std::filesystem::create_directory(file_ + ".d");
  Write(file_ + ".d/20-b.conf", "[settings]\nrecord_expiry = 20\n");
  Write(file_ + ".d/10-a.conf", "[settings]\nrecord_expiry = 10\nserver = http://a/\n");
  Write(file_ + ".d/ignored.txt", "nonsense");
  const auto loaded = Load("[settings]\nrecord_expiry = 5\n");
  EXPECT_EQ(loaded.settings.record_expiry, 20);
  EXPECT_EQ(loaded.settings.server, "http://a/");
  for (const SettingInForce& setting : loaded.in_force) {
    if (setting.key == "record_expiry") {
      EXPECT_EQ(setting.source, file_ + ".d/20-b.conf:2");
      EXPECT_EQ(setting.value, "20");
    }
    if (setting.key == "spool_dir") {
      EXPECT_EQ(setting.source, "default");
    }
  }
}

// Without its drop-ins a configuration would be another one.
TEST_F(SettingsTest, FailsWhenDropInsCannotBeLookedFor) {
  Write(file_, "[settings]\n");
  std::filesystem::create_symlink("telemetrics.conf.d", file_ + ".d");
  EXPECT_FALSE(LoadSettings(file_));
}

TEST_F(SettingsTest, TakesListsOfGlobsForCrashes) {
  const auto loaded = Load(
      "[settings]\ncrash_report_paths = /opt/*, !/opt/private/*\n"
      "crash_forward = systemd-coredump\n");
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.settings.crash_report_paths, "/opt/*, !/opt/private/*");
  EXPECT_EQ(loaded.settings.crash_forward, CrashForward::kSystemdCoredump);
  EXPECT_EQ(Load("[settings]\ncrash_report_paths = opt\n").errors.size(), 1u);
  EXPECT_EQ(Load("[settings]\ncrash_forward = yes\n").errors.size(), 1u);
}

TEST_F(SettingsTest, FailsWhenANamedFileIsMissing) {
  EXPECT_FALSE(LoadSettings(folder_ + "/none.conf"));
}

TEST(ConfigFileTest, ReportsEveryBadLineAndReadsOn) {
  const ConfigText config = ParseConfigText("x\n[settings]\na=1\nb\x01=2\nc = 3 # no comment\n");
  ASSERT_EQ(config.mistakes.size(), 2u);
  EXPECT_EQ(config.mistakes[0].line, 1);
  EXPECT_EQ(config.mistakes[1].line, 4);
  ASSERT_EQ(config.lines.size(), 2u);
  EXPECT_EQ(config.lines[1].value, "3 # no comment");
}

}  // namespace
}  // namespace telem
