#include "probes/crash/crash_arguments.h"

#include <getopt.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "base/command_line.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr int kJson = 256;  // have no letter
constexpr int kRoot = 257;
constexpr int kExplain = 258;
constexpr int kSocket = 259;
constexpr int kSetUp = 260;
constexpr int kRestore = 261;
constexpr int kSendCounts = 262;
constexpr int kWatch = 263;

constexpr option kOptions[] = {
    {"process-name", required_argument, nullptr, 'p'},
    {"process-path", required_argument, nullptr, 'E'},
    {"signal", required_argument, nullptr, 's'},
    {"core-file", required_argument, nullptr, 'c'},
    {"root", required_argument, nullptr, kRoot},
    {"explain", required_argument, nullptr, kExplain},
    {"socket", no_argument, nullptr, kSocket},
    {"setup", no_argument, nullptr, kSetUp},
    {"restore", no_argument, nullptr, kRestore},
    {"send-counts", no_argument, nullptr, kSendCounts},
    {"watch", no_argument, nullptr, kWatch},
    {"verbose", no_argument, nullptr, 'v'},
    {"no-post", no_argument, nullptr, 'n'},
    {"json", no_argument, nullptr, kJson},
    {"config-file", required_argument, nullptr, 'f'},
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},
    {},
};

constexpr int kMaxSignal = 64;

std::optional<int> ParseInt(std::string_view text) {
  const auto number = ParseUnsigned(text);
  if (!number || *number > INT_MAX) return std::nullopt;
  return static_cast<int>(*number);
}

// The words of the full form: %P %i %I %t %u %g %c %d and maybe %F.
Status ParseKernelWords(int count, char** words, CrashArguments& arguments) {
  constexpr int kWords = 8;
  if (count != kWords && count != kWords + 1) {
    return Fail(ErrorCode::kInvalid, DescribeUnexpected(words[0]));
  }
  int* const small[] = {
      &arguments.pid, &arguments.inner_tid, &arguments.tid, nullptr, nullptr, nullptr,
      nullptr,        &arguments.dump_mode};
  uint64_t* const large[] = {nullptr,
                             nullptr,
                             nullptr,
                             &arguments.time,
                             &arguments.uid,
                             &arguments.gid,
                             &arguments.core_limit,
                             nullptr};
  for (int i = 0; i < kWords; ++i) {
    const auto number = ParseUnsigned(words[i]);
    if (!number || (small[i] != nullptr && *number > INT_MAX)) {
      return Fail(ErrorCode::kInvalid, DescribeUnexpected(words[i]));
    }
    if (small[i] != nullptr) *small[i] = static_cast<int>(*number);
    if (large[i] != nullptr) *large[i] = *number;
  }
  if (arguments.pid == 0) return Fail(ErrorCode::kInvalid, DescribeUnexpected(words[0]));
  // Empty on kernels that have no %F.
  if (count == kWords + 1 && *words[kWords] != '\0') {
    const auto fd = ParseInt(words[kWords]);
    if (!fd) return Fail(ErrorCode::kInvalid, DescribeUnexpected(words[kWords]));
    arguments.pidfd = *fd;
  }
  return {};
}

}  // namespace

Result<CrashArguments> ParseCrashArguments(int argc, char** argv) {
  CrashArguments arguments;
  bool has_path = false;
  bool has_signal = false;
  opterr = 0;
  optind = 0;
  int letter;
  while ((letter = ::getopt_long(argc, argv, ":p:E:s:c:vnf:hV", kOptions, nullptr)) != -1) {
    switch (letter) {
      case 'p':
        arguments.name = optarg;
        arguments.from_kernel = true;
        break;
      case 'E':
        arguments.exe = optarg;
        std::replace(arguments.exe.begin(), arguments.exe.end(), '!', '/');
        has_path = true;
        break;
      case 's': {
        const auto number = ParseInt(optarg);
        if (!number || *number == 0 || *number > kMaxSignal) {
          return Fail(ErrorCode::kInvalid, "-s/--signal: '" + PrintableAscii(optarg, 40) +
                                               "' is not a number from 1 to 64");
        }
        arguments.signal = *number;
        has_signal = true;
        break;
      }
      case 'c':
        arguments.core_file = optarg;
        break;
      case kRoot:
        arguments.root = optarg;
        break;
      case kExplain:
        arguments.subject = optarg;
        arguments.action = CrashArguments::Action::kExplain;
        break;
      case kSocket:
        arguments.action = CrashArguments::Action::kSocket;
        arguments.from_kernel = true;
        break;
      case kSetUp:
        arguments.action = CrashArguments::Action::kSetUp;
        break;
      case kRestore:
        arguments.action = CrashArguments::Action::kRestore;
        break;
      case kSendCounts:
        arguments.action = CrashArguments::Action::kSendCounts;
        break;
      case kWatch:
        arguments.action = CrashArguments::Action::kWatch;
        break;
      case 'v':
        arguments.show_payload = true;
        break;
      case 'n':
        arguments.post = false;
        break;
      case kJson:
        arguments.json = true;
        break;
      case 'f':
        arguments.config_file = optarg;
        break;
      case 'h':
        arguments.action = CrashArguments::Action::kHelp;
        return arguments;
      case 'V':
        arguments.action = CrashArguments::Action::kVersion;
        return arguments;
      default:
        return Fail(ErrorCode::kInvalid, DescribeBadOption(letter, kOptions, argv));
    }
  }
  if ((has_path || has_signal) && !arguments.from_kernel) {
    return Fail(ErrorCode::kInvalid, "-E and -s need -p/--process-name");
  }
  if (optind < argc) {
    if (!arguments.from_kernel) {
      return Fail(ErrorCode::kInvalid, DescribeUnexpected(argv[optind]));
    }
    TELEM_CHECK(ParseKernelWords(argc - optind, argv + optind, arguments));
  }
  if (arguments.json && arguments.post) {
    return Fail(ErrorCode::kInvalid, "--json goes with -n/--no-post only");
  }
  return arguments;
}

}  // namespace telem
