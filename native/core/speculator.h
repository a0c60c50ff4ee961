#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/acceptance.h"
#include "core/copy_tracker.h"
#include "core/draft_length.h"
#include "core/draft_model.h"
#include "core/sequence.h"
#include "core/step_cost.h"
#include "core/step_plan.h"

namespace phi2 {

/// Guesses before every step what the sequences that want it will generate, as far as the guesses are worth their time:
/// by following how a text copies itself, or by asking a smaller model. Engine thread only.
class Speculator {
 public:
  struct Limits {
    size_t n_batch = 0;      ///< tokens of a step
    size_t n_outputs = 0;    ///< rows of logits of a step
    bool can_abort = false;  ///< inside a step
  };

  /// `model` may be null: then no sequence may ask for it.
  Speculator(const Limits& limits, std::unique_ptr<DraftModel> model) : limits_(limits), model_(std::move(model)) {}

  /// Refills the drafts of all sequences. `cost` is that of the engine's steps.
  void Draft(const std::vector<std::shared_ptr<Sequence>>& active, const StepCost& cost);

  /// The sequence is over.
  void Forget(uint32_t id) { states_.erase(id); }

 private:
  /// What is known of one sequence.
  struct State {
    CopyTracker copies;               // of a lookup
    ConfidenceAcceptance acceptance;  // of the model's guesses
    std::vector<float> confidences;   // of its guesses in the step under way
    size_t run = 0;                   // its right guesses in a row
    size_t drafted_at = 0;            // tokens that there were when it was asked last
    DraftLedger ledger;
    DraftCount settled;
    double step_ms = 0;   // what the step under way takes without drafts; 0: there is none
    double token_ms = 0;  // what each token of a draft adds to it
    double guess_ms = 0;  // what this draft took to make
  };

  struct Candidate {
    Sequence* sequence;
    State* state;
    size_t length = 0;
  };

  bool uses_model(const Sequence& sequence) const { return sequence.spec().speculate == Speculate::kDraft; }
  size_t ReadBudget(const Sequence& sequence) const;
  double GuessMs(bool nominal) const;
  void Settle(Candidate& candidate) const;
  DraftOffer Offer(const Candidate& candidate, double step_ms, bool nominal) const;
  void Guess(std::vector<Candidate>& candidates, const StepOutlook& outlook, const StepCost& cost, bool nominal);

  Limits limits_;
  std::unique_ptr<DraftModel> model_;
  std::unordered_map<uint32_t, State> states_;
};

}  // namespace phi2
