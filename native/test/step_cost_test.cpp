#include "core/step_cost.h"

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "check.h"

namespace {

using phi2::StepCost;

/// Measured with a full-size model on two cores.
const std::vector<std::pair<size_t, double>> kMeasured = {{1, 49},   {2, 72},   {4, 122},    {8, 195},
                                                          {16, 303}, {32, 564}, {128, 1446}, {512, 5880}};

/// The same curve at any size.
double Truth(size_t n) {
  for (size_t i = 1; i < kMeasured.size(); ++i) {
    const auto [size_a, ms_a] = kMeasured[i - 1];
    const auto [size_b, ms_b] = kMeasured[i];
    if (n > size_b && i + 1 < kMeasured.size()) continue;
    const double exponent = std::log(ms_b / ms_a) / std::log(static_cast<double>(size_b) / static_cast<double>(size_a));
    return ms_a * std::pow(static_cast<double>(n) / static_cast<double>(size_a), exponent);
  }
  return 0;
}

bool Near(double found, double expected, double tolerance) {
  return std::abs(found - expected) <= tolerance * expected;
}

TEST("nothing is known before the first step, and nothing limits a step then") {
  const StepCost cost;
  CHECK(!cost.measured());
  CHECK_EQ(cost.Ms(100), 0.0);
  CHECK_EQ(cost.TokensWithin(1, 512), size_t{512});
}

TEST("a measured size is known at once, and sizes between two measured ones nearly") {
  StepCost cost;
  cost.Add(1, 49);
  cost.Add(128, 1446);
  CHECK(cost.measured());
  CHECK(Near(cost.Ms(1), 49, 1e-9));
  CHECK(Near(cost.Ms(128), 1446, 1e-9));
  for (const size_t n : {2, 4, 8, 16, 32, 64}) CHECK(Near(cost.Ms(n), Truth(n), 0.2));
  CHECK(Near(cost.Ms(512), 4 * 1446, 1e-9));
}

TEST("many steps that generate do not change what is known of reading prompts") {
  StepCost cost;
  cost.Add(256, 2950);
  for (int i = 0; i < 1000; ++i) cost.Add(32, 564);
  CHECK(Near(cost.Ms(256), 2950, 1e-9));
  CHECK(Near(cost.Ms(32), 564, 1e-9));
}

TEST("a machine that became slower or faster is noticed at the sizes that are no longer used too") {
  for (const double factor : {0.25, 4.0}) {
    StepCost cost;
    for (const auto& [n, ms] : kMeasured) cost.Add(n, ms);
    for (int i = 0; i < 50; ++i) cost.Add(128, 1446 * factor);
    CHECK(Near(cost.Ms(128), 1446 * factor, 0.01));
    // No more than a step of 128, and no less than its share of one; nothing better can be known.
    CHECK(cost.Ms(16) <= cost.Ms(128));
    CHECK(cost.Ms(16) >= 1446 * factor / 8 / 1.26);
    CHECK(cost.Ms(512) >= cost.Ms(128));
    CHECK(cost.Ms(512) <= 1446 * factor * 4 * 1.26);
  }
}

TEST("one step that was disturbed is forgotten soon") {
  StepCost cost;
  for (int i = 0; i < 20; ++i) cost.Add(1, 50);
  cost.Add(1, 2000);
  for (int i = 0; i < 8; ++i) cost.Add(1, 50);
  CHECK(Near(cost.Ms(1), 50, 0.05));
}

TEST("TokensWithin gives the largest step that fits, none if one token is too much") {
  StepCost cost;
  for (const auto& [n, ms] : kMeasured) cost.Add(n, ms);
  CHECK_EQ(cost.TokensWithin(48, 512), size_t{0});
  CHECK_EQ(cost.TokensWithin(50, 512), size_t{1});
  CHECK_EQ(cost.TokensWithin(1e9, 512), size_t{512});
  CHECK_EQ(cost.TokensWithin(1e9, 0), size_t{0});
  for (const double ms : {100.0, 400.0, 1000.0, 3000.0}) {
    const size_t n = cost.TokensWithin(ms, 512);
    CHECK(cost.Ms(n) <= ms);
    CHECK(n == 512 || cost.Ms(n + 1) > ms);
  }
}

TEST("whatever was measured, more tokens never seem to take less time") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    StepCost cost;
    for (int i = 0; i < 60; ++i) {
      const size_t n = 1 + random() % 2048;
      cost.Add(n, Truth(n) * (0.3 + static_cast<double>(random() % 1000) / 300));
      double last = 0;
      for (size_t m = 1; m <= 2048; m += 1 + m / 16) {
        const double ms = cost.Ms(m);
        CHECK(ms >= last * (1 - 1e-12) && std::isfinite(ms));
        last = ms;
      }
    }
  }
}

TEST("steps without tokens or time teach nothing") {
  StepCost cost;
  cost.Add(0, 5);
  cost.Add(5, 0);
  CHECK(!cost.measured());
}

}  // namespace

TEST_MAIN()
