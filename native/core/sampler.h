#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/model.h"

namespace phi2 {

/// How the next token is chosen; names and meanings are llama.cpp's. Order: bias, penalties, DRY, top-k, typical,
/// top-p, min-p, temperature, draw.
struct SamplerSpec {
  float temp = 0;  ///< below kGreedyBelow: greedy
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float typical_p = 1;
  uint32_t seed = 0;
  float penalty_repeat = 1;
  float penalty_freq = 0;
  float penalty_present = 0;
  int32_t penalty_last_n = 64;  ///< -1: all
  float dry_multiplier = 0;
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;
  int32_t dry_last_n = -1;
  std::vector<std::string> dry_breakers;
  bool mirostat = false;  ///< version 2; replaces the filters after the penalties
  float mirostat_tau = 5;
  float mirostat_eta = 0.1f;
  std::vector<std::pair<llama_token, float>> logit_bias;
};

/// Natural log-probability of one token and of the likeliest ones, from the raw logits.
struct TokenLogprobs {
  float logprob = 0;
  std::vector<llama_token> top_tokens;
  std::vector<float> top_logprobs;
};

/// log p(token) under softmax over the whole row, and the n_top likeliest.
TokenLogprobs ComputeLogprobs(const float* logits, int32_t n_vocab, llama_token token, int32_t n_top);

/// One per sequence, on the engine thread.
class Sampler {
 public:
  Sampler(std::shared_ptr<const Model> model, const SamplerSpec& spec);

  /// Counts a token of the prompt for the penalties.
  void AcceptPrompt(llama_token token);

  /// Picks the next token and counts it. Throws PHI2_DECODE_FAILED when the logits are not finite or every token is
  /// banned.
  llama_token Sample(const float* logits);

 private:
  bool penalizes() const;
  void Count(llama_token token);
  const float* Adjust(const float* logits);
  llama_token Highest(const float* logits) const;
  llama_token Draw(const float* logits);
  void TakeHighest(const float* logits, size_t k);
  void TakeFrom(const float* logits, float bound);

  std::shared_ptr<const Model> model_;
  SamplerSpec spec_;
  llama_sampler_ptr chain_;  // what follows DRY; null when greedy
  llama_sampler_ptr dry_;    // null without DRY
  std::vector<float> adjusted_;
  std::vector<llama_token_data> candidates_;
  std::deque<llama_token> window_;                   // tokens that penalties look back at, unless it is all
  std::unordered_map<llama_token, int32_t> counts_;  // of the tokens in the window
};

}  // namespace phi2
