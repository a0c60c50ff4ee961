#include "core/logit_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Around the sizes of lanes and blocks, and Phi-2's own.
const std::vector<size_t> kSizes = {1, 2, 15, 16, 17, 127, 128, 129, 255, 1000, 2048, 50295};

/// Rows of every kind that may come: spread, full of equal ones, of minus infinity, of both zeros, ascending.
std::vector<std::vector<float>> Rows(size_t n) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::normal_distribution<float> normal(-2, 4);
  std::vector<float> spread(n), equal(n, 1.5f), coarse(n), banned(n), zeros(n), ascending(n);
  for (size_t i = 0; i < n; ++i) {
    spread[i] = normal(random);
    coarse[i] = std::round(normal(random));
    banned[i] = random() % 8 == 0 ? normal(random) : -kInfinity;
    zeros[i] = random() % 2 == 0 ? 0.0f : -0.0f;
    ascending[i] = static_cast<float>(i);
  }
  return {spread, equal, coarse, banned, zeros, ascending, std::vector<float>(n, -kInfinity)};
}

/// By sorting all of them.
std::vector<size_t> SortedHighest(const std::vector<float>& row, size_t k) {
  std::vector<size_t> ids;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > -kInfinity) ids.push_back(i);
  }
  std::stable_sort(ids.begin(), ids.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
  ids.resize(std::min(k, ids.size()));
  return ids;
}

}  // namespace

TEST("the highest logit is the first of the highest") {
  for (const size_t n : kSizes) {
    for (const std::vector<float>& row : Rows(n)) {
      const auto expected = static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
      CHECK_EQ_IN(phi2::HighestLogit(row.data(), n), expected, std::to_string(n));
    }
  }
}

TEST("the k highest come in the order of sorting, equal ones by their place, banned ones never") {
  for (const size_t n : kSizes) {
    for (const std::vector<float>& row : Rows(n)) {
      for (const size_t k : {size_t{0}, size_t{1}, size_t{2}, size_t{40}, size_t{400}, size_t{5000}, n, n + 1}) {
        CHECK_EQ_IN(phi2::HighestLogits(row.data(), n, k), SortedHighest(row, k), std::to_string(n));
      }
    }
  }
}

TEST("logits from a bound on come in their order") {
  for (const size_t n : kSizes) {
    for (const std::vector<float>& row : Rows(n)) {
      for (const float bound : {-kInfinity, -2.0f, 0.0f, 3.0f, 1e9f}) {
        std::vector<size_t> expected;
        for (size_t i = 0; i < n; ++i) {
          if (row[i] >= bound && row[i] > -kInfinity) expected.push_back(i);
        }
        CHECK_EQ_IN(phi2::LogitsFrom(row.data(), n, bound), expected, std::to_string(n));
      }
    }
  }
}

TEST("one logit that is not finite is noticed wherever it is") {
  for (const float odd : {kInfinity, -kInfinity, kNaN, -kNaN}) {
    for (const size_t at : {0, 1, 15, 16, 99, 128, 299}) {
      std::vector<float> row(300, std::numeric_limits<float>::max());
      CHECK(phi2::AllFinite(row.data(), row.size()));
      CHECK(std::isfinite(phi2::LogSumExp(row.data(), row.size())));
      row[at] = odd;
      CHECK(!phi2::AllFinite(row.data(), row.size()));
      CHECK(std::isnan(phi2::LogSumExp(row.data(), row.size())));
    }
  }
}

TEST("the logarithm of the sum is that of long doubles to a millionth") {
  for (const size_t n : kSizes) {
    for (const float scale : {0.01f, 1.0f, 30.0f, 1e4f}) {
      for (const float offset : {0.0f, -800.0f, 5000.0f}) {
        std::mt19937 random(static_cast<unsigned>(n));
        std::normal_distribution<float> normal(offset, scale);
        std::vector<float> row(n);
        for (float& logit : row) logit = normal(random);
        const auto highest = static_cast<long double>(*std::max_element(row.begin(), row.end()));
        long double sum = 0;
        // Single precision is what the logits have.
        for (const float logit : row) sum += std::exp(static_cast<long double>(logit - static_cast<float>(highest)));
        const long double expected = highest + std::log(sum);
        const double found = phi2::LogSumExp(row.data(), n);
        CHECK_EQ_IN(std::abs(found - static_cast<double>(expected)) < 1e-6, true, std::to_string(found));
      }
    }
  }
}

TEST_MAIN()
