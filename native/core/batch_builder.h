#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/context.h"
#include "core/sequence.h"
#include "core/step_cost.h"

namespace phi2 {

/// What goes into a step: decides how many tokens of which sequence, and fills the batch. Engine thread only.
class BatchBuilder {
 public:
  /// What one sequence contributes: the rows [row, row + count) of the batch, at the positions [first, first + count).
  struct Part {
    Sequence* sequence;
    size_t first;
    size_t count;
    int32_t row;
  };

  BatchBuilder(uint32_t n_batch, uint32_t n_outputs, bool can_abort)
      : n_batch_(n_batch), n_outputs_(n_outputs), can_abort_(can_abort), batch_(static_cast<int32_t>(n_batch)) {}

  /// Returns false when nothing can run. Generating sequences come first, with their pending token and what is drafted
  /// behind it, but for a part of the batch that is kept for prompts while there are any; what is left of the budget is
  /// shared evenly between prompts. Who had no place comes first the next time: `active` is rotated.
  bool Build(std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost);

  llama_batch& batch() { return *batch_; }
  size_t n_tokens() const { return static_cast<size_t>(batch_->n_tokens); }
  const std::vector<Part>& parts() const { return parts_; }

 private:
  size_t room() const { return n_batch_ - n_tokens(); }
  size_t PrefillBudget(const std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost) const;
  size_t Add(Sequence& sequence, size_t count);

  size_t n_batch_;
  size_t n_outputs_;  // rows of logits that one step may give
  bool can_abort_;    // inside a step
  Batch batch_;
  size_t n_rows_with_output_ = 0;
  std::vector<Part> parts_;
};

}  // namespace phi2
