#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/step_cost.h"

namespace phi2 {

/// A sequence that could take part in a step.
struct StepCandidate {
  size_t n_tokens = 1;   ///< that it could have decoded: what is left of its prompt, or the token it generated last
  size_t n_drafted = 0;  ///< of a generating one: guesses behind that token
  int32_t priority = 0;
};

struct StepLimits {
  size_t n_batch = 0;      ///< tokens of a step at most
  bool can_abort = false;  ///< inside a step
  /// Tokens of a step at most that is long and must be cut when something else wants to run; a larger one is not.
  size_t n_long_step = std::numeric_limits<size_t>::max();
  size_t n_fixed = 0;  ///< prompts have so many tokens of a step, whatever it takes; 0: as many as seem good
};

struct StepPlan {
  std::vector<size_t> counts;  ///< for each candidate, in their order
  size_t n_tokens = 0;         ///< in all
  bool only_prompts = false;
  /// Only prompts are read, or one sequence generates with a draft, for longer than others should have to wait, or
  /// nobody knows how long.
  bool is_long = false;
};

/// Shares out a step.
///
/// - Every generating sequence has its token in every step, but for a few places that are kept for prompts when there
///   are more sequences than a batch has tokens. So has a prompt of which one token is left: it costs as much and gives
///   an answer its first token. Drafts come after all of them.
/// - Prompts beside them have as many tokens as keep the step within twice the time of the generating sequences alone,
///   or within 100 ms: between two tokens of an answer there is at most one such step.
/// - Prompts among themselves have long steps, since few large ones are faster than many small ones; where a step can
/// be
///   aborted from inside it is cut when something else comes, elsewhere it is short. Of several prompts the one that is
///   nearest to its end has half, and the step is no longer than twice what that one needs; the others share evenly.
/// - Prompts of a higher priority come before all others.
StepPlan PlanStep(const std::vector<StepCandidate>& candidates, const StepLimits& limits, const StepCost& cost);

/// A step of that length is never worth cutting: others can wait for it.
constexpr double kShortStepMs = 100;

}  // namespace phi2
