#include "core/step_plan.h"

#include <algorithm>
#include <numeric>

namespace phi2 {
namespace {

// A long step has so many tokens, or more where that takes less time than this. Further ones would hardly make it
// faster, but lose more work when it is cut. It stops within a hundredth of its time, which for so many tokens is less
// than generating one takes.
constexpr size_t kLongStep = 256;
constexpr double kLongStepMs = 3000;
// Prompts have so many tokens of a step at least.
constexpr size_t kMinPrefill = 4;
// Before anything was measured, where a step cannot be aborted or others generate.
constexpr size_t kFirstStep = 64;

using Indices = std::vector<size_t>;

class Planner {
 public:
  Planner(const std::vector<StepCandidate>& candidates, const StepLimits& limits, const StepCost& cost)
      : candidates_(candidates), limits_(limits), cost_(cost) {
    plan_.counts.assign(candidates.size(), 0);
    Indices order(candidates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return of(a).priority > of(b).priority; });
    for (const size_t i : order) (of(i).n_tokens > 1 ? prompts_ : generating_).push_back(i);
  }

  StepPlan Plan() {
    AddGenerating();
    const bool alone = candidates_.size() == 1 && plan_.n_tokens > 1;
    if (!prompts_.empty()) AddPrompts();
    plan_.is_long =
        (alone || plan_.only_prompts) && limits_.can_abort && !IsShort() && plan_.n_tokens <= limits_.n_long_step;
    return std::move(plan_);
  }

 private:
  const StepCandidate& of(size_t i) const { return candidates_[i]; }
  size_t room() const { return limits_.n_batch - plan_.n_tokens; }
  bool IsShort() const { return cost_.measured() && cost_.Ms(plan_.n_tokens) <= kShortStepMs; }

  void Give(size_t i, size_t n) {
    plan_.counts[i] += n;
    plan_.n_tokens += n;
  }

  void AddGenerating() {
    const size_t kept = prompts_.empty() ? 0 : std::min(kMinPrefill, limits_.n_batch / 2);
    const size_t room_for_all = limits_.n_batch - kept;
    for (const size_t i : generating_) {
      if (plan_.n_tokens < room_for_all) Give(i, 1);
    }
    for (const size_t i : generating_) {
      if (plan_.counts[i] > 0) Give(i, std::min(of(i).n_drafted, room_for_all - plan_.n_tokens));
    }
  }

  void AddPrompts() {
    const bool alone = plan_.n_tokens == 0;
    size_t budget = limits_.n_fixed > 0 ? std::min(room(), limits_.n_fixed) : alone ? BudgetAlone() : BudgetBeside();
    for (auto begin = prompts_.begin(); begin != prompts_.end() && budget > 0;) {
      const int32_t priority = of(*begin).priority;
      const auto end = std::find_if(begin, prompts_.end(), [&](size_t i) { return of(i).priority != priority; });
      budget -= Share(Indices(begin, end), budget);
      begin = end;
    }
    plan_.only_prompts = alone;
  }

  size_t BudgetBeside() const {
    const size_t others = plan_.n_tokens;
    const double ms = std::max(kShortStepMs, 2 * cost_.Ms(others));
    const size_t most = cost_.measured() ? cost_.TokensWithin(ms, limits_.n_batch) : others + kFirstStep;
    return std::min(room(), std::max(kMinPrefill, most - std::min(most, others)));
  }

  size_t BudgetAlone() const {
    size_t least = limits_.can_abort ? kMinPrefill : kFirstStep;
    if (cost_.measured()) least = std::max(kMinPrefill, cost_.TokensWithin(kShortStepMs, room()));
    if (!limits_.can_abort) return std::min(room(), least);
    const int32_t first_priority = of(prompts_.front()).priority;
    size_t shortest = of(prompts_.front()).n_tokens;
    for (const size_t i : prompts_) {
      if (of(i).priority == first_priority) shortest = std::min(shortest, of(i).n_tokens);
    }
    size_t most = cost_.measured() ? std::max(kLongStep, cost_.TokensWithin(kLongStepMs, room())) : kLongStep;
    most = std::min({most, limits_.n_long_step, room()});
    if (prompts_.size() > 1) most = cost_.TokensWithin(2 * cost_.Ms(shortest), most);
    if (prompts_.size() == 1 && most > 0) {
      // Equal parts, rather somewhat larger than one more: a small one at the end would cost more than its share.
      const size_t enough = std::min({most + most / 4, limits_.n_long_step, room()});
      const size_t parts = (shortest + enough - 1) / enough;
      most = (shortest + parts - 1) / parts;
    }
    return std::min(room(), std::max(least, most));
  }

  /// Returns how much of the budget was used.
  size_t Share(const Indices& prompts, size_t budget) {
    const size_t before = plan_.n_tokens;
    const size_t nearest = *std::min_element(prompts.begin(), prompts.end(),
                                             [&](size_t a, size_t b) { return of(a).n_tokens < of(b).n_tokens; });
    Give(nearest, std::min(of(nearest).n_tokens, (budget + 1) / 2));
    for (;;) {
      Indices open;
      for (const size_t i : prompts) {
        if (plan_.counts[i] < of(i).n_tokens) open.push_back(i);
      }
      size_t left = budget - (plan_.n_tokens - before);
      if (open.empty() || left == 0) return budget - left;
      const size_t share = std::max<size_t>(1, left / open.size());
      for (const size_t i : open) {
        const size_t n = std::min({share, left, of(i).n_tokens - plan_.counts[i]});
        Give(i, n);
        left -= n;
      }
    }
  }

  const std::vector<StepCandidate>& candidates_;
  const StepLimits& limits_;
  const StepCost& cost_;
  Indices generating_;  // each list by priority, then in the given order
  Indices prompts_;
  StepPlan plan_;
};

}  // namespace

StepPlan PlanStep(const std::vector<StepCandidate>& candidates, const StepLimits& limits, const StepCost& cost) {
  return Planner(candidates, limits, cost).Plan();
}

}  // namespace phi2
