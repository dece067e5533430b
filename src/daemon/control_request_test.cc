#include "daemon/control_request.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

constexpr const char* kId = "0199f2a3b4c5aabbccddeeff00112233";

Result<ControlRequest> Parse(const std::string& members) {
  return ParseControlRequest("{" + members + "}");
}

std::string MistakeIn(const std::string& members) {
  const auto request = Parse(members);
  return request ? "none" : request.error().message;
}

TEST(ControlRequestTest, ReadsEachCommand) {
  const std::string id = kId;
  const std::pair<std::string, ControlCommand> commands[] = {
      {R"("command": "status")", ControlCommand::kStatus},
      {R"("command": "spool-list")", ControlCommand::kSpoolList},
      {R"("command": "spool-show", "name": ")" + id + "\"", ControlCommand::kSpoolShow},
      {R"("command": "spool-drop", "name": ")" + id + "\"", ControlCommand::kSpoolDrop},
      {R"("command": "spool-flush")", ControlCommand::kSpoolFlush},
      {R"("command": "spool-import", "name": ")" + id + "-0-1\"", ControlCommand::kSpoolImport},
      {R"("command": "rejected-list")", ControlCommand::kRejectedList},
      {R"("command": "rejected-show", "name": "fv8OEq")", ControlCommand::kRejectedShow},
      {R"("command": "rejected-retry", "name": "fv8OEq")", ControlCommand::kRejectedRetry},
      {R"("command": "rejected-drop", "name": "fv8OEq")", ControlCommand::kRejectedDrop},
      {R"("command": "journal-show", "name": ")" + id + "\"", ControlCommand::kJournalShow}};
  for (const auto& [line, command] : commands) {
    const auto request = Parse(line);
    ASSERT_TRUE(request) << line << ": " << request.error().message;
    EXPECT_EQ(request->command, command) << line;
    EXPECT_FALSE(request->keep_open || request->has_more) << line;
  }
}

TEST(ControlRequestTest, ReadsWhatGoesWithACommand) {
  const auto request = Parse(R"("command": "spool-import", "name": ")" + std::string(kId) +
                             R"(-1000-5", "data": "610a00ff", "more": true, "keep_open": true,)" +
                             R"( "reason": "so\u001b", "of a later release": 1)");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->data, std::string_view("a\n\0\xff", 4));
  EXPECT_TRUE(request->has_more && request->keep_open);
  EXPECT_EQ(request->reason, "so?");
}

TEST(ControlRequestTest, KnowsWhatChangesSomething) {
  EXPECT_FALSE(IsChanging(ControlCommand::kStatus));
  EXPECT_FALSE(IsChanging(ControlCommand::kSpoolShow));
  EXPECT_FALSE(IsChanging(ControlCommand::kJournalShow));
  EXPECT_TRUE(IsChanging(ControlCommand::kSpoolFlush));
  EXPECT_TRUE(IsChanging(ControlCommand::kRejectedRetry));
}

TEST(ControlRequestTest, SaysWhatIsWrong) {
  EXPECT_EQ(MistakeIn(""), "no command");
  EXPECT_EQ(MistakeIn(R"("command": "dance\u001b")"), "unknown command 'dance?'");
  for (const char* name : {"", "0199", "0199f2a3b4c5aabbccddeeff0011223G", "../x"}) {
    EXPECT_EQ(MistakeIn(R"("command": "spool-drop", "name": ")" + std::string(name) + "\""),
              "no record's name '" + std::string(name) + "'");
  }
  EXPECT_EQ(MistakeIn(R"("command": "spool-import", "name": ")" + std::string(kId) + "\""),
            "no record's name '" + std::string(kId) + "'");
  for (const char* name : {"", ".", "..", "../../etc/passwd", "a\\u0000b"}) {
    EXPECT_NE(MistakeIn(R"("command": "rejected-drop", "name": ")" + std::string(name) + "\""),
              "none");
  }
  for (const std::string& data :
       std::vector<std::string>{"6", "6g", "AB", std::string(2 * kMaxControlPiece + 2, 'a')}) {
    EXPECT_NE(MistakeIn(R"("command": "spool-list", "data": ")" + data + "\""), "none");
  }
  EXPECT_EQ(ParseControlRequest("hello").error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace telem
