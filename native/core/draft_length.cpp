#include "core/draft_length.h"

#include <algorithm>
#include <cmath>
#include <queue>

namespace phi2 {
namespace {

// Less gain than this is not worth the risk that the estimates are wrong.
constexpr double kLeastGain = 1.05;

// So much longer may a step become that several sequences wait for.
constexpr double kMostSlowdown = 2;

// Share of the time that drafts may lose.
constexpr double kLossShare = 0.02;
// Of the steps that right guesses could have saved, what may be staked on the next one.
constexpr double kRunShare = 0.5;
// Steps; what was gained long ago is not gambled away.
constexpr double kMaxBalance = 20;

/// The kernels work on rows by four, eight and sixteen, and the time of a few sizes is soon known well. Where several
/// sequences share a step there are too few powers of two.
bool IsGoodSize(size_t n_tokens, size_t n_sequences) {
  return (n_tokens & (n_tokens - 1)) == 0 || (n_sequences > 1 && n_tokens % 4 == 0);
}

struct Draft {
  size_t length = 0;
  size_t max_length = 0;
  double tokens = 1;  // expected of the step
};

size_t LongestWithin(double max_loss_ms, const DraftOffer& offer, size_t n_tokens, const StepCost& cost) {
  const double without = cost.Ms(n_tokens);
  size_t length = 0;
  while (length < offer.survival.size()) {
    const auto next = static_cast<double>(length + 1);
    if (cost.Ms(n_tokens + length + 1) - without + next * offer.guess_ms > max_loss_ms) break;
    ++length;
  }
  return length;
}

}  // namespace

std::vector<size_t> ChooseDraftLengths(const std::vector<DraftOffer>& offers, const StepOutlook& outlook,
                                       const StepCost& cost) {
  std::vector<size_t> best(offers.size(), 0);
  const double step_ms = cost.Ms(outlook.n_tokens);
  if (step_ms == 0) return best;
  const double max_ms = outlook.n_sequences == 1 ? outlook.max_ms : kMostSlowdown * step_ms;

  // The next token that adds most comes next. A later guess of a sequence never adds more than an earlier one.
  std::vector<Draft> drafts(offers.size());
  std::priority_queue<std::pair<double, size_t>> next;
  const auto offer_next = [&](size_t i) {
    const Draft& draft = drafts[i];
    if (draft.length < draft.max_length) next.emplace(offers[i].survival[draft.length] / draft.tokens, i);
  };
  for (size_t i = 0; i < offers.size(); ++i) {
    drafts[i].max_length = LongestWithin(offers[i].max_loss_ms, offers[i], outlook.n_tokens, cost);
    offer_next(i);
  }
  double most = std::log(kLeastGain);
  double gain = 0;  // log of the product of expected tokens
  double guess_ms = 0;
  for (size_t n_tokens = outlook.n_tokens; !next.empty() && n_tokens < outlook.max_tokens;) {
    const size_t i = next.top().second;
    gain += std::log1p(next.top().first);
    next.pop();
    drafts[i].tokens += offers[i].survival[drafts[i].length++];
    guess_ms += offers[i].guess_ms;
    offer_next(i);
    ++n_tokens;
    const bool is_last = next.empty() || n_tokens == outlook.max_tokens;
    if (!is_last && !IsGoodSize(n_tokens, outlook.n_sequences)) continue;
    const double ms = cost.Ms(n_tokens) + guess_ms;
    if (ms > max_ms) break;
    const double speedup = gain - static_cast<double>(outlook.n_sequences) * std::log(ms / step_ms);
    if (speedup <= most) continue;
    most = speedup;
    std::transform(drafts.begin(), drafts.end(), best.begin(), [](const Draft& draft) { return draft.length; });
  }
  return best;
}

double DraftLedger::Stake(double step_ms, size_t run) const {
  return balance_ms_ + kRunShare * static_cast<double>(run) * step_ms;
}

void DraftLedger::Settle(double step_ms, double extra_ms, size_t n_accepted) {
  balance_ms_ += kLossShare * step_ms + static_cast<double>(n_accepted) * step_ms - extra_ms;
  balance_ms_ = std::min(balance_ms_, kMaxBalance * step_ms);
}

}  // namespace phi2
