#include "core/engine.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "core/backend.h"
#include "core/error.h"

namespace phi2 {
namespace {

// A step that other sequences wait for, or that only its end can abort, is kept near this long.
constexpr double kSharedStepMs = 100;
// A prompt alone on a device that can abort inside a step: new requests wait no longer than this for their turn.
constexpr double kLonePrefillMs = 1000;
constexpr size_t kMinPrefill = 16;
constexpr size_t kFirstPrefill = 64;  // before anything was measured

}  // namespace

Engine::Engine(std::shared_ptr<Model> model, const EngineOptions& options, EventSink* sink)
    : model_(std::move(model)), sink_(sink), abort_callback_works_(AbortCallbackWorks()) {
  context_ = std::make_unique<Context>(*model_, options, ShouldAbortStep, this);
  n_ctx_ = context_->n_ctx();
  n_batch_ = context_->n_batch();
  n_seq_max_ = context_->n_seq_max();
  n_ctx_seq_ = std::min(n_ctx_, static_cast<uint32_t>(llama_model_n_ctx_train(model_->get())));
  batch_ = Batch(static_cast<int32_t>(n_batch_));
  index_ = std::make_unique<PrefixIndex>(static_cast<int32_t>(n_seq_max_), n_ctx_);
  thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() { Close(); }

// --- any thread ---

uint32_t Engine::Submit(RequestSpec spec) {
  const std::shared_ptr<Model> model = OpenModel();
  if (spec.tokens.empty()) throw Error("PHI2_INVALID_OPTION", "Expected a prompt of at least one token.");
  for (llama_token token : spec.tokens) {
    if (!model->IsToken(token))
      throw Error("PHI2_INVALID_OPTION", "The prompt holds " + std::to_string(token) + ", which is no token id.");
  }
  for (const auto& [token, bias] : spec.sampler.logit_bias) {
    if (!model->IsToken(token))
      throw Error("PHI2_INVALID_OPTION", "logitBias names " + std::to_string(token) + ", which is no token id.");
  }
  if (spec.tokens.size() > n_ctx_seq_) {
    throw Error("PHI2_CONTEXT_FULL", "The prompt has " + std::to_string(spec.tokens.size()) +
                                         " tokens but a sequence holds at most " + std::to_string(n_ctx_seq_) +
                                         ". Shorten the prompt" +
                                         (n_ctx_seq_ < static_cast<uint32_t>(llama_model_n_ctx_train(model->get()))
                                              ? " or load the model with a larger contextSize."
                                              : "."));
  }
  const auto n_prompt = static_cast<int32_t>(spec.tokens.size());
  spec.logit_positions.erase(std::remove_if(spec.logit_positions.begin(), spec.logit_positions.end(),
                                            [n_prompt](int32_t p) { return p < 0 || p >= n_prompt; }),
                             spec.logit_positions.end());

  const uint32_t id = next_id_++;
  auto sequence = std::make_unique<Sequence>(id, std::move(spec), model);
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) throw ClosedError();
  abort_flags_[id] = std::make_shared<std::atomic<bool>>(false);
  commands_.push_back({Command::Kind::kSubmit, id, std::move(sequence)});
  wake_.notify_one();
  return id;
}

std::shared_ptr<Model> Engine::OpenModel() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_ || !model_) throw ClosedError();
  return model_;
}

void Engine::ReleaseModel() {
  std::shared_ptr<Model> model;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) model.swap(model_);
  }
}

void Engine::Abort(uint32_t id) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto flag = abort_flags_.find(id);
    if (flag == abort_flags_.end()) return;
    flag->second->store(true);
  }
  Post(Command::Kind::kAbort, id);
}

void Engine::Pause(uint32_t id) { Post(Command::Kind::kPause, id); }

void Engine::Resume(uint32_t id) { Post(Command::Kind::kResume, id); }

void Engine::Post(Command::Kind kind, uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) return;
  commands_.push_back({kind, id, nullptr});
  wake_.notify_one();
}

void Engine::Close() {
  std::lock_guard<std::mutex> one(close_mutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    stop_now_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  context_.reset();
}

void Engine::CloseSilently() {
  silent_ = true;
  Close();
}

EngineStats Engine::stats() const {
  return {n_active_, n_queued_, n_cached_sequences_, n_cached_tokens_, n_steps_, n_decoded_};
}

// --- engine thread ---

void Engine::Run() {
  bool open = true;
  while (open) {
    try {
      open = TakeCommands();
      if (!open) break;
      Admit();
      if (BuildBatch()) Step();
      Settle();
    } catch (const std::exception& failure) {  // out of memory, most likely: what runs is given up, the engine is not
      for (auto& sequence : active_) sequence->Fail("PHI2_DECODE_FAILED", failure.what());
      room_changed_ = true;
    }
  }
  if (silent_) return;
  for (auto& sequence : queued_) active_.push_back(std::move(sequence));
  queued_.clear();
  for (auto& sequence : active_) sequence->End(EndReason::kAbort);
  Settle();
}

/// Sleeps while there is nothing to do. Returns false when the engine closes.
bool Engine::TakeCommands() {
  std::vector<Command> commands;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool runnable =
        std::any_of(active_.begin(), active_.end(), [](const auto& s) { return !s->paused || s->ended; });
    const bool admissible = !queued_.empty() && room_changed_;
    if (!runnable && !admissible) wake_.wait(lock, [this] { return closing_ || !commands_.empty(); });
    commands.swap(commands_);
    if (closing_) {
      for (Command& command : commands) {
        if (command.sequence) queued_.push_back(std::move(command.sequence));
      }
      return false;
    }
  }
  for (Command& command : commands) Apply(std::move(command));
  Settle();
  return true;
}

void Engine::Apply(Command command) {
  if (command.kind == Command::Kind::kSubmit) {
    queued_.push_back(std::move(command.sequence));
    room_changed_ = true;
    return;
  }
  const auto is_it = [&](const auto& s) { return s->id() == command.id; };
  const auto waiting = std::find_if(queued_.begin(), queued_.end(), is_it);
  if (waiting != queued_.end() && command.kind == Command::Kind::kAbort) {
    (*waiting)->End(EndReason::kAbort);
    active_.push_back(std::move(*waiting));  // Settle() reports it
    queued_.erase(waiting);
    room_changed_ = true;
    return;
  }
  const auto running = std::find_if(active_.begin(), active_.end(), is_it);
  Sequence* sequence = running != active_.end() ? running->get() : waiting != queued_.end() ? waiting->get() : nullptr;
  if (sequence == nullptr) return;  // it has ended meanwhile
  if (command.kind == Command::Kind::kAbort) {
    sequence->End(EndReason::kAbort);
  } else {
    sequence->paused = command.kind == Command::Kind::kPause;
  }
}

/// First come, first served: a large request is not overtaken by small ones for ever.
void Engine::Admit() {
  if (!room_changed_) return;
  room_changed_ = false;
  llama_memory_t memory = context_->memory();
  while (!queued_.empty()) {
    Sequence& sequence = *queued_.front();
    const RequestSpec& spec = sequence.spec();
    const size_t n_predict = static_cast<size_t>(std::max(spec.n_predict, 0));
    const size_t cells = std::min(sequence.n_prompt() + n_predict, static_cast<size_t>(n_ctx_seq_));
    // Logits of cached positions are gone, so a request that asks for them decodes its whole prompt.
    const bool may_reuse = !spec.prompt_logprobs && spec.logit_positions.empty() && !spec.reproducible;
    if (spec.reproducible && active_.empty()) {
      for (int32_t slot : index_->EvictIdle()) Clear(slot);
    }
    const auto place = index_->Place(spec.tokens, cells, may_reuse);
    if (!place) break;
    for (int32_t evicted : place->evicted) Clear(evicted);
    if (place->copy_from >= 0) {
      Clear(place->slot);
      llama_memory_seq_cp(memory, place->copy_from, place->slot, 0, static_cast<llama_pos>(place->reuse));
    } else {
      llama_memory_seq_rm(memory, place->slot, static_cast<llama_pos>(place->reuse), -1);
    }
    active_.push_back(std::move(queued_.front()));
    sequence.Admit(place->slot, place->reuse, static_cast<int32_t>(n_ctx_seq_));
    queued_.pop_front();
  }
}

/// Returns false when nothing can run. Generating sequences come first with one token each, but for a part of the batch
/// that is kept for prompts while there are any; what is left of the budget is shared evenly between prompts.
bool Engine::BuildBatch() {
  parts_.clear();
  batch_->n_tokens = 0;
  n_batch_outputs_ = 0;
  const auto can_run = [](const auto& s) { return !s->paused && !s->ended; };
  size_t prompts = static_cast<size_t>(
      std::count_if(active_.begin(), active_.end(), [&](const auto& s) { return can_run(s) && s->prefilling(); }));
  const size_t for_decoding = prompts > 0 ? n_batch_ - std::min<size_t>(kMinPrefill, n_batch_ / 2) : n_batch_;
  bool left_out = false;
  for (auto& sequence : active_) {
    if (!can_run(sequence) || sequence->prefilling()) continue;
    if (static_cast<size_t>(batch_->n_tokens) < for_decoding) {
      Add(*sequence, 1);
    } else {
      left_out = true;
    }
  }
  size_t budget = prompts > 0 ? PrefillBudget(!parts_.empty()) : 0;
  for (auto& sequence : active_) {
    if (!can_run(sequence) || !sequence->prefilling()) continue;
    const size_t share = std::min(budget, std::max<size_t>(1, budget / prompts--));
    const auto before = static_cast<size_t>(batch_->n_tokens);
    if (share > 0) Add(*sequence, share);
    const size_t added = static_cast<size_t>(batch_->n_tokens) - before;
    left_out = left_out || added == 0;
    budget -= std::min(budget, added);
  }
  // Who had no place in this batch comes first in the next.
  if (left_out) std::rotate(active_.begin(), active_.begin() + 1, active_.end());
  return batch_->n_tokens > 0;
}

size_t Engine::PrefillBudget(bool others_decode) const {
  const size_t room = n_batch_ - static_cast<size_t>(batch_->n_tokens);
  if (active_.size() == 1 && active_.front()->spec().reproducible) return room;
  if (tokens_per_ms_ == 0) return std::min(room, kFirstPrefill);
  const bool alone = !others_decode && abort_callback_works_;
  const double wanted = tokens_per_ms_ * (alone ? kLonePrefillMs : kSharedStepMs);
  return std::min(room, std::max(kMinPrefill, static_cast<size_t>(wanted)));
}

void Engine::Add(Sequence& sequence, size_t count) {
  Part part{&sequence, sequence.n_past, 0, batch_->n_tokens};
  count =
      std::min({count, sequence.tokens().size() - sequence.n_past, n_batch_ - static_cast<size_t>(batch_->n_tokens)});
  for (; part.count < count; ++part.count) {
    const size_t position = part.first + part.count;
    const bool output = sequence.wants_output(position);
    if (output && n_batch_outputs_ == context_->n_outputs()) break;
    n_batch_outputs_ += output ? 1 : 0;
    const int32_t row = batch_->n_tokens++;
    batch_->token[row] = sequence.tokens()[position];
    batch_->pos[row] = static_cast<llama_pos>(position);
    batch_->n_seq_id[row] = 1;
    batch_->seq_id[row][0] = sequence.seq_id;
    batch_->logits[row] = output ? 1 : 0;
  }
  if (part.count > 0) parts_.push_back(part);
}

void Engine::Step() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    step_flags_.clear();
    for (const Part& part : parts_) step_flags_.push_back(abort_flags_[part.sequence->id()]);
  }
  const auto start = std::chrono::steady_clock::now();
  int32_t status = llama_decode(context_->get(), *batch_);
  if (status == 1) {
    // The index counts cells so that this cannot happen; idle sequences are given up before anything else is.
    for (int32_t slot : index_->EvictIdle()) Clear(slot);
    status = llama_decode(context_->get(), *batch_);
  }
  if (status == 0) {
    llama_synchronize(context_->get());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    ++n_steps_;
    n_decoded_ += static_cast<uint64_t>(batch_->n_tokens);
    if (static_cast<size_t>(batch_->n_tokens) >= kMinPrefill) {
      const double rate = batch_->n_tokens / std::max(took.count(), 1e-3);
      tokens_per_ms_ = tokens_per_ms_ == 0 ? rate : 0.5 * (tokens_per_ms_ + rate);
    }
    OnDecoded();
  } else if (status == 2) {
    OnAborted();
  } else {
    OnDecodeError(status);
  }
}

void Engine::OnDecoded() {
  for (const Part& part : parts_) {
    Sequence& sequence = *part.sequence;
    sequence.n_past = part.first + part.count;
    try {
      for (size_t i = 0; i < part.count && !sequence.ended; ++i) {
        const int32_t row = part.row + static_cast<int32_t>(i);
        if (batch_->logits[row] == 0) continue;
        const float* logits = llama_get_logits_ith(context_->get(), row);
        if (logits == nullptr) throw Error("PHI2_DECODE_FAILED", "The engine returned no logits.");
        sequence.OnLogits(part.first + i, logits);
      }
    } catch (const Error& failure) {
      sequence.Fail(failure.code(), failure.what());
    }
    index_->Update(sequence.seq_id, sequence.tokens(), sequence.n_past);
    Deliver(sequence);
  }
}

/// Every sequence of the batch was aborted, else the step would have gone on. What was decoded before stays valid.
void Engine::OnAborted() {
  llama_memory_t memory = context_->memory();
  for (const Part& part : parts_) {
    const llama_pos next = llama_memory_seq_pos_max(memory, part.sequence->seq_id) + 1;
    part.sequence->n_past = static_cast<size_t>(next);
    part.sequence->End(EndReason::kAbort);
  }
}

void Engine::OnDecodeError(int32_t status) {
  for (const Part& part : parts_) {
    part.sequence->n_past = 0;
    part.sequence->Fail("PHI2_DECODE_FAILED", "The engine failed to decode a batch of " +
                                                  std::to_string(batch_->n_tokens) + " tokens (status " +
                                                  std::to_string(status) + ").");
  }
}

void Engine::Deliver(Sequence& sequence) {
  Chunk chunk = sequence.TakeChunk();
  if (!chunk.empty()) sink_->OnChunk(sequence.id(), std::move(chunk));
}

/// Reports and removes what has ended; its tokens stay cached.
void Engine::Settle() {
  const auto middle = std::stable_partition(active_.begin(), active_.end(), [](const auto& s) { return !s->ended; });
  std::vector<std::unique_ptr<Sequence>> ended(std::make_move_iterator(middle), std::make_move_iterator(active_.end()));
  active_.erase(middle, active_.end());
  for (auto& sequence : ended) {
    if (sequence->seq_id < 0) continue;  // it never got a place
    if (sequence->n_past == 0) Clear(sequence->seq_id);
    index_->Release(sequence->seq_id, sequence->tokens(), sequence->n_past);
    room_changed_ = true;
  }
  // The figures come first: who hears of the end may ask for them.
  n_active_ = static_cast<uint32_t>(active_.size());
  n_queued_ = static_cast<uint32_t>(queued_.size());
  n_cached_sequences_ = static_cast<uint32_t>(index_->cached_sequences());
  n_cached_tokens_ = static_cast<uint32_t>(index_->cached_tokens());
  for (auto& sequence : ended) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      abort_flags_.erase(sequence->id());
    }
    Deliver(*sequence);
    sink_->OnEnd(sequence->id(), sequence->TakeEnding());
  }
}

void Engine::Clear(int32_t seq_id) { llama_memory_seq_rm(context_->memory(), seq_id, -1, -1); }

bool Engine::ShouldAbortStep(void* self) {
  const auto& engine = *static_cast<const Engine*>(self);
  if (engine.stop_now_.load(std::memory_order_relaxed)) return true;
  if (engine.step_flags_.empty()) return false;  // the context's own warm-up
  return std::all_of(engine.step_flags_.begin(), engine.step_flags_.end(),
                     [](const auto& flag) { return flag->load(std::memory_order_relaxed); });
}

}  // namespace phi2
