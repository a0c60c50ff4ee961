#include "core/acceptance.h"

#include <algorithm>
#include <iterator>

namespace phi2 {
namespace {

// Classes by evidence: many misses, some, one; then runs of at least so many tokens.
constexpr size_t kMisses[] = {4, 2, 1};
constexpr size_t kRuns[] = {1, 2, 3, 4, 6, 9, 14, 21, 33};

// Between what was counted in source code, in prose, and in edited files whose first version stands before them.
constexpr double kPrior[] = {0.02, 0.04, 0.1, 0.35, 0.45, 0.55, 0.62, 0.7, 0.78, 0.86, 0.93, 0.97};
constexpr double kPriorWeight = 1;  // outcomes

// Somebody took the trouble to choose a model for drafts.
constexpr double kModelPrior = 0.75;

constexpr double kDecay = 0.97;  // per outcome

}  // namespace

void HitRate::Record(bool right) {
  right_ = right_ * kDecay + (right ? 1 : 0);
  total_ = total_ * kDecay + 1;
}

double HitRate::Probability(double prior) const { return (right_ + kPriorWeight * prior) / (total_ + kPriorWeight); }

double Acceptance::Probability(const Evidence& evidence) const {
  const size_t index = ClassOf(evidence);
  return rates_[index].Probability(kPrior[index]);
}

void Acceptance::Record(const Evidence& evidence, bool right) { rates_[ClassOf(evidence)].Record(right); }

size_t Acceptance::ClassOf(const Evidence& evidence) {
  static_assert(std::size(kMisses) + std::size(kRuns) == kClasses && std::size(kPrior) == kClasses);
  if (evidence.run == 0) {
    const size_t* fewer = std::find_if(kMisses, std::end(kMisses), [&](size_t n) { return evidence.misses >= n; });
    return std::min<size_t>(static_cast<size_t>(fewer - kMisses), std::size(kMisses) - 1);
  }
  const size_t* longer = std::upper_bound(kRuns, std::end(kRuns), evidence.run);
  return std::size(kMisses) + static_cast<size_t>(longer - kRuns) - 1;
}

double ConfidenceAcceptance::Probability(float confidence) const {
  const size_t index = ClassOf(confidence);
  // The middle of the class: a model that knows how sure it may be.
  return rates_[index].Probability((static_cast<double>(index) + 0.5) / kClasses);
}

void ConfidenceAcceptance::Record(float confidence, bool right) {
  rates_[ClassOf(confidence)].Record(right);
  average_.Record(right);
}

double ConfidenceAcceptance::Average() const { return average_.Probability(kModelPrior); }

size_t ConfidenceAcceptance::ClassOf(float confidence) {
  return std::min<size_t>(static_cast<size_t>(std::max(0.0F, confidence) * kClasses), kClasses - 1);
}

}  // namespace phi2
