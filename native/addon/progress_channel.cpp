#include "addon/progress_channel.h"

namespace phi2 {

std::shared_ptr<ProgressChannel> ProgressChannel::FromOptions(const Napi::Object& options) {
  const Napi::Value callback = options.Get("onProgress");
  if (!callback.IsFunction()) return nullptr;
  Napi::Env env = options.Env();
  auto channel = std::make_shared<ProgressChannel>();
  auto* owner = new std::shared_ptr<ProgressChannel>(channel);
  channel->channel_ = Channel::New(
      env, callback.As<Napi::Function>(), "phi2 progress", 0, 1, channel.get(),
      [](Napi::Env, std::shared_ptr<ProgressChannel>* held, ProgressChannel*) { delete held; }, owner);
  channel->channel_.Unref(env);
  return channel;
}

void ProgressChannel::Report(float progress, float estimate) {
  estimate_ = estimate;
  latest_ = progress;
  if (!scheduled_.exchange(true)) channel_.NonBlockingCall();
}

void ProgressChannel::Close() { channel_.Release(); }

void ProgressChannel::OnWake(Napi::Env env, Napi::Function callback, ProgressChannel* self, void*) {
  if (env == nullptr) return;
  self->scheduled_ = false;
  try {
    callback.Call({Napi::Number::New(env, self->latest_), Napi::Number::New(env, self->estimate_)});
  } catch (const Napi::Error&) {
    // Only in an environment that is being terminated: the TypeScript side guards the user's callback.
  }
}

}  // namespace phi2
