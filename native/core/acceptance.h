#pragma once

#include <array>
#include <cstddef>

namespace phi2 {

/// How often something is right; old outcomes count less and less.
class HitRate {
 public:
  void Record(bool right);
  /// `prior` is what is believed before there are outcomes.
  double Probability(double prior) const;

 private:
  double right_ = 0;
  double total_ = 0;
};

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

  static size_t ClassOf(const Evidence& evidence);

  std::array<HitRate, kClasses> rates_;
};

/// How often guesses of a model are right by the probability that it gave to them.
class ConfidenceAcceptance {
 public:
  double Probability(float confidence) const;
  void Record(float confidence, bool right);

  /// Of the next guess, about which nothing is known yet.
  double Average() const;

 private:
  static constexpr size_t kClasses = 8;

  static size_t ClassOf(float confidence);

  std::array<HitRate, kClasses> rates_;
  HitRate average_;
};

}  // namespace phi2
