#include "core/logit_scan.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

namespace phi2 {
namespace {

// As many sums or maxima side by side: they do not wait for each other, and their order needs no keeping.
constexpr size_t kLanes = 16;
constexpr size_t kBlock = 8 * kLanes;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

float Highest(const float* logits, size_t n) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, kLowest);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = std::max(lanes[lane], logits[i + lane]);
  }
  float highest = *std::max_element(lanes, lanes + kLanes);
  for (; i < n; ++i) highest = std::max(highest, logits[i]);
  return highest;
}

/// The highest of each block; the last block may be shorter.
std::vector<float> BlockMaxima(const float* logits, size_t n, size_t block) {
  std::vector<float> maxima;
  maxima.reserve(n / block + 1);
  for (size_t at = 0; at < n; at += block) maxima.push_back(Highest(logits + at, std::min(block, n - at)));
  return maxima;
}

/// Of `maxima` those of at least `bound` are looked into.
std::vector<size_t> From(const float* logits, size_t n, float bound, const std::vector<float>& maxima, size_t block) {
  std::vector<size_t> found;
  for (size_t b = 0; b < maxima.size(); ++b) {
    if (maxima[b] < bound) continue;
    const size_t end = std::min(n, (b + 1) * block);
    for (size_t i = b * block; i < end; ++i) {
      if (logits[i] >= bound && logits[i] > kLowest) found.push_back(i);
    }
  }
  return found;
}

/// exp(x) for x of at most 0, to seven digits; what is below the smallest normal number gives that instead. 2^(x/ln 2)
/// is split into the power of two and a rest of at most half a step, whose exponential is a polynomial.
float ExpOfNegative(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693145752f;  // few digits: its products with whole numbers are exact
  constexpr float kLn2Low = 1.42860677e-6f;
  x = std::max(x, -87.0f);
  const auto steps = static_cast<int32_t>(x * kLog2E - 0.5f);
  const auto whole = static_cast<float>(steps);
  const float rest = (x - whole * kLn2High) - whole * kLn2Low;
  float series = 1.0f / 5040;
  series = series * rest + 1.0f / 720;
  series = series * rest + 1.0f / 120;
  series = series * rest + 1.0f / 24;
  series = series * rest + 1.0f / 6;
  series = series * rest + 0.5f;
  series = series * rest + 1.0f;
  series = series * rest + 1.0f;
  return series * FromBits(static_cast<uint32_t>(steps + 127) << 23);
}

}  // namespace

bool AllFinite(const float* logits, size_t n) {
  constexpr uint32_t kExponent = 0x7f800000;  // all bits set in NaN and infinities only
  uint32_t found = 0;
  for (size_t i = 0; i < n; ++i) found |= (Bits(logits[i]) & kExponent) == kExponent ? 1U : 0U;
  return found == 0;
}

size_t HighestLogit(const float* logits, size_t n) {
  const std::vector<float> maxima = BlockMaxima(logits, n, kBlock);
  const auto highest = std::max_element(maxima.begin(), maxima.end());
  const float* from = logits + static_cast<size_t>(highest - maxima.begin()) * kBlock;
  return static_cast<size_t>(std::find(from, logits + n, *highest) - logits);
}

std::vector<size_t> LogitsFrom(const float* logits, size_t n, float bound) {
  return From(logits, n, bound, BlockMaxima(logits, n, kBlock), kBlock);
}

// The k-th highest of the blocks' maxima is a bound: k logits at least are as high, so no lower one is among the k
// highest. Small blocks make a good bound for many.
std::vector<size_t> HighestLogits(const float* logits, size_t n, size_t k) {
  if (k == 0) return {};
  const size_t block = k <= n / kBlock / 4 ? kBlock : kLanes;
  const std::vector<float> maxima = BlockMaxima(logits, n, block);
  float bound = kLowest;
  if (k <= maxima.size()) {
    std::vector<float> ordered = maxima;
    const auto kth = ordered.begin() + static_cast<ptrdiff_t>(k - 1);
    std::nth_element(ordered.begin(), kth, ordered.end(), std::greater<>());
    bound = *kth;
  }
  std::vector<size_t> found = From(logits, n, bound, maxima, block);
  const auto end = found.begin() + static_cast<ptrdiff_t>(std::min(k, found.size()));
  std::partial_sort(found.begin(), end, found.end(),
                    [logits](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  found.erase(end, found.end());
  return found;
}

double LogSumExp(const float* logits, size_t n) {
  if (!AllFinite(logits, n)) return std::numeric_limits<double>::quiet_NaN();
  const float highest = Highest(logits, n);
  double sum = 0;
  for (size_t at = 0; at < n; at += kBlock) {
    // Short sums in single precision lose nothing that the exponentials have.
    float lanes[kLanes] = {};
    const size_t end = std::min(n, at + kBlock);
    size_t i = at;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += ExpOfNegative(logits[i + lane] - highest);
    }
    for (; i < end; ++i) lanes[0] += ExpOfNegative(logits[i] - highest);
    for (const float lane : lanes) sum += static_cast<double>(lane);
  }
  return static_cast<double>(highest) + std::log(sum);
}

}  // namespace phi2
