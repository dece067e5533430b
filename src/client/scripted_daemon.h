// ScriptedDaemon: for tests, a daemon that does with each connection what the test says.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "ipc/unix_socket.h"
#include "record/frame_codec.h"

namespace telem {

// Reads one frame; returns its bytes, or what there was when the peer closed.
inline std::string ReceiveFrame(int fd) {
  std::string bytes;
  char buffer[4096];
  while (true) {
    std::string_view rest = bytes;
    const auto frame = TakeFrame(rest, false);
    if (!frame || *frame) return bytes;
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
  }
}

inline void SendByte(int fd, uint8_t byte) { (void)::send(fd, &byte, sizeof byte, MSG_NOSIGNAL); }

class ScriptedDaemon {
 public:
  // What to do with one connection; it is closed behind it.
  using Turn = std::function<void(int fd)>;

  // The first connection meets the first of `turns`, and so on; connections behind the last are
  // closed.
  ScriptedDaemon(const std::string& path, std::vector<Turn> turns)
      : turns_(std::move(turns)),
        listener_(ListenAt(path, 0600).value()),
        stop_(::eventfd(0, EFD_CLOEXEC)),
        thread_([this] { Serve(); }) {}
  ~ScriptedDaemon() { Stop(); }
  ScriptedDaemon(const ScriptedDaemon&) = delete;
  ScriptedDaemon& operator=(const ScriptedDaemon&) = delete;

  // Ends the daemon and says how many connections it saw.
  size_t Stop() {
    if (thread_.joinable()) {
      ::eventfd_write(stop_.get(), 1);
      thread_.join();
    }
    return connections_;
  }

 private:
  void Serve() {
    while (true) {
      pollfd waiting[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(waiting, 2, -1);
      const UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (fd.valid()) {
        if (connections_ < turns_.size()) turns_[connections_](fd.get());
        ++connections_;
      } else if (waiting[1].revents != 0) {
        return;
      }
    }
  }

  std::vector<Turn> turns_;
  UniqueFd listener_;
  UniqueFd stop_;
  size_t connections_ = 0;
  std::thread thread_;
};

}  // namespace telem
