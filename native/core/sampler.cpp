#include "core/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/error.h"

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
  std::vector<const char*> breakers;
  breakers.reserve(spec.dry_breakers.size());
  for (const std::string& text : spec.dry_breakers) breakers.push_back(text.c_str());
  // -1 stands for the whole context; the engine's sampler wants a number of tokens.
  const int32_t n_train = llama_model_n_ctx_train(model.get());
  return llama_sampler_ptr(
      llama_sampler_init_dry(model.vocab(), spec.dry_multiplier, spec.dry_base, spec.dry_allowed_length,
                             spec.dry_last_n < 0 ? n_train : spec.dry_last_n, breakers.data(), breakers.size()));
}

llama_sampler_ptr BuildChain(const SamplerSpec& spec) {
  llama_sampler_ptr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
  if (IsGreedy(spec)) {
    add(llama_sampler_init_greedy());
  } else if (spec.mirostat) {
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

bool AllFinite(const float* logits, int32_t n) {
  // Summing differences keeps the loop free of branches: any NaN or infinity makes the sum NaN.
  float sum = 0;
  for (int32_t i = 0; i < n; ++i) sum += logits[i] - logits[i];
  return sum == 0;
}

}  // namespace

TokenLogprobs ComputeLogprobs(const float* logits, int32_t n_vocab, llama_token token, int32_t n_top) {
  const float highest = *std::max_element(logits, logits + n_vocab);
  double sum = 0;
  for (int32_t i = 0; i < n_vocab; ++i) sum += std::exp(static_cast<double>(logits[i] - highest));
  const double log_sum = static_cast<double>(highest) + std::log(sum);

  TokenLogprobs result;
  result.logprob = static_cast<float>(logits[token] - log_sum);
  if (n_top > 0) {
    std::vector<llama_token> ids(static_cast<size_t>(n_vocab));
    for (int32_t i = 0; i < n_vocab; ++i) ids[static_cast<size_t>(i)] = i;
    const auto middle = ids.begin() + std::min(n_top, n_vocab);
    std::partial_sort(ids.begin(), middle, ids.end(), [&](llama_token a, llama_token b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    result.top_tokens.assign(ids.begin(), middle);
    for (llama_token id : result.top_tokens) result.top_logprobs.push_back(static_cast<float>(logits[id] - log_sum));
  }
  return result;
}

Sampler::Sampler(std::shared_ptr<const Model> model, const SamplerSpec& spec)
    : model_(std::move(model)), spec_(spec), chain_(BuildChain(spec)), dry_(BuildDry(*model_, spec)) {
  const std::vector<llama_token>& ids = model_->sampleable();
  if (PlainGreedy()) return;
  candidates_.resize(ids.size());
  allowed_.reserve(ids.size());
  slot_of_.assign(static_cast<size_t>(model_->n_vocab()), -1);
  for (size_t i = 0; i < ids.size(); ++i) slot_of_[static_cast<size_t>(ids[i])] = static_cast<int32_t>(i);
}

bool Sampler::penalizes() const {
  return spec_.penalty_last_n != 0 &&
         (spec_.penalty_repeat != 1 || spec_.penalty_freq != 0 || spec_.penalty_present != 0);
}

bool Sampler::PlainGreedy() const { return IsGreedy(spec_) && !penalizes() && !dry_ && spec_.logit_bias.empty(); }

void Sampler::AcceptPrompt(llama_token token) {
  if (penalizes()) history_.push_back(token);
  if (dry_) llama_sampler_accept(dry_.get(), token);
}

llama_token Sampler::Sample(const float* logits) {
  if (!AllFinite(logits, model_->n_vocab())) {
    throw Error(
        "PHI2_DECODE_FAILED",
        "The model's logits are not finite: the file is damaged or the device computes wrong results. Run `phi2 "
        "doctor`.");
  }
  if (PlainGreedy()) return Greedy(logits);

  const std::vector<llama_token>& ids = model_->sampleable();
  for (size_t i = 0; i < ids.size(); ++i) candidates_[i] = {ids[i], logits[ids[i]], 0.0f};
  ApplyBias();
  ApplyPenalties();
  KeepAllowed();
  ApplyDry();
  llama_token_data_array array = {allowed_.data(), allowed_.size(), -1, false};
  llama_sampler_apply(chain_.get(), &array);
  const llama_token token = array.data[array.selected].id;
  llama_sampler_accept(chain_.get(), token);
  if (dry_) llama_sampler_accept(dry_.get(), token);
  if (penalizes()) history_.push_back(token);
  return token;
}

// The filters compute with probabilities: a logit of minus infinity among few others makes them NaN.
void Sampler::KeepAllowed() {
  allowed_.clear();
  for (const llama_token_data& candidate : candidates_) {
    if (candidate.logit > kBanned) allowed_.push_back(candidate);
  }
  if (allowed_.empty()) throw Error("PHI2_DECODE_FAILED", "logitBias bans every token: nothing is left to generate.");
}

void Sampler::ApplyDry() {
  if (!dry_) return;
  llama_token_data_array array = {allowed_.data(), allowed_.size(), -1, false};
  llama_sampler_apply(dry_.get(), &array);
  for (llama_token_data& candidate : allowed_) candidate.logit = std::max(candidate.logit, kLowestPenalized);
}

llama_token Sampler::Greedy(const float* logits) const {
  llama_token best = model_->sampleable().front();
  for (llama_token id : model_->sampleable()) {
    if (logits[id] > logits[best]) best = id;
  }
  return best;
}

void Sampler::ApplyBias() {
  for (const auto& [token, bias] : spec_.logit_bias) {
    const int32_t slot = slot_of_[static_cast<size_t>(token)];
    if (slot >= 0) candidates_[static_cast<size_t>(slot)].logit += bias;
  }
}

// Works on the few tokens of the window instead of looking up every candidate in it. The formulas are llama.cpp's: a
// repeated token's logit is divided by penalty_repeat (multiplied if negative), then count * freq + present is taken
// off.
void Sampler::ApplyPenalties() {
  if (!penalizes()) return;
  const size_t window =
      spec_.penalty_last_n < 0 ? history_.size() : std::min(history_.size(), static_cast<size_t>(spec_.penalty_last_n));
  std::unordered_map<llama_token, int32_t> counts;
  for (size_t i = history_.size() - window; i < history_.size(); ++i) ++counts[history_[i]];
  for (const auto& [token, count] : counts) {
    const int32_t slot = slot_of_[static_cast<size_t>(token)];
    if (slot < 0) continue;
    float& logit = candidates_[static_cast<size_t>(slot)].logit;
    logit = logit <= 0 ? logit * spec_.penalty_repeat : logit / spec_.penalty_repeat;
    logit -= static_cast<float>(count) * spec_.penalty_freq + spec_.penalty_present;
  }
}

}  // namespace phi2
