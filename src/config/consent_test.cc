#include "config/consent.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace telem {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

class ConsentTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-consent-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    settings_.config_dir = folder_;
    settings_.state_dir = folder_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(std::string_view name, std::string_view text = "") {
    std::ofstream(folder_ + "/" + std::string(name)) << text;
  }

  std::string folder_;
  Settings settings_;
};

TEST_F(ConsentTest, AsksTheMarkerFiles) {
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kGiven);
  settings_.consent = ConsentMode::kOptIn;
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kWithheld);
  Write("opt-in");
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kGiven);
  Write("opt-out");
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kWithheld);
  settings_.consent = ConsentMode::kOptOut;
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kWithheld);
}

TEST_F(ConsentTest, AFolderThatIsNotThereHoldsNoMarkers) {
  settings_.config_dir = folder_ + "/none";
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kGiven);
  settings_.consent = ConsentMode::kOptIn;
  EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kWithheld);
}

// The marker may be there.
TEST_F(ConsentTest, MarkersThatCannotBeLookedAtAllowNothing) {
  std::filesystem::create_symlink("round", folder_ + "/round");
  settings_.config_dir = folder_ + "/round";
  for (const auto mode : {ConsentMode::kOptOut, ConsentMode::kOptIn}) {
    settings_.consent = mode;
    EXPECT_EQ(AskConsent(settings_), ConsentAnswer::kUnknown);
    EXPECT_FALSE(IsCollectionAllowed(settings_));
  }
}

TEST_F(ConsentTest, RemembersSinceWhenItIsGiven) {
  EXPECT_FALSE(ReadConsentSince(settings_));
  const sys_seconds since(seconds(1'795'445'503));
  ASSERT_TRUE(WriteConsentSince(settings_, since));
  EXPECT_EQ(ReadConsentSince(settings_), since);
  struct stat st;
  ASSERT_EQ(::stat((folder_ + "/consent_since").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0644u);
  ASSERT_TRUE(RemoveConsentSince(settings_));
  EXPECT_FALSE(ReadConsentSince(settings_));
  EXPECT_TRUE(RemoveConsentSince(settings_));
}

TEST_F(ConsentTest, TakesNoNonsenseForATime) {
  for (const char* text : {"", "\n", "yesterday\n", "-5\n", "1795445503 x\n", "99999999999\n",
                           "000000000000000000000000000000000000000001795445503\n"}) {
    Write("consent_since", text);
    EXPECT_FALSE(ReadConsentSince(settings_)) << text;
  }
}

TEST_F(ConsentTest, KnowsWhenTheMarkerWasMade) {
  EXPECT_FALSE(FindOptInTime(settings_));
  Write("opt-in");
  const timespec then[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ + "/opt-in").c_str(), then, 0), 0);
  EXPECT_EQ(FindOptInTime(settings_), sys_seconds(seconds(1'700'000'000)));
}

// Probes may run before telemd does for the first time, as behind an installation.
TEST_F(ConsentTest, UntilItIsWrittenDownConsentHasJustBegun) {
  const sys_seconds now{seconds(1'800'000'000)};
  EXPECT_EQ(ReadConsentStart(settings_, now), now);
  settings_.consent = ConsentMode::kOptIn;
  EXPECT_EQ(ReadConsentStart(settings_, now), now);
  Write("opt-in");
  const timespec times[2] = {{.tv_sec = 1'700'000'000, .tv_nsec = 0},
                             {.tv_sec = 1'700'000'000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ + "/opt-in").c_str(), times, 0), 0);
  EXPECT_EQ(ReadConsentStart(settings_, now), sys_seconds(seconds(1'700'000'000)));
  ASSERT_TRUE(WriteConsentSince(settings_, sys_seconds(seconds(1'750'000'000))));
  EXPECT_EQ(ReadConsentStart(settings_, now), sys_seconds(seconds(1'750'000'000)));
}

}  // namespace
}  // namespace telem
