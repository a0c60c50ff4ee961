#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

namespace phi2 {

/// Progress from a working thread to a JavaScript function: the newest value only, so that a busy JS thread gets one
/// call for many steps. It does not keep the process alive: the task that works does.
class ProgressChannel {
 public:
  /// To the function `onProgress` of these options; null without one. JS thread. The thread-safe function shares
  /// ownership, so late wake-ups find a live channel.
  static std::shared_ptr<ProgressChannel> FromOptions(const Napi::Object& options);

  /// Working thread. `estimate` goes along as the second argument: a result so far.
  void Report(float progress, float estimate = 0);
  /// JS thread, after the working thread has ended.
  void Close();

 private:
  static void OnWake(Napi::Env env, Napi::Function callback, ProgressChannel* self, void* data);
  using Channel = Napi::TypedThreadSafeFunction<ProgressChannel, void, OnWake>;

  Channel channel_;
  std::atomic<float> latest_{0};
  std::atomic<float> estimate_{0};
  std::atomic<bool> scheduled_{false};
};

}  // namespace phi2
