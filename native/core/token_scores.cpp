#include "core/token_scores.h"

#include <algorithm>
#include <cmath>

namespace phi2 {

double NegativeLogLikelihood(const float* logits, int32_t n_vocab, int32_t target) {
  const float top = *std::max_element(logits, logits + n_vocab);
  double sum = 0;
  for (int32_t i = 0; i < n_vocab; ++i) sum += std::exp(logits[i] - top);
  return top + std::log(sum) - logits[target];
}

Divergence CompareLogits(const float* logits, const float* base, int32_t n_vocab, int32_t target) {
  const float* top = std::max_element(logits, logits + n_vocab);
  const float* top_base = std::max_element(base, base + n_vocab);
  double sum = 0;
  double sum_base = 0;
  double sum_diff = 0;  // of the logits' differences, weighted by the reference's probabilities
  for (int32_t i = 0; i < n_vocab; ++i) {
    sum += std::exp(logits[i] - *top);
    const float weight = std::exp(base[i] - *top_base);
    sum_base += weight;
    // A token that the reference rules out has a difference of infinity and no weight.
    if (weight != 0) sum_diff += static_cast<double>(weight) * (static_cast<double>(base[i]) - logits[i]);
  }
  const double log_sum = *top + std::log(sum);
  const double log_sum_base = *top_base + std::log(sum_base);

  Divergence result = {};
  result.nll = log_sum - logits[target];
  result.nll_base = log_sum_base - base[target];
  // Never negative by its definition, but by rounding where the models agree.
  const double kld = sum_diff / sum_base - log_sum_base + log_sum;
  result.kld = kld < 0 ? 0 : kld;
  result.p_diff = std::exp(-result.nll) - std::exp(-result.nll_base);
  result.same_top = top - logits == top_base - base;
  return result;
}

}  // namespace phi2
