#pragma once

#include <cstdint>

namespace phi2 {

/// -log p(target) by one row of logits, in nats. Not finite when a logit is NaN or infinite where it matters.
double NegativeLogLikelihood(const float* logits, int32_t n_vocab, int32_t target);

/// How one model's prediction differs from another's at one position.
struct Divergence {
  double nll;       ///< of the model
  double nll_base;  ///< of the reference
  double kld;       ///< Kullback-Leibler divergence from the reference to the model, in nats
  double p_diff;    ///< p(target) of the model less that of the reference
  bool same_top;    ///< both hold the same token likeliest
};

/// Over the whole vocabulary. `nll`, `nll_base` or `kld` is not finite when logits are not.
Divergence CompareLogits(const float* logits, const float* base, int32_t n_vocab, int32_t target);

}  // namespace phi2
