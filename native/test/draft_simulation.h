#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "core/copy_tracker.h"
#include "core/draft_length.h"

/// Writes a given text as the engine would with lookup drafts, and adds up what the steps would take: model time, the
/// same on every machine.
namespace phi2::test {

using Tokens = std::vector<llama_token>;

/// Milliseconds of a step by its tokens, measured with a full-size Q4_K_M on two cores, and between those sizes.
inline double StepMs(size_t n) {
  static const std::vector<std::pair<double, double>> measured = {{1, 49},   {2, 72},   {4, 122},   {8, 195},
                                                                  {16, 303}, {32, 564}, {128, 1446}};
  const auto at = static_cast<double>(n);
  size_t i = 1;
  while (i + 1 < measured.size() && at > measured[i].first) ++i;
  const auto [size_a, ms_a] = measured[i - 1];
  const auto [size_b, ms_b] = measured[i];
  return ms_a * std::pow(at / size_a, std::log(ms_b / ms_a) / std::log(size_b / size_a));
}

struct Written {
  double ms = 0;
  double plain_ms = 0;  ///< a token a step
  size_t n_drafted = 0;
  size_t n_accepted = 0;

  double speedup() const { return plain_ms / ms; }
};

/// `noise`: share by which measured times differ from the true ones.
inline Written Write(const Tokens& prompt, const Tokens& text, std::mt19937& random, double noise = 0.1) {
  constexpr size_t kLongestDraft = 63;
  Written written;
  CopyTracker tracker;
  DraftLedger ledger;
  StepCost cost;
  cost.Add(128, StepMs(128));  // the prompt
  for (const llama_token token : prompt) tracker.Push(token);
  for (size_t n = 0; n < text.size();) {
    const size_t room = std::min(kLongestDraft, text.size() - n - 1);
    const double step_ms = cost.Ms(1);
    const DraftOffer offer = {tracker.Survival(room), ledger.Stake(step_ms, std::min(tracker.run(), n)), 0};
    const size_t length = ChooseDraftLengths({offer}, {1, 1, 1 + kLongestDraft, 1000}, cost).front();
    const Tokens draft = tracker.Guess(length);
    const auto end = std::mismatch(draft.begin(), draft.end(), text.begin() + static_cast<ptrdiff_t>(n)).first;
    const auto n_accepted = static_cast<size_t>(end - draft.begin());
    ledger.Settle(step_ms, cost.Ms(1 + length) - step_ms, n_accepted);
    const double ms = StepMs(1 + length);
    cost.Add(1 + length, ms * (1 + noise * static_cast<double>(random() % 1000) / 1000));
    written.ms += ms;
    written.n_drafted += length;
    written.n_accepted += n_accepted;
    for (size_t i = 0; i <= n_accepted; ++i) tracker.Push(text[n + i]);
    n += n_accepted + 1;
  }
  written.plain_ms = static_cast<double>(text.size()) * StepMs(1);
  return written;
}

}  // namespace phi2::test
