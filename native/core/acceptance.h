#pragma once

#include <array>
#include <cstddef>

namespace phi2 {

/// What speaks for a guess.
struct Evidence {
  size_t run = 0;     ///< tokens in a row just before it that were as guessed
  size_t misses = 0;  ///< tokens in a row that were not; one of the two is 0
};

/// How often guesses are right by the evidence for them, learnt from one text while it is written. Begins with what
/// texts show on average; old outcomes count less and less.
class Acceptance {
 public:
  double Probability(const Evidence& evidence) const;
  void Record(const Evidence& evidence, bool right);

 private:
  static constexpr size_t kClasses = 12;

  struct Rate {
    double right = 0;
    double total = 0;
  };

  static size_t ClassOf(const Evidence& evidence);

  std::array<Rate, kClasses> rates_;
};

}  // namespace phi2
