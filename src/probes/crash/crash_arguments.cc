#include "probes/crash/crash_arguments.h"

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
constexpr int kSample = 264;

constexpr OptionRow kOptions[] = {
    {"core-file", 'c', "FILE", "read the core from FILE"},
    {"root", kRoot, "DIR", "the files of the core's machine lie below DIR"},
    {"explain", kExplain, "FILE|PID",
     "print what a record of this core or process would say, and where\n"
     "each fact came from"},
    {"no-post", 'n', nullptr, "print the record instead of sending it"},
    {"json", kJson, nullptr, "with -n: print it as one JSON object"},
    {"sample", kSample, nullptr, "print the record of a process that is made to be looked into"},
    {"verbose", 'v', nullptr, "print the payload, too"},
    {"process-name", 'p', "NAME", "%e: name of the process"},
    {"process-path", 'E', "PATH", "%E: path of its program, with '!' for '/'"},
    {"signal", 's', "NUMBER", "%s: the signal that ended it"},
    {"setup", kSetUp, nullptr, "make the kernel call crashprobe"},
    {"restore", kRestore, nullptr, "put back what was there before --setup"},
    {"socket", kSocket, nullptr, "standard input is a connection of the kernel's coredump socket"},
    {"send-counts", kSendCounts, nullptr, "send the counts of crashes that were not told in full"},
    {"watch", kWatch, nullptr, "report what systemd-coredump takes, as it comes"},
    {"config-file", 'f', "FILE", "take the configuration from FILE"},
    {"help", 'h', nullptr, "print this help"},
    {"version", 'V', nullptr, "print the version"},
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

std::string DescribeCrashOptions() { return OptionTable({kOptions}).Help(); }

Result<CrashArguments> ParseCrashArguments(int argc, char** argv) {
  const OptionTable options({kOptions});
  CrashArguments arguments;
  bool has_path = false;
  bool has_signal = false;
  optind = 0;
  int letter;
  while ((letter = options.Next(argc, argv)) != -1) {
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
      case kSample:
        arguments.action = CrashArguments::Action::kSample;
        arguments.post = false;
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
        return Fail(ErrorCode::kInvalid, options.DescribeBad(letter, argv));
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
