#include "probes/journal/journal_finding.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace telem {
namespace {

// As systemd 252 writes them.
JournalEntry FromSystemd(std::initializer_list<std::pair<const std::string, std::string>> fields) {
  JournalEntry entry;
  entry.cursor = "c";
  entry.monotonic = std::chrono::seconds(42);
  entry.fields = {{"_PID", "1"},
                  {"_UID", "0"},
                  {"_TRANSPORT", "journal"},
                  {"_SYSTEMD_UNIT", "init.scope"},
                  {"_BOOT_ID", "fea2d014147a405fa2063dd41f729aed"},
                  {"_HOSTNAME", "zaphod"},
                  {"PRIORITY", "5"},
                  {"UNIT", "backup.service"},
                  {"INVOCATION_ID", "fc933662467e4164889989d23f6a0ea5"}};
  for (const auto& [name, value] : fields) entry.fields[name] = value;
  return entry;
}

JournalEntry Exited(const std::string& status) {
  return FromSystemd({{"MESSAGE", "backup.service: Main process exited, code=exited, status=" +
                                      status + "/FAILURE"},
                      {"EXIT_CODE", "exited"},
                      {"EXIT_STATUS", status},
                      {"COMMAND", "ExecStart"}});
}

JournalEntry StartLimit() {
  return FromSystemd(
      {{"MESSAGE", "backup.service: Start request repeated too quickly."}, {"PRIORITY", "4"}});
}

JournalEntry Result(const std::string& result) {
  return FromSystemd({{"MESSAGE", "backup.service: Failed with result '" + result + "'."},
                      {"UNIT_RESULT", result},
                      {"PRIORITY", "4"}});
}

TEST(JournalFindingTest, TellsOfAServiceThatExitsWithAnError) {
  const auto finding = FindInEntry(Exited("1"), false);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->unit, "backup.service");
  EXPECT_EQ(finding->payload,
            "MESSAGE=backup.service: Main process exited, code=exited, status=1/FAILURE\n"
            "Unit: backup.service\n"
            "Command: ExecStart\n"
            "Exit code: exited\n"
            "Exit status: 1\n");
  EXPECT_TRUE(IsLowerHex(finding->event_id, 32));
}

TEST(JournalFindingTest, TellsOfOneThatIsKilledOrDumpsCore) {
  for (const std::string code : {"killed", "dumped"}) {
    JournalEntry entry = Exited("9");
    entry.fields["EXIT_CODE"] = code;
    entry.fields["PRIORITY"] = "4";
    const auto finding = FindInEntry(entry, false);
    ASSERT_TRUE(finding) << code;
    EXPECT_TRUE(finding->payload.contains("Exit code: " + code + "\nExit status: 9\n"));
  }
}

TEST(JournalFindingTest, TellsOfOneThatIsStartedTooOften) {
  const auto finding = FindInEntry(StartLimit(), false);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->payload,
            "MESSAGE=backup.service: Start request repeated too quickly.\n"
            "Unit: backup.service\nResult: start-limit-hit\n");
}

TEST(JournalFindingTest, TellsOfOneThatFailsWithoutTheEndOfAProcess) {
  const auto finding = FindInEntry(Result("timeout"), false);
  ASSERT_TRUE(finding);
  EXPECT_TRUE(finding->payload.ends_with("Unit: backup.service\nResult: timeout\n"));
}

TEST(JournalFindingTest, KnowsTheEntriesOfOneFailure) {
  const auto end = FindInEntry(Exited("1"), false);
  const auto result = FindInEntry(Result("exit-code"), false);
  const auto limit = FindInEntry(StartLimit(), false);
  const auto limit_result = FindInEntry(Result("start-limit-hit"), false);
  ASSERT_TRUE(end && result && limit && limit_result);
  EXPECT_EQ(end->failure, result->failure);
  EXPECT_NE(end->failure, limit->failure);
  EXPECT_EQ(limit->failure, limit_result->failure);
}

TEST(JournalFindingTest, TellsOfEachReloadThatFails) {
  JournalEntry entry = Exited("1");
  entry.fields["COMMAND"] = "ExecReload";
  const auto finding = FindInEntry(entry, false);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->failure, "");
}

TEST(JournalFindingTest, IsSilentOnWhatSystemdTakesForSuccess) {
  EXPECT_FALSE(FindInEntry(Exited("0"), true));
  // With LogLevel=debug also the ends that SuccessExitStatus= or `-` allows.
  JournalEntry allowed = Exited("143");
  allowed.fields["PRIORITY"] = "7";
  EXPECT_FALSE(FindInEntry(allowed, true));
  EXPECT_FALSE(FindInEntry(FromSystemd({{"MESSAGE", "Started backup.service."}}), false));
  EXPECT_FALSE(FindInEntry(JournalEntry{}, true));
}

// Any user can log the fields of a failure; those with `_` in front are journald's own.
TEST(JournalFindingTest, BelievesNobodyButSystemd) {
  const std::pair<const char*, const char*> others[] = {
      {"_PID", "4242"},        {"_PID", ""},
      {"_PID", "01"},          {"_UID", "1000"},
      {"_TRANSPORT", "audit"}, {"_TRANSPORT", "stdout"}};
  for (const auto& [name, value] : others) {
    for (JournalEntry entry : {Exited("1"), StartLimit(), Result("timeout")}) {
      entry.fields[name] = value;
      EXPECT_FALSE(FindInEntry(entry, false)) << name << "=" << value;
    }
  }
}

TEST(JournalFindingTest, TellsOfEveryErrorOnlyWhenAsked) {
  JournalEntry entry;
  entry.fields = {{"MESSAGE", "disk on fire"},
                  {"PRIORITY", "3"},
                  {"_SYSTEMD_UNIT", "cron.service"},
                  {"UNIT", "made-up.service"},
                  {"_TRANSPORT", "syslog"}};
  EXPECT_FALSE(FindInEntry(entry, false));
  const auto finding = FindInEntry(entry, true);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->unit, "cron.service");
  EXPECT_EQ(finding->payload, "MESSAGE=disk on fire\nUnit: cron.service\nPriority: 3\n");
  entry.fields["PRIORITY"] = "4";
  EXPECT_FALSE(FindInEntry(entry, true));
  entry.fields["PRIORITY"] = "0";
  entry.fields.erase("_SYSTEMD_UNIT");
  EXPECT_EQ(FindInEntry(entry, true)->unit, "syslog");
}

TEST(JournalFindingTest, AMessageOfSeveralLinesStaysOne) {
  JournalEntry entry;
  entry.fields = {{"MESSAGE", "one\nUnit: made-up.service"}, {"PRIORITY", "3"}};
  EXPECT_EQ(FindInEntry(entry, true)->payload, "MESSAGE=one Unit: made-up.service\nPriority: 3\n");
}

TEST(JournalFindingTest, MasksWhoAndWhere) {
  JournalEntry entry = Exited("1");
  entry.fields["UNIT"] = "user@1000.service";
  entry.fields["MESSAGE"] = "zaphod: /home/ford/towel from 192.0.2.7 at Zaphod.example.org";
  const std::string payload = FindInEntry(entry, false)->payload;
  EXPECT_TRUE(payload.starts_with("MESSAGE=<host>: /home/<user>/towel from <ip> at <host>\n"))
      << payload;
  EXPECT_TRUE(payload.contains("\nUnit: user@<uid>.service\n")) << payload;
}

TEST(JournalFindingTest, TheSameEntryHasTheSameEventId) {
  EXPECT_EQ(FindInEntry(Exited("1"), false)->event_id, FindInEntry(Exited("1"), true)->event_id);
  JournalEntry later = Exited("1");
  later.monotonic += std::chrono::microseconds(1);
  JournalEntry other_boot = Exited("1");
  other_boot.fields["_BOOT_ID"] = "0";
  EXPECT_NE(FindInEntry(Exited("1"), false)->event_id, FindInEntry(later, false)->event_id);
  EXPECT_NE(FindInEntry(Exited("1"), false)->event_id, FindInEntry(other_boot, false)->event_id);
}

TEST(JournalFindingTest, SaysHowManyWereOnlyCounted) {
  EXPECT_EQ(WithCount("a\n", 0), "a\n");
  EXPECT_EQ(WithCount(PayloadOfCount("backup.service"), 7),
            "MESSAGE=backup.service: failed again\nUnit: backup.service\nRepeated: 7\n");
}

}  // namespace
}  // namespace telem
