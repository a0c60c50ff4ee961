#include "core/step_cost.h"

#include <algorithm>
#include <cmath>

namespace phi2 {
namespace {

// What disturbs a step makes it slower, never faster: a fast one tells more.
constexpr double kFasterWeight = 0.5;
constexpr double kSlowerWeight = 0.2;

// A longer context makes a token dearer: so much more than in proportion a larger step may seem to take.
constexpr double kSlack = 1.25;

// From large steps to small ones, where no small one was measured: the middle of what processors show.
constexpr double kExponent = 0.7;

double PowerLaw(double at, double size, double ms, double exponent) { return ms * std::pow(at / size, exponent); }

}  // namespace

void StepCost::Add(size_t n, double ms) {
  if (n == 0 || !(ms > 0)) return;
  // The nearest size by ratio.
  size_t knot = 0;
  while (knot + 1 < kSizes.size() && kSizes[knot] * kSizes[knot + 1] < n * n) ++knot;
  ms *= static_cast<double>(kSizes[knot]) / static_cast<double>(n);
  double& known = ms_[knot];
  known += (known == 0 ? 1 : ms < known ? kFasterWeight : kSlowerWeight) * (ms - known);
  measured_ = true;
  Bound(knot);
}

void StepCost::Bound(size_t knot) {
  for (size_t i = 0; i < kSizes.size(); ++i) {
    if (ms_[i] == 0 || i == knot) continue;
    const double in_proportion = ms_[knot] * static_cast<double>(kSizes[i]) / static_cast<double>(kSizes[knot]);
    ms_[i] = i < knot ? std::clamp(ms_[i], in_proportion / kSlack, ms_[knot])
                      : std::clamp(ms_[i], ms_[knot], in_proportion * kSlack);
  }
}

double StepCost::Ms(size_t n) const {
  if (n == 0) return 0;
  const auto at = static_cast<double>(n);
  size_t below = kSizes.size();
  for (size_t i = 0; i < kSizes.size(); ++i) {
    if (ms_[i] == 0) continue;
    const auto size = static_cast<double>(kSizes[i]);
    if (kSizes[i] < n) {
      below = i;
    } else if (below == kSizes.size()) {
      return PowerLaw(at, size, ms_[i], kExponent);
    } else {
      const auto lower = static_cast<double>(kSizes[below]);
      return PowerLaw(at, lower, ms_[below], std::log(ms_[i] / ms_[below]) / std::log(size / lower));
    }
  }
  return below == kSizes.size() ? 0 : PowerLaw(at, static_cast<double>(kSizes[below]), ms_[below], 1);
}

size_t StepCost::TokensWithin(double ms, size_t limit) const {
  size_t low = 0;
  size_t high = limit;
  while (low < high) {
    const size_t middle = high - (high - low) / 2;
    if (Ms(middle) <= ms) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace phi2
