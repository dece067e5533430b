#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/doctor_check.h"

namespace telem {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(DoctorTest, NamesCauseAndCureOfWhatServersAndLibcurlSay) {
  const std::pair<const char*, const char*> troubles[] = {
      {"401 who are you", "the server wants to know who sends: 401 who are you"},
      {"413 too large", "records are larger than the server takes"},
      {"429 slow down", "the server wants fewer records"},
      {"503 busy", "the server is in trouble"},
      {"Could not resolve host: c.example", "the server's name is not known"},
      {"SSL certificate problem: certificate has expired", "the server's certificate has expired"},
      {"SSL certificate problem: certificate is not yet valid",
       "the server's certificate is not valid yet"},
      {"SSL: no alternative certificate subject name matches target host name 'localhost'",
       "the server's certificate is for another name"},
      {"SSL certificate problem: self-signed certificate",
       "nobody this machine trusts vouches for the server's certificate"},
      {"SSL certificate problem: unable to get local issuer certificate",
       "nobody this machine trusts vouches for the server's certificate"},
      {"OpenSSL/3.0.15: error:0A00010B:SSL routines::wrong version number",
       "the server and this machine find no common TLS"},
      {"Failed to connect to 127.0.0.1 port 1: Connection refused",
       "nobody listens at the server's address"},
      {"Connection timed out after 5000 milliseconds", "the server does not answer in time"},
      {"telem-deliver ended with records under way", "the program that sends does not work"}};
  for (const auto& [trouble, what] : troubles) {
    const Finding finding = Diagnose(trouble);
    EXPECT_EQ(finding.kind, Finding::Kind::kIll);
    EXPECT_THAT(finding.what, StartsWith(what));
    EXPECT_THAT(finding.what, HasSubstr(trouble));
    EXPECT_FALSE(finding.cure.empty());
  }
}

// Of a wrong telemetry id, and of a clock that is days ahead, it said that server_protocol might be
// wrong.
TEST(DoctorTest, NamesAllThatACollectorMayHaveAgainstARecord) {
  const Finding finding = Diagnose("400 X-Telemetry-TID: not a telemetry id that is accepted here");
  for (const char* const cause : {"tidheader", "clock", "server_protocol"}) {
    EXPECT_THAT(finding.cure, HasSubstr(cause));
  }
}

TEST(DoctorTest, SaysWhatItDoesNotKnowAsItIs) {
  const Finding finding = Diagnose("599999 moon");
  EXPECT_EQ(finding.kind, Finding::Kind::kIll);
  EXPECT_EQ(Diagnose("the moon").what, "the moon");
}

}  // namespace
}  // namespace telem
