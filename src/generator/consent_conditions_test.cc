#include "generator/consent_conditions.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(ConsentConditionsTest, TheDefaultNeedsNone) { EXPECT_EQ(ConsentConditions(Settings()), ""); }

TEST(ConsentConditionsTest, WhoAsksFirstNeedsTheUsersYes) {
  Settings settings;
  settings.consent = ConsentMode::kOptIn;
  EXPECT_TRUE(ConsentConditions(settings).ends_with(
      "[Unit]\nConditionPathExists=/etc/telemetrics/opt-in\n"));
}

TEST(ConsentConditionsTest, MarkersElsewhereAreLookedForThere) {
  Settings settings;
  settings.config_dir = "/srv/50%";
  EXPECT_TRUE(
      ConsentConditions(settings).ends_with("[Unit]\nConditionPathExists=!/srv/50%%/opt-out\n"));
  settings.consent = ConsentMode::kOptIn;
  EXPECT_TRUE(
      ConsentConditions(settings).ends_with("[Unit]\nConditionPathExists=!/srv/50%%/opt-out\n"
                                            "ConditionPathExists=/srv/50%%/opt-in\n"));
}

}  // namespace
}  // namespace telem
