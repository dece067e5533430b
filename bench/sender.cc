// sender: hands records over through libtelemetry, as a probe does, and measures each hand-over; or
// does the least that such a hand-over can be made of, in the same process shape, to compare with.
//
//   sender [--config FILE] [--threads T] [--records N] [--size P] [--pace US]
//          [--create-only | --baseline FOLDER [--at-server] [--keep]]
//
// Prints one line of JSON: the rate over all threads, median and 99th percentile in microseconds,
// and how many calls failed (in which case it ends with 1).
//   --create-only   tm_create_record and tm_free_record, without sending
//   --baseline      connects to a process of one thread that echoes one byte, closes, and creates
//                   and unlinks a file of P bytes in FOLDER: nothing else is done, and T threads
//                   make their files on all processors at once
//   --at-server     the files are made by that process, before it echoes, one after the other: what
//                   a daemon does at least that promises a record of somebody else's to be there
//   --keep          the files stay, as records do whose server is away
//   --pace          waits that many microseconds between two calls of a thread
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "telemetry.h"

namespace telem {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string config;
  size_t threads = 1;
  size_t records = 10'000;
  size_t size = 100;
  size_t pace_us = 0;
  bool create_only = false;
  std::string baseline_folder;
  bool at_server = false;
  bool keep = false;
};

// One measured call; false when it failed.
using Call = std::function<bool()>;

struct Measured {
  std::vector<double> microseconds;
  size_t failures = 0;
};

bool SendOne(const std::string& payload) {
  telem_ref* record = nullptr;
  if (tm_create_record(&record, 1, "org.telemetrics/bench/send", 1) != 0) {
    return false;
  }
  const bool sent = tm_set_payload(record, payload.c_str()) == 0 && tm_send_record(record) == 0;
  tm_free_record(record);
  return sent;
}

bool CreateOne() {
  telem_ref* record = nullptr;
  if (tm_create_record(&record, 1, "org.telemetrics/bench/create", 1) != 0) {
    return false;
  }
  tm_free_record(record);
  return true;
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

// What the baseline does with files: in the folder, those of one maker.
class Files {
 public:
  Files(const Options& options, size_t maker)
      : prefix_(options.baseline_folder + "/file-" + std::to_string(maker) + "-"),
        payload_(options.size, 'x'),
        keep_(options.keep) {}

  bool MakeOne() {
    const std::string path = prefix_ + std::to_string(number_++);
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    const ssize_t n = ::write(fd.get(), payload_.data(), payload_.size());
    return n == static_cast<ssize_t>(payload_.size()) && (keep_ || ::unlink(path.c_str()) == 0);
  }

 private:
  const std::string prefix_;
  const std::string payload_;
  const bool keep_;
  size_t number_ = 0;
};

// A process that answers each connection's byte with the same byte, for as long as we live.
pid_t StartEcho(const std::string& path, const Options& options) {
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path);
  ::unlink(path.c_str());
  if (!listener.valid() ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 128) != 0) {
    return -1;
  }
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Files files(options, options.threads);
  while (true) {
    const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char byte = 0;
    if (::read(peer.get(), &byte, 1) != 1) continue;
    // Without an answer the client fails.
    if (!options.at_server || files.MakeOne()) (void)!::write(peer.get(), &byte, 1);
  }
}

bool EchoOnce(const std::string& path) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf(path);
  char byte = 1;
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         ::write(fd.get(), &byte, 1) == 1 && ::read(fd.get(), &byte, 1) == 1;
}

// One thread's share.
Measured RunThread(const Call& call, size_t records, size_t pace_us) {
  Measured measured;
  measured.microseconds.reserve(records);
  for (size_t i = 0; i < records; ++i) {
    const auto start = Clock::now();
    if (!call()) ++measured.failures;
    const std::chrono::duration<double, std::micro> taken = Clock::now() - start;
    measured.microseconds.push_back(taken.count());
    if (pace_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pace_us));
  }
  return measured;
}

int Run(const Options& options) {
  const std::string payload(options.size, 'x');
  const std::string echo_path = options.baseline_folder + "/echo";
  pid_t echo = 0;
  if (!options.baseline_folder.empty()) {
    echo = StartEcho(echo_path, options);
    if (echo < 0) {
      std::perror("sender: echo server");
      return 1;
    }
  } else if (!options.config.empty() && tm_set_config_file(options.config.c_str()) != 0) {
    std::fprintf(stderr, "sender: cannot use '%s'\n", options.config.c_str());
    return 1;
  }

  std::vector<Measured> measured(options.threads);
  std::vector<std::thread> threads;
  threads.reserve(options.threads);
  const auto start = Clock::now();
  for (size_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      Call call = [&] { return SendOne(payload); };
      if (options.create_only) call = CreateOne;
      if (echo > 0) {
        call = [&, files = Files(options, i)]() mutable {
          return EchoOnce(echo_path) && (options.at_server || files.MakeOne());
        };
      }
      const size_t share =
          options.records / options.threads + (i < options.records % options.threads ? 1 : 0);
      measured[i] = RunThread(call, share, options.pace_us);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> seconds = Clock::now() - start;
  if (echo > 0) {
    ::kill(echo, SIGKILL);
    ::waitpid(echo, nullptr, 0);
    ::unlink(echo_path.c_str());
  }

  std::vector<double> all;
  size_t failures = 0;
  for (const Measured& one : measured) {
    all.insert(all.end(), one.microseconds.begin(), one.microseconds.end());
    failures += one.failures;
  }
  std::sort(all.begin(), all.end());
  const auto percentile = [&](size_t percent) { return all[(all.size() - 1) * percent / 100]; };
  std::printf(
      "{\"records\": %zu, \"failures\": %zu, \"seconds\": %.6f, \"rate\": %.1f, "
      "\"median_us\": %.3f, \"p99_us\": %.3f}\n",
      all.size(), failures, seconds.count(), static_cast<double>(all.size()) / seconds.count(),
      percentile(50), percentile(99));
  return failures == 0 ? 0 : 1;
}

std::optional<Options> ParseOptions(const std::vector<std::string_view>& args) {
  Options options;
  const auto number = [](std::string_view text, size_t& value) {
    const auto parsed = ParseUnsigned(text);
    if (parsed) value = *parsed;
    return parsed.has_value();
  };
  for (size_t i = 0; i < args.size(); ++i) {
    bool* flag = nullptr;
    if (args[i] == "--create-only") flag = &options.create_only;
    if (args[i] == "--at-server") flag = &options.at_server;
    if (args[i] == "--keep") flag = &options.keep;
    if (flag != nullptr) {
      *flag = true;
      continue;
    }
    if (i + 1 == args.size()) return std::nullopt;
    const std::string_view name = args[i];
    const std::string_view value = args[++i];
    bool fine = true;
    if (name == "--config") {
      options.config = value;
    } else if (name == "--baseline") {
      options.baseline_folder = value;
    } else if (name == "--threads") {
      fine = number(value, options.threads);
    } else if (name == "--records") {
      fine = number(value, options.records);
    } else if (name == "--size") {
      fine = number(value, options.size);
    } else if (name == "--pace") {
      fine = number(value, options.pace_us);
    } else {
      fine = false;
    }
    if (!fine) return std::nullopt;
  }
  if (options.threads == 0 || options.records < options.threads) return std::nullopt;
  return options;
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) {
  const auto options = telem::ParseOptions({argv + 1, argv + argc});
  if (!options) {
    std::fputs(
        "usage: sender [--config FILE] [--threads T] [--records N] [--size P] [--pace US]\n"
        "              [--create-only | --baseline FOLDER [--at-server] [--keep]]\n",
        stderr);
    return 2;
  }
  return telem::Run(*options);
}
