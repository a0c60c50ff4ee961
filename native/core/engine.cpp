#include "core/engine.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <utility>

#include "core/backend.h"
#include "core/error.h"
#include "core/request_check.h"

namespace phi2 {

Engine::Engine(std::shared_ptr<Model> model, const EngineOptions& options, EventSink* sink, const DraftOptions& draft)
    : model_(std::move(model)),
      sink_(sink),
      has_draft_model_(draft.model != nullptr),
      n_queue_max_(options.n_queue_max) {
  if (has_draft_model_) RefuseOtherVocabulary(*model_, *draft.model);
  context_ = std::make_unique<Context>(*model_, ForEngine(options), StepWatch::ShouldStop, &watch_);
  shares_ = SharesOf(*model_, *context_);
  n_ctx_ = context_->n_ctx();
  n_batch_ = context_->n_batch();
  n_seq_max_ = options.n_seq_max;
  n_ctx_seq_ = std::min(n_ctx_, static_cast<uint32_t>(llama_model_n_ctx_train(model_->get())));
  const llama_model* shaped = model_->get();
  kv_shape_ = {static_cast<uint32_t>(llama_model_n_layer(shaped)), static_cast<uint32_t>(llama_model_n_embd(shaped)),
               options.type_kv};
  cache_ = std::make_unique<KvCache>(*context_, kv_shape_);
  scheduler_ = std::make_unique<Scheduler>(*cache_, n_ctx_seq_, n_queue_max_);
  builder_ = std::make_unique<BatchBuilder>(n_batch_, llama_n_ubatch(context_->get()), context_->n_outputs(),
                                            model_->on_cpu());
  std::unique_ptr<DraftModel> draft_model;
  if (has_draft_model_) {
    EngineOptions for_drafts = options;
    for_drafts.n_threads = draft.n_threads;
    draft_warnings_ = draft.model->warnings();
    draft_model = std::make_unique<DraftModel>(draft.model, for_drafts, *context_, StepWatch::ShouldStop, &watch_);
    AddShares(shares_, draft_model->shares());
  }
  const Speculator::Limits limits = {n_batch_, context_->n_outputs(), model_->on_cpu()};
  speculator_ = std::make_unique<Speculator>(limits, std::move(draft_model));
  thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() { Close(); }

// --- any thread ---

uint32_t Engine::Submit(RequestSpec spec) {
  const uint32_t seed = spec.sampler.seed;
  return Submit(std::move(spec), {seed});
}

uint32_t Engine::Submit(RequestSpec spec, const std::vector<uint32_t>& seeds) {
  const std::shared_ptr<Model> model = OpenModel();
  CheckRequest(spec, *model, {n_ctx_seq_, has_draft_model_});
  const auto n = static_cast<uint32_t>(seeds.size());
  const uint32_t first = next_id_.fetch_add(n);
  std::vector<std::shared_ptr<Sequence>> choices;
  for (uint32_t i = 0; i < n; ++i) {
    spec.sampler.seed = seeds[i];
    choices.push_back(std::make_shared<Sequence>(first + i, first, spec, model));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) throw ClosedError();
  // The engine thread knows who has to wait. Here only what it would refuse in any case is kept from piling up.
  const size_t n_waiting = n_arriving_ + n_waiting_;
  if (n_waiting >= size_t{n_queue_max_} + n_seq_max_) throw Scheduler::BusyError(n_waiting, n_queue_max_);
  for (const auto& choice : choices) watch_.Add(choice->id());
  ++n_arriving_;
  commands_.push_back([this, choices = std::move(choices)](bool) {
    for (const auto& choice : choices) scheduler_->Submit(choice);
    std::lock_guard<std::mutex> arrived(mutex_);
    --n_arriving_;
  });
  watch_.WantTurn();
  wake_.notify_one();
  return first;
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
  if (!watch_.Abort(id)) return;
  Send([this, id](bool open) {
    if (open) scheduler_->Abort(id);
  });
}

void Engine::Pause(uint32_t id) {
  const auto pause = [this, id](bool open) {
    if (open) scheduler_->SetPaused(id, true);
  };
  Send(pause, false);
}

void Engine::Resume(uint32_t id) {
  Send([this, id](bool open) {
    if (open) scheduler_->SetPaused(id, false);
  });
}

void Engine::RunBetweenSteps(const std::function<void()>& work) {
  const auto done = std::make_shared<std::promise<std::optional<Failure>>>();
  const bool sent = Send([&work, done](bool open) {
    std::optional<Failure> failure;
    try {
      if (!open) throw ClosedError();
      work();
    } catch (...) {
      failure = Failure::Current();
    }
    done->set_value(std::move(failure));
  });
  if (!sent) throw ClosedError();
  if (const auto failure = done->get_future().get()) failure->Throw();
}

size_t Engine::CachedPrefix(const std::vector<llama_token>& tokens) {
  size_t n = 0;
  RunBetweenSteps([&] { n = cache_->LongestPrefix(tokens); });
  return n;
}

bool Engine::ReadCells(const std::vector<llama_token>& tokens, size_t first, size_t n, uint8_t* plain) {
  // Made here, so that the engine thread finds the memory ready.
  std::vector<uint8_t> cells(EngineCellsSize(kv_shape_, n));
  bool found = false;
  RunBetweenSteps([&] { found = cache_->Read(tokens, first, n, cells); });
  if (found) FromEngineCells(kv_shape_, first, n, cells, plain);
  return found;
}

bool Engine::WriteCells(std::vector<llama_token> tokens, size_t first, const uint8_t* plain,
                        const std::function<void(uint32_t id)>& on_start) {
  if (!AllOrdinary(kv_shape_.type, plain, (tokens.size() - first) * kv_shape_.cell_bytes())) {
    throw Error("PHI2_INVALID_STATE", "The saved cells hold numbers that no model computes.");
  }
  const auto cells = std::make_shared<CellsToWrite>();
  cells->first = first;
  cells->plain = plain;
  RequestSpec spec;
  spec.tokens = std::move(tokens);
  spec.cells = cells;
  on_start(Submit(std::move(spec)));
  const CellsToWrite::Outcome outcome = cells->done.get_future().get();
  if (outcome.failure) outcome.failure->Throw();
  return outcome.written;
}

/// Returns false when the engine is closing: the command is dropped. A long step is cut for what is urgent.
bool Engine::Send(Command command, bool urgent) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) return false;
  commands_.push_back(std::move(command));
  if (urgent) watch_.WantTurn();
  wake_.notify_one();
  return true;
}

void Engine::Close() {
  std::lock_guard<std::mutex> one(close_mutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    watch_.StopNow();
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  speculator_.reset();  // its model's context uses the threads of the other
  context_.reset();
}

void Engine::CloseSilently() {
  silent_ = true;
  Close();
}

EngineStats Engine::stats() const {
  return {n_active_, n_queued_, n_cached_sequences_, n_cached_tokens_, n_steps_, n_decoded_, n_preempted_};
}

// --- engine thread ---

void Engine::Run() {
  bool open = true;
  while (open) {
    try {
      open = TakeCommands();
      if (!open) break;
      scheduler_->Admit([this](Sequence& sequence) {
        if (sequence.spec().cells) PutCells(sequence);
      });
      Draft();
      scheduler_->ClaimCells();
      if (builder_->Build(scheduler_->active(), cost_)) Step();
      Settle();
    } catch (const std::exception& failure) {  // out of memory, most likely: what runs is given up, the engine is not
      for (auto& sequence : scheduler_->active()) sequence->Fail("PHI2_DECODE_FAILED", failure.what());
    }
  }
  scheduler_->AbortAll();
  Settle();
}

/// Sleeps while there is nothing to do. Returns false when the engine closes.
bool Engine::TakeCommands() {
  std::vector<Command> commands;
  bool open = true;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!scheduler_->has_work()) wake_.wait(lock, [this] { return closing_ || !commands_.empty(); });
    commands.swap(commands_);
    watch_.OnTurn();
    open = !closing_;
  }
  for (const Command& command : commands) command(open);
  if (open) Settle();
  return open;
}

/// The whole of what such a request does.
void Engine::PutCells(Sequence& sequence) {
  CellsToWrite& cells = *sequence.spec().cells;
  const size_t held = sequence.n_past;
  try {
    if (held >= cells.first) {
      cache_->ClaimCells(sequence.seq_id, sequence.n_prompt());
      cache_->MakeRoom();
      cache_->Write(sequence.seq_id, cells.first, cells.plain, sequence.n_prompt() - cells.first, held - cells.first);
      sequence.n_past = sequence.n_prompt();
      cache_->Keep(sequence.seq_id, sequence.tokens(), sequence.n_past);
      cells.outcome.written = true;
    }
  } catch (...) {
    cells.outcome.failure = Failure::Current();
  }
  sequence.End(EndReason::kLength);
}

void Engine::Draft() {
  std::vector<uint32_t> drafting;
  for (const auto& sequence : scheduler_->active()) {
    if (sequence->spec().speculate == Speculate::kDraft) drafting.push_back(sequence->id());
  }
  watch_.Watch(drafting);
  speculator_->Draft(scheduler_->active(), cost_);
}

void Engine::Step() {
  std::vector<uint32_t> in_step;
  for (const auto& part : builder_->parts()) in_step.push_back(part.sequence->id());
  watch_.Watch(in_step);
  for (const auto& part : builder_->parts()) cache_->ClaimCells(part.sequence->seq_id, part.first + part.count);
  cache_->MakeRoom();
  const Clock::time_point start = Clock::now();
  watch_.CutUntil(CutUntil(start));
  // Never 1, for want of cells: they are counted one by one.
  const int32_t status = llama_decode(context_->get(), builder_->batch());
  if (status == 0) {
    llama_synchronize(context_->get());
    const Milliseconds took = Clock::now() - start;
    ++n_steps_;
    n_decoded_ += builder_->n_tokens();
    cost_.Add(builder_->n_tokens(), took.count());
    builder_->OnWhole();
    sink_->OnStep(builder_->parts());
    OnDecoded();
  } else if (status == 2) {
    OnCut();
  } else {
    OnDecodeError(status);
  }
}

/// A long step may be cut while more of its time is ahead than such a cut would cost.
Engine::Clock::time_point Engine::CutUntil(Clock::time_point start) const {
  if (!builder_->is_long()) return start;
  if (!cost_.measured()) return Clock::time_point::max();
  const Milliseconds worth(cost_.Ms(builder_->n_tokens()) - kShortStepMs);
  return start + std::chrono::duration_cast<Clock::duration>(worth);
}

void Engine::OnDecoded() {
  for (const BatchBuilder::Part& part : builder_->parts()) {
    Sequence& sequence = *part.sequence;
    const size_t n_known = sequence.tokens().size();
    try {
      TakeLogits(part);
    } catch (const Error& failure) {
      sequence.Fail(failure.code(), failure.what());
    }
    sequence.SettleDraft(n_known, part.first + part.count - std::min(part.first + part.count, n_known));
    cache_->Keep(sequence.seq_id, sequence.tokens(), sequence.n_past);
    Deliver(sequence);
  }
}

/// Row by row: a drafted token stands only if the row before it led to that very token; behind the first that does
/// not, nothing was decoded that is of use.
void Engine::TakeLogits(const BatchBuilder::Part& part) {
  Sequence& sequence = *part.sequence;
  const llama_batch& batch = builder_->batch();
  for (size_t i = 0; i < part.count; ++i) {
    const size_t position = part.first + i;
    const int32_t row = part.row + static_cast<int32_t>(i);
    const bool refused = position >= sequence.tokens().size() || sequence.tokens()[position] != batch.token[row];
    if (sequence.ended || refused) return;
    sequence.n_past = position + 1;
    if (batch.logits[row] == 0) continue;
    const float* logits = llama_get_logits_ith(context_->get(), row);
    if (logits == nullptr) throw Error("PHI2_DECODE_FAILED", "The engine returned no logits.");
    sequence.OnLogits(position, logits);
  }
}

/// The step was cut: all that it held was aborted, or something else wants to run, or the engine closes. The commands
/// that say so are yet to be taken. What parts of the batch were decoded before stays valid, up to the first row
/// whose logits were wanted: they are lost.
void Engine::OnCut() {
  if (!watch_.AllAborted()) builder_->OnCut();
  for (const BatchBuilder::Part& part : builder_->parts()) {
    Sequence& sequence = *part.sequence;
    const size_t held = std::min(cache_->Held(sequence.seq_id), sequence.tokens().size() - 1);
    while (sequence.n_past < held && !sequence.wants_output(sequence.n_past)) ++sequence.n_past;
    sequence.draft.clear();
    cache_->Keep(sequence.seq_id, sequence.tokens(), sequence.n_past);
  }
}

void Engine::OnDecodeError(int32_t status) {
  for (const BatchBuilder::Part& part : builder_->parts()) {
    part.sequence->n_past = 0;
    part.sequence->Fail("PHI2_DECODE_FAILED", "The engine failed to decode a batch of " +
                                                  std::to_string(builder_->n_tokens()) + " tokens (status " +
                                                  std::to_string(status) + ").");
  }
}

void Engine::Deliver(Sequence& sequence) {
  Chunk chunk = sequence.TakeChunk();
  if (!chunk.empty() && !silent_) sink_->OnChunk(sequence.id(), std::move(chunk));
}

/// Reports and removes what has ended; its tokens stay cached.
void Engine::Settle() {
  const Scheduler::Sequences ended = scheduler_->TakeEnded();
  // The figures come first: who hears of the end may ask for them.
  n_active_ = static_cast<uint32_t>(scheduler_->active().size());
  n_queued_ = static_cast<uint32_t>(scheduler_->n_queued());
  n_waiting_ = scheduler_->n_waiting();
  n_preempted_ = scheduler_->n_preempted();
  n_cached_sequences_ = static_cast<uint32_t>(cache_->cached_sequences());
  n_cached_tokens_ = static_cast<uint32_t>(cache_->used_cells());
  for (const auto& sequence : ended) {
    watch_.Remove(sequence->id());
    speculator_->Forget(sequence->id());
    Ending ending = sequence->TakeEnding();
    if (const auto& cells = sequence->spec().cells) {
      if (ending.reason == EndReason::kAbort) {
        cells->outcome.failure = Failure(
            watch_.stop_now() ? ClosedError() : Error("PHI2_ABORTED", "Putting cells into the cache was aborted."));
      } else if (ending.reason == EndReason::kError) {
        cells->outcome.failure = Failure(Error(ending.error_code, ending.error_message));
      }
      cells->done.set_value(cells->outcome);
      continue;
    }
    Deliver(*sequence);
    if (!silent_) sink_->OnEnd(sequence->id(), std::move(ending));
  }
}

}  // namespace phi2
