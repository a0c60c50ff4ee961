#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "core/engine.h"

namespace phi2 {

/// From the engine thread to JavaScript. Events gather in an outbox; JavaScript is woken only when the outbox was empty
/// of wake-ups, and one wake-up takes everything: while the JS thread is busy chunks of one request grow together and
/// the engine never waits.
///
/// The handle keeps the process alive while a request runs. A paused request does not count: whoever reads slowly has a
/// handle of its own, and who has stopped reading must not keep the process for ever.
class EventChannel : public EventSink, public std::enable_shared_from_this<EventChannel> {
 public:
  /// JS thread. The thread-safe function shares ownership, so late wake-ups find a live channel. Neither of the two
  /// functions may throw.
  static std::shared_ptr<EventChannel> Create(Napi::Env env, Napi::Function on_chunk, Napi::Function on_end);

  // --- engine thread ---
  void OnChunk(uint32_t id, Chunk chunk) override;
  void OnEnd(uint32_t id, Ending ending) override;

  // --- JS thread ---
  void Hold(Napi::Env env, uint32_t id);
  void LetGo(Napi::Env env, uint32_t id);
  /// Hands over what has gathered.
  void Drain(Napi::Env env);
  /// Delivers the rest and lets go of the thread-safe function. Only after the engine was closed.
  void Close(Napi::Env env);
  /// The same without a word, for the collector.
  void Release();

 private:
  struct Event {
    uint32_t id;
    bool is_end;
    Chunk chunk;
    Ending ending;
  };
  static void OnWake(Napi::Env env, Napi::Function, EventChannel* self, void*);
  using Channel = Napi::TypedThreadSafeFunction<EventChannel, void, OnWake>;

  EventChannel() = default;
  void Wake();
  void HandOver(Napi::Env env, const Event& event);

  Channel channel_;
  Napi::FunctionReference on_chunk_;
  Napi::FunctionReference on_end_;
  std::mutex mutex_;  // guards outbox_
  std::vector<Event> outbox_;
  std::atomic<bool> wake_scheduled_{false};
  std::set<uint32_t> holders_;  // JS thread
  bool closed_ = false;         // JS thread
};

}  // namespace phi2
