#pragma once

#include <cstddef>
#include <vector>

namespace phi2 {

// What is done with every row of logits, as loops that compilers turn into vector instructions: a row has 51,200 of
// them, and with many sequences in a step their rows are read one after the other while the compute threads wait.

/// Neither NaN nor infinite.
bool AllFinite(const float* logits, size_t n);

/// Where the first of the highest is. `n` must not be 0; NaN is not allowed.
size_t HighestLogit(const float* logits, size_t n);

/// Where the logits are that are at least `bound` and not minus infinity, in order. NaN is not allowed.
std::vector<size_t> LogitsFrom(const float* logits, size_t n, float bound);

/// Where the k highest are, the highest first and equal ones in order. Minus infinity is never among them, so there may
/// be fewer than k. NaN is not allowed.
std::vector<size_t> HighestLogits(const float* logits, size_t n, size_t k);

/// log(sum(exp(logit))), off by a millionth at most. `n` must not be 0. NaN when a logit is not finite.
double LogSumExp(const float* logits, size_t n);

}  // namespace phi2
