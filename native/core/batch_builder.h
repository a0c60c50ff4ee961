#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/context.h"
#include "core/sequence.h"
#include "core/step_cost.h"
#include "core/step_plan.h"

namespace phi2 {

/// Fills the batch of a step as PlanStep() says. Engine thread only.
class BatchBuilder {
 public:
  /// What one sequence contributes: the rows [row, row + count) of the batch, at the positions [first, first + count).
  struct Part {
    Sequence* sequence;
    size_t first;
    size_t count;
    int32_t row;
  };

  BatchBuilder(uint32_t n_batch, uint32_t n_ubatch, uint32_t n_outputs, bool can_abort)
      : n_batch_(n_batch),
        n_ubatch_(n_ubatch),
        n_outputs_(n_outputs),
        can_abort_(can_abort),
        batch_(static_cast<int32_t>(n_batch)),
        n_long_step_(n_batch) {}

  /// Returns false when nothing can run. Who had no place in the batch comes first the next time: `active` is
  /// reordered.
  bool Build(std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost);

  llama_batch& batch() { return *batch_; }
  size_t n_tokens() const { return static_cast<size_t>(batch_->n_tokens); }
  const std::vector<Part>& parts() const { return parts_; }

  /// The step reads prompts only, or has a draft of the only sequence, and takes longer than others should have to
  /// wait: when something else wants to run, it is to be cut and done again shared. What OnCut() does keeps that from
  /// happening for ever to prompts: the longest step that may be cut is then half as long, and so on down to steps that
  /// are not cut; each that is done whole allows one of twice the length.
  bool is_long() const { return plan_.is_long; }
  void OnCut();
  void OnWhole();

 private:
  StepPlan Plan(const std::vector<Sequence*>& runnable, const StepCost& cost) const;
  size_t Add(Sequence& sequence, size_t count);

  size_t n_batch_;
  size_t n_ubatch_;
  size_t n_outputs_;  // rows of logits that one step may give
  bool can_abort_;    // inside a step
  Batch batch_;
  size_t n_rows_with_output_ = 0;
  std::vector<Part> parts_;
  size_t n_long_step_ = 0;
  StepPlan plan_;
};

}  // namespace phi2
