#include "core/token_scores.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "core/chunk_plan.h"
#include "core/parallel_for.h"

namespace {

using phi2::ChunkStep;
using phi2::CompareLogits;
using phi2::Divergence;
using phi2::NegativeLogLikelihood;
using phi2::PlanChunks;
using phi2::PositionRange;
using phi2::ScoredPositions;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

bool Near(double a, double b, double tolerance = 1e-6) { return std::abs(a - b) <= tolerance; }

std::vector<float> RandomLogits(std::mt19937& random, int n, float scale) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> logits(static_cast<size_t>(n));
  for (float& logit : logits) logit = normal(random);
  return logits;
}

/// In long double, straight from the definition.
std::vector<long double> Softmax(const std::vector<float>& logits) {
  long double sum = 0;
  std::vector<long double> p;
  for (const float logit : logits) sum += p.emplace_back(std::exp(static_cast<long double>(logit)));
  for (long double& value : p) value /= sum;
  return p;
}

double Nll(const std::vector<float>& logits, int target) {
  return NegativeLogLikelihood(logits.data(), static_cast<int32_t>(logits.size()), target);
}

Divergence Compare(const std::vector<float>& logits, const std::vector<float>& base, int target) {
  return CompareLogits(logits.data(), base.data(), static_cast<int32_t>(logits.size()), target);
}

}  // namespace

TEST("known likelihoods: equal logits, one certain token, an offset that does not count") {
  CHECK(Near(Nll({0, 0, 0, 0}, 2), std::log(4.0)));
  CHECK(Near(Nll({700, 700}, 0), std::log(2.0)));
  CHECK(Near(Nll({-90000, -90000}, 1), std::log(2.0)));
  CHECK(Near(Nll({100, 0, 0}, 0), 0));
  CHECK(Near(Nll({100, 0, 0}, 1), 100));
  CHECK(Near(Nll({-kInfinity, 0}, 1), 0));
}

TEST("likelihoods and divergences are those of their definitions") {
  std::mt19937 random(1);
  for (const float scale : {0.1F, 1.0F, 5.0F}) {
    for (int round = 0; round < 20; ++round) {
      const std::vector<float> base = RandomLogits(random, 1000, scale);
      std::vector<float> logits = RandomLogits(random, 1000, scale / 10);
      for (size_t i = 0; i < logits.size(); ++i) logits[i] += base[i];
      const std::vector<long double> p = Softmax(logits);
      const std::vector<long double> p_base = Softmax(base);
      long double kld = 0;
      for (size_t i = 0; i < p.size(); ++i) kld += p_base[i] * std::log(p_base[i] / p[i]);
      const int target = static_cast<int>(random() % 1000);
      const Divergence found = Compare(logits, base, target);
      CHECK(Near(found.nll, -static_cast<double>(std::log(p[static_cast<size_t>(target)]))));
      CHECK(Near(found.nll_base, -static_cast<double>(std::log(p_base[static_cast<size_t>(target)]))));
      CHECK(Near(found.kld, static_cast<double>(kld)));
      CHECK(Near(found.p_diff,
                 static_cast<double>(p[static_cast<size_t>(target)] - p_base[static_cast<size_t>(target)])));
      CHECK_EQ(found.nll, Nll(logits, target));
      CHECK_EQ(found.nll_base, Nll(base, target));
    }
  }
}

TEST("a model does not diverge from itself, to the last bit") {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    const std::vector<float> logits = RandomLogits(random, 5000, 4);
    const Divergence found = Compare(logits, logits, 17);
    CHECK_EQ(found.kld, 0.0);
    CHECK_EQ(found.p_diff, 0.0);
    CHECK(found.same_top);
  }
}

TEST("the likeliest token is compared, the first of equals") {
  CHECK(Compare({0, 3, 1}, {0, 9, 8}, 0).same_top);
  CHECK(!Compare({0, 3, 1}, {0, 8, 9}, 0).same_top);
  CHECK(Compare({3, 3, 1}, {9, 8, 9}, 0).same_top);
}

TEST("a token that the reference rules out weighs nothing; one that only the model rules out diverges infinitely") {
  const Divergence ruled_out = Compare({0, 0, 0}, {0, 0, -kInfinity}, 0);
  CHECK(Near(ruled_out.kld, std::log(3.0) - std::log(2.0)));
  CHECK(std::isinf(Compare({0, 0, -kInfinity}, {0, 0, 0}, 0).kld));
}

TEST("logits that are not finite never give a finite score") {
  for (const float wrong : {kNaN, kInfinity}) {
    for (int place = 0; place < 3; ++place) {
      std::vector<float> logits = {1, 2, 3};
      logits[static_cast<size_t>(place)] = wrong;
      const std::vector<float> good = {1, 2, 3};
      CHECK(!std::isfinite(Nll(logits, 1)));
      CHECK(!std::isfinite(Compare(logits, good, 1).nll));
      CHECK(!std::isfinite(Compare(good, logits, 1).nll_base));
    }
  }
  CHECK(!std::isfinite(Nll({0, -kInfinity}, 1)));
  CHECK(!std::isfinite(Nll({-kInfinity, -kInfinity}, 1)));
  CHECK(!std::isfinite(Nll({kNaN, kNaN}, 1)));
}

TEST("every position of every chunk is decoded once, in order, and scored once") {
  for (const uint32_t n_ctx : {3U, 32U, 33U, 100U, 512U}) {
    for (const uint32_t n_batch : {32U, 33U, 512U, 2048U}) {
      for (const uint32_t n_seq : {1U, 3U, 64U}) {
        const uint32_t n_chunks = 7;
        std::vector<uint32_t> next(n_chunks, 0);
        uint32_t n_scored = 0;
        for (const ChunkStep& step : PlanChunks(n_chunks, n_ctx, n_batch, n_seq)) {
          CHECK(step.n_pos > 0 && step.n_chunks * step.n_pos <= std::max(n_batch, n_ctx));
          CHECK(step.n_chunks * step.n_pos <= n_batch || n_ctx > n_batch);
          CHECK(step.n_chunks >= 1 && step.n_chunks <= n_seq);
          for (uint32_t chunk = step.first_chunk; chunk < step.first_chunk + step.n_chunks; ++chunk) {
            CHECK_EQ(next[chunk], step.first_pos);
            next[chunk] += step.n_pos;
          }
          const PositionRange rows = ScoredPositions(n_ctx).Within(step);
          CHECK(rows.size() == 0 || (rows.begin >= step.first_pos && rows.end <= step.first_pos + step.n_pos));
          n_scored += step.n_chunks * rows.size();
        }
        CHECK_EQ(next, std::vector<uint32_t>(n_chunks, n_ctx));
        CHECK_EQ(n_scored, n_chunks * (n_ctx - 1 - n_ctx / 2));
      }
    }
  }
}

TEST("a parallel loop calls every index once") {
  for (const uint32_t n_threads : {1U, 2U, 8U}) {
    for (const uint32_t n : {0U, 1U, 3U, 1000U}) {
      std::vector<std::atomic<int>> calls(n);
      phi2::ParallelFor(n, n_threads, [&](uint32_t i) { ++calls[i]; });
      for (const std::atomic<int>& count : calls) CHECK_EQ(count.load(), 1);
    }
  }
}

TEST_MAIN()
