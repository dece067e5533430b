#include "config/consent_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string>

namespace telem {
namespace {

// What makes a folder another one, or takes it away. Tells nothing of what happens inside.
constexpr uint32_t kSelf = IN_DELETE_SELF | IN_MOVE_SELF;
constexpr uint32_t kAppears = IN_CREATE | IN_MOVED_TO;
constexpr uint32_t kMarkers = kSelf | kAppears | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB;

// Enough for folders that are being made this moment.
constexpr int kAttempts = 8;

// 0, or the errno. Watches of one inode under several names add up.
int AddWatch(int fd, const std::string& path, uint32_t mask) {
  return ::inotify_add_watch(fd, path.c_str(), mask | IN_MASK_ADD) >= 0 ? 0 : errno;
}

bool IsMissing(int err) { return err == ENOENT || err == ENOTDIR; }

// Watches the folder itself and, above it, whether the way to it changes: each part may be a
// symbolic link. Where a part is missing, its parent tells when it comes. 0, or the errno;
// EAGAIN when the missing part has come meanwhile.
int WatchFolder(int fd, const std::string& folder) {
  std::string deepest = "/";
  for (size_t end = 1; end != std::string::npos && end < folder.size();) {
    end = folder.find('/', end + 1);
    std::string part = folder.substr(0, end);
    const int err = AddWatch(fd, part, kSelf | IN_DONT_FOLLOW);
    if (IsMissing(err)) {
      if (const int parent_err = AddWatch(fd, deepest, kAppears | IN_ONLYDIR); parent_err != 0) {
        return parent_err;
      }
      return ::access(part.c_str(), F_OK) == 0 ? EAGAIN : 0;
    }
    // A folder that may be passed and not be read cannot be watched; it is seldom renamed.
    if (err != 0 && err != EACCES) return err;
    deepest = std::move(part);
  }
  const int err = AddWatch(fd, folder, kMarkers | IN_ONLYDIR);
  return IsMissing(err) ? EAGAIN : err;
}

}  // namespace

ConsentWatch::ConsentWatch(EventLoop& loop, const Settings& settings)
    : loop_(loop), settings_(settings), look_again_(loop, [this] { Look(); }) {}

ConsentWatch::~ConsentWatch() { Unwatch(); }

// First the watch, then the question: what happens in between is told by the watch.
void ConsentWatch::Look() {
  Watch();
  answer_ = AskConsent(settings_);
  look_again_.Clear();
  if (*answer_ == ConsentAnswer::kUnknown) look_again_.SetAfter(kLookAgain);
}

bool ConsentWatch::IsStillGiven() {
  if (watch_.valid()) {
    OnEvents(EPOLLIN);
  } else {
    Look();
  }
  return IsGiven();
}

void ConsentWatch::OnEvents(uint32_t /*events*/) {
  alignas(inotify_event) char events[sizeof(inotify_event) + NAME_MAX + 1];
  // One read tells that there was something. The others go with the descriptor: all that counts is
  // how things are now.
  if (::read(watch_.get(), events, sizeof events) > 0) Look();
}

// From the beginning each time: which folders there are to watch may just have changed.
void ConsentWatch::Watch() {
  Unwatch();
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) return;
  int err = EAGAIN;
  for (int i = 0; i < kAttempts && err == EAGAIN; ++i) {
    err = WatchFolder(fd.get(), settings_.config_dir);
  }
  if (err != 0 || !loop_.WatchFirst(fd.get(), this)) return;
  watch_ = std::move(fd);
}

void ConsentWatch::Unwatch() {
  if (!watch_.valid()) return;
  loop_.Forget(watch_.get(), this);
  watch_.Reset();
}

}  // namespace telem
