// Crashes, as scripts/bench wants it: crasher THREADS MEBIBYTES fault|overflow
//
// THREADS more threads wait, each behind a few calls, most of them inlined templates, so that there
// are names, lines and inlined calls to find. MEBIBYTES of memory have been written to. The last
// word says how it crashes. Right before, the time (CLOCK_MONOTONIC in ns) goes to standard output.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

pthread_barrier_t all_wait;
volatile int* volatile nowhere = nullptr;  // as far as a compiler knows, somewhere

[[gnu::noinline]] void WaitForTheEnd() {
  pthread_barrier_wait(&all_wait);
  for (;;) pause();
}

// Sorting asks the comparison, and that one waits.
[[gnu::noinline]] void Sort(const std::map<std::string, std::vector<int>>& groups) {
  for (const auto& [name, numbers] : groups) {
    std::vector<int> copy = numbers;
    std::sort(copy.begin(), copy.end(), [&](int a, int b) {
      if (name == "last") WaitForTheEnd();
      return a < b;
    });
  }
}

[[gnu::noinline]] void Descend(int depth, const std::function<void()>& bottom) {
  if (depth == 0) {
    bottom();
  } else {
    Descend(depth - 1, bottom);
  }
  asm volatile("");  // not a tail call
}

[[gnu::noinline]] int Overflow(int depth) {
  volatile char room[64];
  room[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : Overflow(depth + 1) + room[0];
}

[[gnu::noinline]] void Crash(const std::vector<int>& numbers) {
  std::for_each(numbers.begin(), numbers.end(), [](int number) { *nowhere = number; });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int threads = std::atoi(argv[1]);
  const size_t bytes = static_cast<size_t>(std::atoi(argv[2])) << 20;
  const std::vector<char> touched(bytes, 'x');
  asm volatile("" : : "r"(touched.data()) : "memory");  // that no compiler leaves it out

  pthread_barrier_init(&all_wait, nullptr, static_cast<unsigned>(threads) + 1);
  std::vector<std::thread> all;
  all.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    // Of ten different depths: not all stacks are the same.
    all.emplace_back(
        [i] { Descend(5 + i % 10, [] { Sort({{"first", {1}}, {"last", {3, 1, 2}}}); }); });
  }
  pthread_barrier_wait(&all_wait);

  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::printf("%lld\n", static_cast<long long>(std::chrono::nanoseconds(now).count()));
  std::fflush(stdout);
  if (std::strcmp(argv[3], "overflow") == 0) return Overflow(0);
  Descend(5, [] { Crash({1, 2, 3}); });
  return 1;
}
