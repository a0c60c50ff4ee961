#pragma once

#include <array>
#include <cstddef>

namespace phi2 {

/// How many milliseconds a step takes by its number of tokens, learnt from measured steps. A token of a large step
/// costs a fraction of one alone, so no single rate would do: the time is kept at fixed sizes, with a power law between
/// them. Every measurement also bounds what is believed of all other sizes, so that an old estimate cannot stay wrong
/// only because its size is not used any more: a larger step takes no less time, and not more than in proportion.
class StepCost {
 public:
  /// A step of n tokens (at least 1) took this long.
  void Add(size_t n, double ms);

  /// Estimate for a step of n tokens, never less for more tokens; 0 while nothing was measured.
  double Ms(size_t n) const;

  /// The most tokens, up to `limit`, whose step is estimated to take at most `ms`; 0 if one token takes longer, `limit`
  /// while nothing was measured.
  size_t TokensWithin(double ms, size_t limit) const;

  bool measured() const { return measured_; }

 private:
  // Dense where the cost per token still falls quickly.
  static constexpr std::array<size_t, 25> kSizes = {1,  2,  3,  4,   5,   6,   8,   10,  12,  16,   20,   24,  32,
                                                    48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048};

  void Bound(size_t knot);

  std::array<double, kSizes.size()> ms_ = {};  // 0: not measured
  bool measured_ = false;
};

}  // namespace phi2
