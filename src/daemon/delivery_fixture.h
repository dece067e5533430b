// DeliveryFixture: for tests: Delivery and what it works with, in a folder of their own, with a
// telem-deliver that gives verdicts by a script and a clock that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/delivery.h"
#include "record/sample_headers.h"

namespace telem {

class DeliveryFixture : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/telem-delivery-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    for (const char* name : {"/spool", "/log", "/etc", "/state"}) {
      std::filesystem::create_directory(folder_ + name);
    }
    settings_.config_dir = folder_ + "/etc";
    settings_.state_dir = folder_ + "/state";
    ASSERT_TRUE(loop_.Open());
    OpenParts();
  }
  void TearDown() override {
    delivery_.reset();
    std::filesystem::remove_all(folder_);
  }

  // As a start of telemd does; may be called again. What lies in the spool is to be found first.
  void OpenParts() {
    delivery_.reset();
    finisher_.reset();
    spool_.reset();
    auto spool = Spool::Open(clock_, folder_ + "/spool", folder_ + "/rejected");
    auto journal = Journal::Open(folder_ + "/log", 1000);
    ASSERT_TRUE(spool && journal);
    spool_.emplace(std::move(*spool));
    journal_.emplace(std::move(*journal));
    finisher_.emplace(loop_, *spool_, *journal_, counters_, "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25");
    delivery_.emplace(
        loop_, settings_, *spool_, *finisher_, limiter_, consent_,
        DeliveryWorker::Way{.socket = folder_ + "/deliver", .program = SCRIPTED_DELIVER});
  }
  void Scan() {
    ASSERT_FALSE(*spool_->ScanSome(1000, [](const Spool::Found&) {}));
  }

  // A record's file in the spool.
  WaitingRecord Put(std::string_view header_text = SampleHeaderText(), uid_t uid = 0) {
    return spool_->Put({ids_.Next(clock_.Now()), uid, 1}, 1, header_text, "p").value();
  }

  std::string folder_;
  RecordIdSource ids_;
  FakeClock clock_;
  EventLoop loop_{clock_};
  Settings settings_;
  Counters counters_;
  ConsentWatch consent_{loop_, settings_};
  RateLimiter limiter_;
  std::optional<Spool> spool_;
  std::optional<Journal> journal_;
  std::optional<Finisher> finisher_;
  std::optional<Delivery> delivery_;
};

}  // namespace telem
