#include "core/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "tiny.h"

namespace {

using phi2::ComputeLogprobs;
using phi2::Sampler;
using phi2::SamplerSpec;
using phi2::test::CodeOf;
using phi2::test::Tiny;

/// A row of logits as wide as the vocabulary, padding included.
std::vector<float> Row(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> row(static_cast<size_t>(Tiny()->n_vocab()));
  for (float& logit : row) logit = static_cast<float>(random() % 20000) / 1000 - 10;
  return row;
}

std::vector<SamplerSpec> EverySampler() {
  std::vector<SamplerSpec> specs(8);
  for (size_t i = 1; i < specs.size(); ++i) {
    specs[i].temp = 0.8F;
    specs[i].seed = static_cast<uint32_t>(i);
  }
  specs[2].top_k = 40;
  specs[2].top_p = 0.9F;
  specs[3].min_p = 0.05F;
  specs[3].typical_p = 0.9F;
  specs[4].penalty_repeat = 1.2F;
  specs[4].penalty_freq = 0.5F;
  specs[4].penalty_present = 0.5F;
  specs[5].dry_multiplier = 0.8F;
  specs[5].dry_breakers = {"\n", ":"};
  specs[6].mirostat = true;
  specs[7].logit_bias = {{11, 5.0F}, {50256, -std::numeric_limits<float>::infinity()}};
  return specs;
}

std::vector<llama_token> Draw(const SamplerSpec& spec, int n) {
  Sampler sampler(Tiny(), spec);
  for (const llama_token token : {11, 12, 13, 11, 12, 13}) sampler.AcceptPrompt(token);
  std::vector<llama_token> tokens;
  for (int i = 0; i < n; ++i) {
    std::vector<float> row = Row(static_cast<uint32_t>(i));
    row.back() = 100;  // padding, which would win
    tokens.push_back(sampler.Sample(row.data()));
    CHECK(tokens.back() >= 0 && tokens.back() < 50295);
  }
  return tokens;
}

TEST("a sampler with DRY knows nothing of those before it, whether they had the same breakers or others") {
  SamplerSpec spec = EverySampler()[5];
  SamplerSpec other = spec;
  other.dry_breakers = {"*"};
  const std::vector<llama_token> expected = Draw(spec, 6);
  CHECK_EQ(Draw(spec, 6), expected);
  CHECK(Draw(other, 6) == Draw(other, 6));
  CHECK_EQ(Draw(spec, 6), expected);

  // Breakers by their effect: row 12 is what DRY pushes down after "11 12 11", unless 11 breaks the sequence.
  const auto draws = [](const std::string& breaker) {
    SamplerSpec strong;
    strong.dry_multiplier = 100;
    strong.dry_allowed_length = 1;
    strong.dry_breakers = {breaker};
    Sampler sampler(Tiny(), strong);
    for (const llama_token token : {11, 12, 11}) sampler.AcceptPrompt(token);
    std::vector<float> row(static_cast<size_t>(Tiny()->n_vocab()), 0.0F);
    row[12] = 2;
    row[13] = 1;
    return sampler.Sample(row.data());
  };
  CHECK_EQ(draws("*"), 13);
  CHECK_EQ(draws(Tiny()->Piece(11)), 12);
  CHECK_EQ(draws("*"), 13);
}

TEST("every sampler gives the same tokens for the same seed, in any thread, and never padding") {
  const std::vector<SamplerSpec> specs = EverySampler();
  std::vector<std::vector<llama_token>> expected;
  for (const SamplerSpec& spec : specs) expected.push_back(Draw(spec, 6));
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (size_t j = 0; j < specs.size(); ++j) CHECK_EQ_IN(Draw(specs[j], 6), expected[j], std::to_string(j));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST("greedy takes the highest logit, the first of equal ones") {
  std::vector<float> row = Row(1);
  row[200] = row[300] = 50;
  Sampler plain(Tiny(), SamplerSpec());
  CHECK_EQ(plain.Sample(row.data()), 200);
  SamplerSpec biased;
  biased.logit_bias = {{300, 1.0F}};
  CHECK_EQ(Sampler(Tiny(), biased).Sample(row.data()), 300);
}

TEST("extreme settings are drawn from without a number that is none") {
  for (const float temp : {1e-5F, 1e-4F, 1e4F}) {
    for (const float top_p : {0.0F, 1e-6F, 1.0F}) {
      SamplerSpec spec;
      spec.temp = temp;
      spec.top_p = top_p;
      spec.top_k = 1 << 30;
      spec.penalty_repeat = 100;
      spec.dry_multiplier = 1e9F;
      spec.dry_base = 1e9F;
      Draw(spec, 3);
    }
  }
}

TEST("logits that are not finite and bans of everything are errors") {
  for (const float wrong : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> row = Row(1);
    row[40000] = wrong;
    CHECK_EQ(CodeOf([&] { Sampler(Tiny(), SamplerSpec()).Sample(row.data()); }), "PHI2_DECODE_FAILED");
  }
  SamplerSpec banned;
  phi2::test::BanAll(banned);
  const std::vector<float> row = Row(1);
  CHECK_EQ(CodeOf([&] { Sampler(Tiny(), banned).Sample(row.data()); }), "PHI2_DECODE_FAILED");
}

TEST("log-probabilities are those of the whole row, the likeliest first") {
  const std::vector<float> row = Row(2);
  const phi2::TokenLogprobs found = ComputeLogprobs(row.data(), Tiny()->n_vocab(), 7, 5);
  double sum = 0;
  for (const float logit : row) sum += std::exp(static_cast<double>(logit));
  CHECK(std::abs(found.logprob - (row[7] - std::log(sum))) < 1e-4);
  CHECK_EQ(found.top_tokens.size(), 5U);
  CHECK(std::is_sorted(found.top_logprobs.rbegin(), found.top_logprobs.rend()));
  CHECK_EQ(ComputeLogprobs(row.data(), 10, 7, 100).top_tokens.size(), 10U);  // there are no more
}

}  // namespace

TEST_MAIN()
