#include "addon/event_channel.h"

#include <algorithm>

#include "addon/arrays.h"

namespace phi2 {
namespace {

template <typename T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void Append(Chunk& to, const Chunk& from) {
  to.text += from.text;
  Append(to.tokens, from.tokens);
  Append(to.logprobs, from.logprobs);
  Append(to.top_tokens, from.top_tokens);
  Append(to.top_logprobs, from.top_logprobs);
}

const char* ReasonName(EndReason reason) {
  switch (reason) {
    case EndReason::kStop:
      return "stop";
    case EndReason::kLength:
      return "length";
    case EndReason::kAbort:
      return "abort";
    case EndReason::kError:
      return "error";
  }
  return "error";
}

void Fill(Napi::Env env, Napi::Object event, const Chunk& chunk) {
  event.Set("type", "chunk");
  event.Set("text", chunk.text);
  event.Set("tokens", ToJs(env, chunk.tokens));
  if (chunk.logprobs.empty()) return;
  event.Set("logprobs", ToJs(env, chunk.logprobs));
  event.Set("topTokens", ToJs(env, chunk.top_tokens));
  event.Set("topLogprobs", ToJs(env, chunk.top_logprobs));
}

void Fill(Napi::Env env, Napi::Object event, const Ending& ending) {
  event.Set("type", "end");
  event.Set("reason", ReasonName(ending.reason));
  event.Set("rule", ending.rule);
  event.Set("promptTokens", ending.n_prompt);
  event.Set("cachedTokens", ending.n_cached);
  event.Set("completionTokens", ending.n_generated);
  const DraftCount& drafts = ending.drafts;
  event.Set("acceptedPredictionTokens", static_cast<double>(drafts.n_accepted));
  event.Set("rejectedPredictionTokens", static_cast<double>(drafts.n_drafted - drafts.n_accepted));
  event.Set("queueMs", ending.queue_ms);
  event.Set("promptMs", ending.prompt_ms);
  event.Set("decodeMs", ending.decode_ms);
  if (ending.reason == EndReason::kError) {
    Napi::Object error = Napi::Object::New(env);
    error.Set("code", ending.error_code);
    error.Set("message", ending.error_message);
    event.Set("error", error);
  }
  if (!ending.prompt_logprobs.empty()) event.Set("promptLogprobs", ToJs(env, ending.prompt_logprobs));
  if (!ending.logits.empty()) event.Set("logits", ToJs(env, ending.logits));
}

}  // namespace

std::shared_ptr<EventChannel> EventChannel::Create(Napi::Env env, Napi::Function on_events) {
  std::shared_ptr<EventChannel> channel(new EventChannel());
  auto* owner = new std::shared_ptr<EventChannel>(channel);
  channel->on_events_ = Napi::Persistent(on_events);
  channel->channel_ = Channel::New(
      env, on_events, "phi2 events", 0, 1, channel.get(),
      [](Napi::Env, std::shared_ptr<EventChannel>* held, EventChannel*) { delete held; }, owner);
  channel->channel_.Unref(env);
  return channel;
}

void EventChannel::OnChunk(uint32_t id, Chunk chunk) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto last = std::find_if(outbox_.rbegin(), outbox_.rend(), [id](const Event& e) { return e.id == id; });
    if (last != outbox_.rend() && !last->is_end) {
      Append(last->chunk, chunk);
    } else {
      outbox_.push_back({id, false, std::move(chunk), {}});
    }
  }
  Wake();
}

void EventChannel::OnEnd(uint32_t id, Ending ending) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    outbox_.push_back({id, true, {}, std::move(ending)});
  }
  Wake();
}

void EventChannel::Wake() {
  if (!wake_scheduled_.exchange(true)) channel_.NonBlockingCall();
}

void EventChannel::OnWake(Napi::Env env, Napi::Function on_events, EventChannel* self, void*) {
  if (env == nullptr || self->closed_) return;
  try {
    self->Drain(env, on_events);
  } catch (const Napi::Error&) {
    // Only in an environment that is being terminated: on_events itself never throws.
  }
}

void EventChannel::Hold(Napi::Env env, uint32_t id) {
  holders_.insert(id);
  if (holders_.size() == 1) channel_.Ref(env);
}

void EventChannel::LetGo(Napi::Env env, uint32_t id) {
  if (holders_.erase(id) > 0 && holders_.empty()) channel_.Unref(env);
}

void EventChannel::Drain(Napi::Env env, Napi::Function on_events) {
  wake_scheduled_ = false;  // before the outbox is taken: an event that comes now wakes again
  std::vector<Event> events;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    events.swap(outbox_);
  }
  if (events.empty()) return;
  Napi::HandleScope scope(env);
  Napi::Array list = Napi::Array::New(env, events.size());
  uint32_t index = 0;
  for (const Event& event : events) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("id", event.id);
    if (event.is_end) {
      Fill(env, object, event.ending);
      LetGo(env, event.id);
    } else {
      Fill(env, object, event.chunk);
    }
    list.Set(index++, object);
  }
  on_events.Call({list});
}

void EventChannel::Close(Napi::Env env) {
  if (closed_) return;
  try {
    Drain(env, on_events_.Value());
  } catch (const Napi::Error&) {
    // As in OnWake; the function must be let go of all the same.
  }
  Release();
}

void EventChannel::Release() {
  if (closed_) return;
  closed_ = true;
  on_events_.Reset();
  channel_.Release();
}

}  // namespace phi2
