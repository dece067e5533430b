#include "client/client_settings.h"

#include <atomic>
#include <memory>
#include <utility>

namespace telem {
namespace {

struct KnownFile {
  std::string file;  // empty: the usual ones
  Settings settings;
  const KnownFile* earlier = nullptr;
};

// No mutex: a child forked while another thread holds it would wait for ever. The list only grows,
// by one entry for each file ever chosen, so what a caller was given stays valid.
std::atomic<const KnownFile*> all_known{nullptr};
std::atomic<const KnownFile*> chosen{nullptr};

const KnownFile* FindOrRead(const std::string& file) {
  for (const KnownFile* read = all_known.load(std::memory_order_acquire); read != nullptr;
       read = read->earlier) {
    if (read->file == file) return read;
  }
  auto fresh = std::make_unique<KnownFile>();
  fresh->file = file;
  if (auto loaded = LoadSettings(file)) fresh->settings = std::move(loaded->settings);
  fresh->earlier = all_known.load(std::memory_order_acquire);
  while (!all_known.compare_exchange_weak(fresh->earlier, fresh.get(), std::memory_order_acq_rel)) {
  }
  return fresh.release();
}

}  // namespace

const Settings& CurrentSettings() {
  const KnownFile* read = chosen.load(std::memory_order_acquire);
  if (read == nullptr) {
    const KnownFile* usual = FindOrRead("");
    // Unless another thread has chosen a file meanwhile.
    if (chosen.compare_exchange_strong(read, usual, std::memory_order_acq_rel)) read = usual;
  }
  return read->settings;
}

void ChooseConfigFile(const std::string& file) {
  chosen.store(FindOrRead(file), std::memory_order_release);
}

}  // namespace telem
