#pragma once

#include <cstddef>
#include <vector>

#include "core/step_cost.h"

namespace phi2 {

/// What a sequence could draft for the next step.
struct DraftOffer {
  std::vector<double> survival;  ///< probability that the first 1, 2, … guesses are all right
  double max_loss_ms = 0;        ///< how much longer its draft may make a step, at worst for nothing
  double guess_ms = 0;           ///< what it takes to guess a token
};

/// The next step as it would be without drafts.
struct StepOutlook {
  size_t n_tokens = 1;
  size_t n_sequences = 1;  ///< that wait for it, those with an offer included
  size_t max_tokens = 0;   ///< with drafts
  double max_ms = 0;       ///< with drafts, if nobody else waits for it
};

/// How many tokens of each offer are worth their time: those with which the product of the speeds of all sequences is
/// largest, so that nobody's answer slows down for a smaller gain of another's; and a step that several sequences wait
/// for becomes at most twice as long. None while no step was measured.
std::vector<size_t> ChooseDraftLengths(const std::vector<DraftOffer>& offers, const StepOutlook& outlook,
                                       const StepCost& cost);

/// Keeps what one sequence's drafts have lost small, whatever the text does: a few hundredths of the time that it took,
/// and half of what its longest run of right guesses could have saved.
class DraftLedger {
 public:
  /// How much longer a draft may make the next step at worst, when the last `run` tokens that the sequence
  /// generated were as guessed, and a step without it takes step_ms.
  double Stake(double step_ms, size_t run) const;

  /// A step is over that would have taken step_ms; with a draft it took extra_ms longer and gave n_accepted tokens
  /// more.
  void Settle(double step_ms, double extra_ms, size_t n_accepted);

 private:
  double balance_ms_ = 0;
};

}  // namespace phi2
