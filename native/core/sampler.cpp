#include "core/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/logit_scan.h"

namespace phi2 {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

// The filters always leave at least one candidate.
constexpr size_t kMinKeep = 1;

// Below this, dividing logits by the temperature overflows what the engine's samplers compute with.
constexpr float kGreedyBelow = 1e-4f;

// What DRY takes off at most. Its penalty grows exponentially; an infinite one would ban tokens that are allowed.
constexpr float kLowestPenalized = -1e6f;

bool IsGreedy(const SamplerSpec& spec) { return spec.temp < kGreedyBelow; }

llama_sampler_ptr BuildDry(const Model& model, const SamplerSpec& spec) {
  if (spec.dry_multiplier <= 0) return nullptr;
  // -1 stands for the whole context; the engine's sampler wants a number of tokens.
  const int32_t last_n = spec.dry_last_n < 0 ? llama_model_n_ctx_train(model.get()) : spec.dry_last_n;
  return model.DrySampler({spec.dry_multiplier, spec.dry_base, spec.dry_allowed_length, last_n, spec.dry_breakers});
}

/// Null for greedy decoding, which needs none.
llama_sampler_ptr BuildChain(const SamplerSpec& spec) {
  if (IsGreedy(spec)) return nullptr;
  llama_sampler_ptr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
  if (spec.mirostat) {
    add(llama_sampler_init_temp(spec.temp));
    add(llama_sampler_init_mirostat_v2(spec.seed, spec.mirostat_tau, spec.mirostat_eta));
  } else {
    if (spec.top_k > 0) add(llama_sampler_init_top_k(spec.top_k));
    if (spec.typical_p < 1) add(llama_sampler_init_typical(spec.typical_p, kMinKeep));
    if (spec.top_p < 1) add(llama_sampler_init_top_p(spec.top_p, kMinKeep));
    if (spec.min_p > 0) add(llama_sampler_init_min_p(spec.min_p, kMinKeep));
    add(llama_sampler_init_temp(spec.temp));
    add(llama_sampler_init_dist(spec.seed));
  }
  return chain;
}

Error NothingLeft() { return Error("PHI2_DECODE_FAILED", "logitBias bans every token: nothing is left to generate."); }

}  // namespace

TokenLogprobs ComputeLogprobs(const float* logits, int32_t n_vocab, llama_token token, int32_t n_top) {
  const auto n = static_cast<size_t>(n_vocab);
  const double log_sum = LogSumExp(logits, n);
  TokenLogprobs result;
  result.logprob = static_cast<float>(logits[token] - log_sum);
  if (n_top <= 0) return result;
  for (const size_t id : HighestLogits(logits, n, static_cast<size_t>(n_top))) {
    result.top_tokens.push_back(static_cast<llama_token>(id));
    result.top_logprobs.push_back(static_cast<float>(logits[id] - log_sum));
  }
  return result;
}

Sampler::Sampler(std::shared_ptr<const Model> model, const SamplerSpec& spec)
    : model_(std::move(model)), spec_(spec), chain_(BuildChain(spec)), dry_(BuildDry(*model_, spec)) {}

bool Sampler::penalizes() const {
  return spec_.penalty_last_n != 0 &&
         (spec_.penalty_repeat != 1 || spec_.penalty_freq != 0 || spec_.penalty_present != 0);
}

void Sampler::AcceptPrompt(llama_token token) {
  Count(token);
  if (dry_) llama_sampler_accept(dry_.get(), token);
}

void Sampler::Count(llama_token token) {
  if (!penalizes()) return;
  ++counts_[token];
  if (spec_.penalty_last_n < 0) return;
  window_.push_back(token);
  if (window_.size() <= static_cast<size_t>(spec_.penalty_last_n)) return;
  const auto oldest = counts_.find(window_.front());
  if (--oldest->second == 0) counts_.erase(oldest);
  window_.pop_front();
}

llama_token Sampler::Sample(const float* logits) {
  if (!AllFinite(logits, static_cast<size_t>(model_->n_vocab()))) {
    throw Error(
        "PHI2_DECODE_FAILED",
        "The model's logits are not finite: the file is damaged or the device computes wrong results. Run `phi2 "
        "doctor`.");
  }
  const float* row = Adjust(logits);
  const llama_token token = chain_ || dry_ ? Draw(row) : Highest(row);
  if (chain_) llama_sampler_accept(chain_.get(), token);
  if (dry_) llama_sampler_accept(dry_.get(), token);
  Count(token);
  return token;
}

/// The row with bias and penalties; the row itself where there are none. The formulas of the penalties are llama.cpp's:
/// a repeated token's logit is divided by penalty_repeat (multiplied if negative), then count * freq + present is taken
/// off.
const float* Sampler::Adjust(const float* logits) {
  if (spec_.logit_bias.empty() && !penalizes()) return logits;
  adjusted_.assign(logits, logits + model_->n_vocab());
  for (const auto& [token, bias] : spec_.logit_bias) adjusted_[static_cast<size_t>(token)] += bias;
  for (const auto& [token, count] : counts_) {
    float& logit = adjusted_[static_cast<size_t>(token)];
    logit = logit <= 0 ? logit * spec_.penalty_repeat : logit / spec_.penalty_repeat;
    logit -= static_cast<float>(count) * spec_.penalty_freq + spec_.penalty_present;
  }
  return adjusted_.data();
}

llama_token Sampler::Highest(const float* logits) const {
  llama_token best = -1;
  for (const auto& [begin, end] : model_->sampleable()) {
    const size_t at = HighestLogit(logits + begin, static_cast<size_t>(end - begin));
    const llama_token token = begin + static_cast<llama_token>(at);
    if (best < 0 || logits[token] > logits[best]) best = token;
  }
  if (logits[best] == kBanned) throw NothingLeft();
  return best;
}

llama_token Sampler::Draw(const float* logits) {
  candidates_.clear();
  // Mirostat replaces the filters, and DRY goes before them.
  const bool filtered = !spec_.mirostat && !dry_;
  const bool sorted = filtered && spec_.top_k > 0;
  if (sorted) {
    TakeHighest(logits, static_cast<size_t>(spec_.top_k));
  } else if (filtered && spec_.typical_p >= 1 && spec_.top_p >= 1 && spec_.min_p > 0) {
    TakeFrom(logits, logits[Highest(logits)] + std::log(spec_.min_p));
  } else {
    TakeFrom(logits, kBanned);
  }
  if (candidates_.empty()) throw NothingLeft();
  llama_token_data_array array = {candidates_.data(), candidates_.size(), -1, sorted};
  if (dry_) {
    llama_sampler_apply(dry_.get(), &array);
    for (llama_token_data& candidate : candidates_) candidate.logit = std::max(candidate.logit, kLowestPenalized);
  }
  if (!chain_) {
    const auto lower = [](const llama_token_data& a, const llama_token_data& b) { return a.logit < b.logit; };
    return std::max_element(candidates_.begin(), candidates_.end(), lower)->id;
  }
  llama_sampler_apply(chain_.get(), &array);
  return array.data[array.selected].id;
}

/// What the engine's top-k would keep of all candidates, in its order.
void Sampler::TakeHighest(const float* logits, size_t k) {
  for (const auto& [begin, end] : model_->sampleable()) {
    for (const size_t at : HighestLogits(logits + begin, static_cast<size_t>(end - begin), k)) {
      const llama_token token = begin + static_cast<llama_token>(at);
      candidates_.push_back({token, logits[token], 0.0f});
    }
  }
  if (model_->sampleable().size() == 1) return;
  const auto higher = [](const llama_token_data& a, const llama_token_data& b) { return a.logit > b.logit; };
  std::stable_sort(candidates_.begin(), candidates_.end(), higher);
  candidates_.resize(std::min(k, candidates_.size()));
}

/// Never those of minus infinity: the filters compute with probabilities, which one among few others makes NaN.
void Sampler::TakeFrom(const float* logits, float bound) {
  for (const auto& [begin, end] : model_->sampleable()) {
    for (const size_t at : LogitsFrom(logits + begin, static_cast<size_t>(end - begin), bound)) {
      const llama_token token = begin + static_cast<llama_token>(at);
      candidates_.push_back({token, logits[token], 0.0f});
    }
  }
}

}  // namespace phi2
