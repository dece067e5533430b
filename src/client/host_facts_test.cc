#include "client/host_facts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace telem {
namespace {

// A root folder with what a laptop has, which each test changes to its needs.
class HostFactsTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-host-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    root_ = folder;
    Write("/etc/os-release",
          "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n"
          "VERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"
          "HOME_URL=\"https://www.debian.org/\"\n");
    WriteDmi("sys_vendor", "Example Inc.\n");
    WriteDmi("product_name", "Laptop 13\n");
    WriteDmi("product_version", "1.0\n");
    WriteDmi("board_name", "BRD-1\n");
    WriteDmi("board_vendor", "Example Inc.\n");
    WriteDmi("bios_version", "1.23 (Example)\n");
    Write("/proc/cpuinfo",
          "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n"
          "model name\t: Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz\nstepping\t: 10\n\n"
          "processor\t: 1\nmodel name\t: Another CPU\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, std::string_view text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void WriteDmi(const std::string& name, std::string_view text) {
    Write("/sys/class/dmi/id/" + name, text);
  }
  void Remove(const std::string& path) { std::filesystem::remove_all(root_ + path); }
  HostFacts Read() { return ReadHostFacts(root_); }

  std::string root_;
};

TEST_F(HostFactsTest, ReadsWhatAMachineSaysOfItself) {
  const HostFacts facts = Read();
  EXPECT_EQ(facts.host_type, "Example Inc.|Laptop 13|1.0");
  EXPECT_EQ(facts.build, "\"12\"");
  EXPECT_EQ(facts.system_name, "debian");
  EXPECT_EQ(facts.board_name, "BRD-1|Example Inc.");
  EXPECT_EQ(facts.cpu_model, "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz");
  EXPECT_EQ(facts.bios_version, "1.23 (Example)");
}

TEST_F(HostFactsTest, TakesArchitectureAndKernelFromTheRunningKernel) {
  utsname kernel{};
  ASSERT_EQ(::uname(&kernel), 0);
  EXPECT_EQ(Read().arch, kernel.machine);
  EXPECT_EQ(Read().kernel_version, kernel.release);
}

TEST_F(HostFactsTest, NamesTheDmiFilesThatAreMissing) {
  Remove("/sys");
  const HostFacts facts = Read();
  EXPECT_EQ(facts.host_type, "no_sv_file|no_pn_file|no_pvr_file");
  EXPECT_EQ(facts.board_name, "no_bn_file|no_bv_file");
  EXPECT_EQ(facts.bios_version, "no_bv_file");
}

TEST_F(HostFactsTest, SaysBlankWhereAFileHasNothingToSay) {
  WriteDmi("sys_vendor", "");
  WriteDmi("product_name", "   \n");
  WriteDmi("product_version", "\n");
  EXPECT_EQ(Read().host_type, "blank|blank|blank");
}

TEST_F(HostFactsTest, TakesOneLineOfAFileOnly) {
  WriteDmi("bios_version", "1.23\nclassification: a/b/c\n");
  WriteDmi("sys_vendor", "\nsecond line\n");
  EXPECT_EQ(Read().bios_version, "1.23");
  EXPECT_EQ(Read().host_type, "blank|Laptop 13|1.0");
}

TEST_F(HostFactsTest, KeepsBlanksWithinAValue) {
  WriteDmi("product_name", "Laptop  13 G2\n");
  EXPECT_EQ(Read().host_type, "Example Inc.|Laptop  13 G2|1.0");
}

TEST_F(HostFactsTest, ReadsUsrLibOsReleaseOnlyWhereEtcHasNone) {
  Write("/usr/lib/os-release", "ID=other\nVERSION_ID=7\n");
  EXPECT_EQ(Read().system_name, "debian");
  Remove("/etc/os-release");
  EXPECT_EQ(Read().system_name, "other");
  EXPECT_EQ(Read().build, "7");
}

TEST_F(HostFactsTest, HasAWordForAnOsReleaseThatIsMissingOrSaysNothing) {
  Write("/etc/os-release", "NAME=x\nID=\nVERSION_ID=\n");
  EXPECT_EQ(Read().build, "0");
  EXPECT_EQ(Read().system_name, "unknown");
  Remove("/etc");
  EXPECT_EQ(Read().build, "0");
  EXPECT_EQ(Read().system_name, "unknown");
}

TEST_F(HostFactsTest, KeepsTheQuotesOfTheBuildAndNotThoseOfTheName) {
  Write("/etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n");
  EXPECT_EQ(Read().build, "\"15.6\"");
  EXPECT_EQ(Read().system_name, "opensuse-leap");
  Write("/etc/os-release", "ID='rhel'\nVERSION_ID='9.4'\n");
  EXPECT_EQ(Read().build, "'9.4'");
  EXPECT_EQ(Read().system_name, "rhel");
}

TEST_F(HostFactsTest, DoesNotTakeOtherKeysForIdAndVersionId) {
  Write("/etc/os-release", "BUILD_ID=1\nVARIANT_ID=2\nVERSION_ID_LIKE=3\nID_LIKE=4\n");
  EXPECT_EQ(Read().build, "0");
  EXPECT_EQ(Read().system_name, "unknown");
}

// As on most arm64 machines.
TEST_F(HostFactsTest, SaysBlankWhereTheProcessorHasNoModelName) {
  Write("/proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n");
  EXPECT_EQ(Read().cpu_model, "blank");
  Remove("/proc");
  EXPECT_EQ(Read().cpu_model, "blank");
}

TEST_F(HostFactsTest, StopsReadingFilesThatHaveNoEnd) {
  Remove("/proc/cpuinfo");
  std::filesystem::create_symlink("/dev/zero", root_ + "/proc/cpuinfo");
  EXPECT_EQ(Read().cpu_model, "blank");
}

TEST_F(HostFactsTest, DoesNotWaitForAPipeThatNobodyWritesTo) {
  Remove("/etc/os-release");
  ASSERT_EQ(::mkfifo((root_ + "/etc/os-release").c_str(), 0600), 0);
  EXPECT_EQ(Read().build, "0");
}

TEST(ThisHostTest, IsReadOnce) { EXPECT_EQ(&ThisHost(), &ThisHost()); }

}  // namespace
}  // namespace telem
