#include "daemon/service.h"

namespace telem {

Service::Service(EventLoop& loop, SdNotify notify, std::function<std::string()> describe)
    : notify_(std::move(notify)),
      describe_(std::move(describe)),
      ping_due_(loop, [this] { Ping(); }),
      sentence_due_(loop, kSentenceInterval, [this] { TellSentence(); }) {}

void Service::Ready() {
  if (!notify_.IsAsked()) return;
  TellSentence();
  notify_.Ready();
  if (notify_.watchdog_interval()) Ping();
}

void Service::Reloaded() {
  if (!notify_.IsAsked()) return;
  TellSentence();
  notify_.Ready();
}

void Service::Ping() {
  notify_.Ping();
  ping_due_.SetAfter(*notify_.watchdog_interval());
}

void Service::TellSentence() {
  std::string sentence = describe_();
  if (sentence == sentence_) return;
  sentence_ = std::move(sentence);
  notify_.SetStatus(sentence_);
}

}  // namespace telem
