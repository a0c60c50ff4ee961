#include "core/batch_builder.h"

#include <algorithm>

namespace phi2 {
namespace {

// A step that other sequences wait for, or that only its end can abort, is kept near this long.
constexpr double kSharedStepMs = 100;
// A prompt alone on a device that can abort inside a step: new requests wait no longer than this for their turn.
constexpr double kLonePrefillMs = 1000;
constexpr size_t kMinPrefill = 16;
constexpr size_t kFirstPrefill = 64;  // before anything was measured

bool CanRun(const Sequence& sequence) { return !sequence.paused && !sequence.ended; }

}  // namespace

bool BatchBuilder::Build(std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost) {
  parts_.clear();
  batch_->n_tokens = 0;
  n_rows_with_output_ = 0;
  auto prompts = static_cast<size_t>(
      std::count_if(active.begin(), active.end(), [](const auto& s) { return CanRun(*s) && s->prefilling(); }));
  const size_t for_decoding = prompts > 0 ? n_batch_ - std::min<size_t>(kMinPrefill, n_batch_ / 2) : n_batch_;
  bool left_out = false;
  for (const auto& sequence : active) {
    if (!CanRun(*sequence) || sequence->prefilling()) continue;
    const size_t free = for_decoding - std::min(for_decoding, n_tokens());
    const size_t added = Add(*sequence, std::min(free, 1 + sequence->draft.size()));
    left_out = left_out || added == 0;
  }
  size_t budget = prompts > 0 ? PrefillBudget(active, cost) : 0;
  for (const auto& sequence : active) {
    if (!CanRun(*sequence) || !sequence->prefilling()) continue;
    const size_t share = std::min(budget, std::max<size_t>(1, budget / prompts--));
    const size_t added = Add(*sequence, std::min(share, sequence->tokens().size() - sequence->n_past));
    left_out = left_out || added == 0;
    budget -= added;
  }
  if (left_out) std::rotate(active.begin(), active.begin() + 1, active.end());
  return n_tokens() > 0;
}

size_t BatchBuilder::PrefillBudget(const std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost) const {
  if (active.size() == 1 && active.front()->spec().reproducible) return room();
  if (!cost.measured()) return std::min(room(), kFirstPrefill);
  const bool alone = parts_.empty() && can_abort_;
  return std::max(std::min(room(), kMinPrefill), cost.TokensWithin(alone ? kLonePrefillMs : kSharedStepMs, room()));
}

/// Adds at most `count` tokens from the sequence's next position on; returns how many.
size_t BatchBuilder::Add(Sequence& sequence, size_t count) {
  Part part{&sequence, sequence.n_past, 0, batch_->n_tokens};
  count = std::min(count, room());
  for (; part.count < count; ++part.count) {
    const size_t position = part.first + part.count;
    const bool output = sequence.wants_output(position);
    if (output && n_rows_with_output_ == n_outputs_) break;
    n_rows_with_output_ += output ? 1 : 0;
    const int32_t row = batch_->n_tokens++;
    batch_->token[row] = sequence.TokenAt(position);
    batch_->pos[row] = static_cast<llama_pos>(position);
    batch_->n_seq_id[row] = 1;
    batch_->seq_id[row][0] = sequence.seq_id;
    batch_->logits[row] = output ? 1 : 0;
  }
  if (part.count > 0) parts_.push_back(part);
  return part.count;
}

}  // namespace phi2
