#include "core/request_check.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace phi2 {
namespace {

void CheckTokens(const RequestSpec& spec, const Model& model) {
  if (spec.tokens.empty()) throw Error("PHI2_INVALID_OPTION", "Expected a prompt of at least one token.");
  for (llama_token token : spec.tokens) {
    if (!model.IsToken(token))
      throw Error("PHI2_INVALID_OPTION", "The prompt holds " + std::to_string(token) + ", which is no token id.");
  }
  for (const auto& [token, bias] : spec.sampler.logit_bias) {
    if (!model.IsToken(token))
      throw Error("PHI2_INVALID_OPTION", "logitBias names " + std::to_string(token) + ", which is no token id.");
  }
}

void CheckLength(const RequestSpec& spec, const Model& model, uint32_t n_ctx_seq) {
  if (spec.tokens.size() <= n_ctx_seq) return;
  const bool could_be_larger = n_ctx_seq < static_cast<uint32_t>(llama_model_n_ctx_train(model.get()));
  throw Error("PHI2_CONTEXT_FULL", "The prompt has " + std::to_string(spec.tokens.size()) +
                                       " tokens but a sequence holds at most " + std::to_string(n_ctx_seq) +
                                       ". Shorten the prompt" +
                                       (could_be_larger ? " or load the model with a larger contextSize." : "."));
}

void ResolveSpeculate(RequestSpec& spec, bool has_draft_model) {
  if (spec.speculate == Speculate::kAuto) {
    spec.speculate = has_draft_model ? Speculate::kDraft : Speculate::kNone;
  }
  if (spec.speculate == Speculate::kDraft && !has_draft_model) {
    throw Error(
        "PHI2_INVALID_OPTION",
        "Expected a draft model for speculate 'draft', but none was loaded: load the model with the option draft, "
        "or use 'lookup'.");
  }
  if (spec.speculate == Speculate::kNone && spec.n_draft > 0) {
    throw Error("PHI2_INVALID_OPTION", "Expected speculate 'lookup' or 'draft' together with draftLength.");
  }
}

}  // namespace

void CheckRequest(RequestSpec& spec, const Model& model, const RequestLimits& limits) {
  CheckTokens(spec, model);
  CheckLength(spec, model, limits.n_ctx_seq);
  ResolveSpeculate(spec, limits.has_draft_model);
  const auto n_prompt = static_cast<int32_t>(spec.tokens.size());
  spec.logit_positions.erase(std::remove_if(spec.logit_positions.begin(), spec.logit_positions.end(),
                                            [n_prompt](int32_t p) { return p < 0 || p >= n_prompt; }),
                             spec.logit_positions.end());
}

}  // namespace phi2
