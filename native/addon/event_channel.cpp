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

Napi::Object Describe(Napi::Env env, const Ending& ending) {
  Napi::Object end = Napi::Object::New(env);
  end.Set("reason", ReasonName(ending.reason));
  end.Set("rule", ending.rule);
  end.Set("promptTokens", ending.n_prompt);
  end.Set("cachedTokens", ending.n_cached);
  end.Set("completionTokens", ending.n_generated);
  const DraftCount& drafts = ending.drafts;
  end.Set("acceptedPredictionTokens", static_cast<double>(drafts.n_accepted));
  end.Set("rejectedPredictionTokens", static_cast<double>(drafts.n_drafted - drafts.n_accepted));
  end.Set("queueMs", ending.queue_ms);
  end.Set("promptMs", ending.prompt_ms);
  end.Set("decodeMs", ending.decode_ms);
  if (ending.reason == EndReason::kError) {
    Napi::Object error = Napi::Object::New(env);
    error.Set("code", ending.error_code);
    error.Set("message", ending.error_message);
    end.Set("error", error);
  }
  if (!ending.prompt_logprobs.empty()) end.Set("promptLogprobs", ToJs(env, ending.prompt_logprobs));
  if (!ending.logits.empty()) end.Set("logits", ToJs(env, ending.logits));
  return end;
}

// Of one token mostly: a typed array has a buffer of its own, which costs ten times as much.
Napi::Array PlainArray(Napi::Env env, const std::vector<llama_token>& tokens) {
  Napi::Array array = Napi::Array::New(env, tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) array.Set(static_cast<uint32_t>(i), tokens[i]);
  return array;
}

}  // namespace

std::shared_ptr<EventChannel> EventChannel::Create(Napi::Env env, Napi::Function on_chunk, Napi::Function on_end) {
  std::shared_ptr<EventChannel> channel(new EventChannel());
  auto* owner = new std::shared_ptr<EventChannel>(channel);
  channel->on_chunk_ = Napi::Persistent(on_chunk);
  channel->on_end_ = Napi::Persistent(on_end);
  channel->channel_ = Channel::New(
      env, "phi2 events", 0, 1, channel.get(),
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

void EventChannel::OnWake(Napi::Env env, Napi::Function, EventChannel* self, void*) {
  if (env == nullptr || self->closed_) return;
  try {
    self->Drain(env);
  } catch (const Napi::Error&) {
    // Only in an environment that is being terminated: the functions themselves never throw.
  }
}

void EventChannel::Hold(Napi::Env env, uint32_t id) {
  holders_.insert(id);
  if (holders_.size() == 1) channel_.Ref(env);
}

void EventChannel::LetGo(Napi::Env env, uint32_t id) {
  if (holders_.erase(id) > 0 && holders_.empty()) channel_.Unref(env);
}

void EventChannel::Drain(Napi::Env env) {
  wake_scheduled_ = false;  // before the outbox is taken: an event that comes now wakes again
  std::vector<Event> events;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    events.swap(outbox_);
  }
  for (const Event& event : events) {
    Napi::HandleScope scope(env);
    HandOver(env, event);
  }
}

/// A call for each costs less than an object that describes it.
void EventChannel::HandOver(Napi::Env env, const Event& event) {
  const Napi::Value id = Napi::Number::New(env, event.id);
  if (event.is_end) {
    LetGo(env, event.id);
    on_end_.Call({id, Describe(env, event.ending)});
    return;
  }
  const Chunk& chunk = event.chunk;
  const Napi::Value text = Napi::String::New(env, chunk.text);
  const Napi::Value tokens = PlainArray(env, chunk.tokens);
  if (chunk.logprobs.empty()) {
    on_chunk_.Call({id, text, tokens});
  } else {
    on_chunk_.Call(
        {id, text, tokens, ToJs(env, chunk.logprobs), ToJs(env, chunk.top_tokens), ToJs(env, chunk.top_logprobs)});
  }
}

void EventChannel::Close(Napi::Env env) {
  if (closed_) return;
  try {
    Drain(env);
  } catch (const Napi::Error&) {
    // As in OnWake; the function must be let go of all the same.
  }
  Release();
}

void EventChannel::Release() {
  if (closed_) return;
  closed_ = true;
  on_chunk_.Reset();
  on_end_.Reset();
  channel_.Release();
}

}  // namespace phi2
