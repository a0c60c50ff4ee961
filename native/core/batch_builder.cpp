#include "core/batch_builder.h"

#include <algorithm>
#include <unordered_set>

namespace phi2 {

bool BatchBuilder::Build(std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost) {
  parts_.clear();
  batch_->n_tokens = 0;
  n_rows_with_output_ = 0;
  std::vector<Sequence*> runnable;
  for (const auto& sequence : active) {
    if (!sequence->paused() && !sequence->ended) runnable.push_back(sequence.get());
  }
  plan_ = Plan(runnable, cost);
  std::unordered_set<const Sequence*> left_out;
  for (size_t i = 0; i < runnable.size(); ++i) {
    if (Add(*runnable[i], plan_.counts[i]) == 0) left_out.insert(runnable[i]);
  }
  if (!left_out.empty()) {
    std::stable_partition(active.begin(), active.end(), [&](const auto& s) { return left_out.count(s.get()) > 0; });
  }
  return n_tokens() > 0;
}

void BatchBuilder::OnCut() {
  if (!plan_.only_prompts) return;
  // With a short prompt little was lost: that is no reason for a later one to begin with tiny steps.
  n_long_step_ = 2 * n_tokens() >= n_long_step_ ? n_tokens() / 2 : n_long_step_ / 2;
}

void BatchBuilder::OnWhole() {
  if (plan_.only_prompts) n_long_step_ = std::min(n_batch_, 2 * std::max(n_long_step_, n_tokens()));
}

StepPlan BatchBuilder::Plan(const std::vector<Sequence*>& runnable, const StepCost& cost) const {
  std::vector<StepCandidate> candidates;
  for (const Sequence* sequence : runnable) {
    candidates.push_back({sequence->tokens().size() - sequence->n_past, sequence->draft.size(), sequence->priority()});
  }
  StepLimits limits;
  limits.n_batch = n_batch_;
  limits.can_abort = can_abort_;
  limits.n_long_step = n_long_step_;
  // A reproducible prompt alone is read in steps of a fixed size: how it is cut decides how numbers are rounded. It is
  // the size of what the engine computes at once: a larger step would take no less time, and more of it could be lost.
  if (runnable.size() == 1 && runnable.front()->spec().reproducible) limits.n_fixed = n_ubatch_;
  return PlanStep(candidates, limits, cost);
}

/// Adds at most `count` tokens from the sequence's next position on; returns how many.
size_t BatchBuilder::Add(Sequence& sequence, size_t count) {
  Part part{&sequence, sequence.n_past, 0, batch_->n_tokens};
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
