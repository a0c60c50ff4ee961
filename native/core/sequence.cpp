#include "core/sequence.h"

#include <algorithm>

namespace phi2 {
namespace {

double Milliseconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

}  // namespace

Sequence::Sequence(uint32_t id, RequestSpec spec, std::shared_ptr<const Model> model)
    : id_(id),
      spec_(std::move(spec)),
      model_(std::move(model)),
      tokens_(spec_.tokens),
      sampler_(model_, spec_.sampler),
      matcher_(spec_.stop),
      submitted_(Clock::now()) {
  ending_.n_prompt = static_cast<int32_t>(tokens_.size());
  for (llama_token token : tokens_) sampler_.AcceptPrompt(token);
}

bool Sequence::wants_output(size_t position) const {
  if (position + 1 >= n_prompt()) return true;
  return spec_.prompt_logprobs ||
         std::binary_search(spec_.logit_positions.begin(), spec_.logit_positions.end(), static_cast<int32_t>(position));
}

llama_token Sequence::TokenAt(size_t position) const {
  return position < tokens_.size() ? tokens_[position] : draft[position - tokens_.size()];
}

void Sequence::Admit(int32_t slot, size_t reused, int32_t n_limit) {
  seq_id = slot;
  n_past = reused;
  n_limit_ = n_limit;
  admitted_ = Clock::now();
  ending_.n_cached = static_cast<int32_t>(reused);
  ending_.queue_ms = Milliseconds(admitted_ - submitted_);
}

void Sequence::OnLogits(size_t position, const float* logits) {
  const int32_t n_vocab = model_->n_vocab();
  if (position < n_prompt()) {
    if (spec_.prompt_logprobs && position + 1 < n_prompt()) {
      ending_.prompt_logprobs.push_back(ComputeLogprobs(logits, n_vocab, tokens_[position + 1], 0).logprob);
    }
    const auto& wanted = spec_.logit_positions;
    if (std::binary_search(wanted.begin(), wanted.end(), static_cast<int32_t>(position))) {
      ending_.logits.insert(ending_.logits.end(), logits, logits + n_vocab);
    }
    if (position + 1 < n_prompt()) return;
  }
  Accept(logits);
}

void Sequence::Accept(const float* logits) {
  if (spec_.n_predict <= 0) {
    Finish(EndReason::kLength, kNoRule);
    return;
  }
  const llama_token token = sampler_.Sample(logits);
  if (ending_.n_generated++ == 0) first_token_ = Clock::now();
  if (model_->IsEog(token)) {
    Finish(EndReason::kStop, kEndOfText);
    return;
  }

  Held held{token, generated_bytes_, {}};
  if (spec_.n_probs >= 0) held.logprobs = ComputeLogprobs(logits, model_->n_vocab(), token, spec_.n_probs);
  const std::string& piece = model_->Piece(token);
  generated_bytes_ += piece.size();
  held_.push_back(std::move(held));
  tokens_.push_back(token);

  if (!matcher_.Push(piece)) {
    Finish(EndReason::kStop, matcher_.fired_rule());
    return;
  }
  // The token just sampled would need a place of its own to be decoded.
  if (ending_.n_generated >= spec_.n_predict || tokens_.size() > static_cast<size_t>(n_limit_)) {
    Finish(EndReason::kLength, kNoRule);
    return;
  }
  Release();
}

void Sequence::Release() {
  chunk_.text += utf8_.Push(matcher_.TakeReleased());
  while (!held_.empty() && held_.front().start < matcher_.released_bytes()) {
    const Held& held = held_.front();
    chunk_.tokens.push_back(held.token);
    if (spec_.n_probs >= 0) {
      const TokenLogprobs& l = held.logprobs;
      chunk_.logprobs.push_back(l.logprob);
      chunk_.top_tokens.insert(chunk_.top_tokens.end(), l.top_tokens.begin(), l.top_tokens.end());
      chunk_.top_logprobs.insert(chunk_.top_logprobs.end(), l.top_logprobs.begin(), l.top_logprobs.end());
    }
    held_.pop_front();
  }
}

void Sequence::Finish(EndReason reason, int32_t rule) {
  if (ended) return;
  ended = true;
  if (rule == kNoRule || rule == kEndOfText) {
    matcher_.Finish();
    if (matcher_.fired_rule() >= 0 && reason != EndReason::kAbort) {
      // A heading that stands complete at the end of the text.
      rule = matcher_.fired_rule();
      reason = EndReason::kStop;
    }
  }
  Release();
  chunk_.text += utf8_.Finish();
  ending_.reason = reason;
  ending_.rule = rule;
  const Clock::time_point now = Clock::now();
  if (seq_id < 0) {
    ending_.queue_ms = Milliseconds(now - submitted_);
  } else if (ending_.n_generated == 0) {
    ending_.prompt_ms = Milliseconds(now - admitted_);
  } else {
    ending_.prompt_ms = Milliseconds(first_token_ - admitted_);
    ending_.decode_ms = Milliseconds(now - first_token_);
  }
}

void Sequence::End(EndReason reason) { Finish(reason, kNoRule); }

void Sequence::Fail(const std::string& code, const std::string& message) {
  ending_.error_code = code;
  ending_.error_message = message;
  Finish(EndReason::kError, kNoRule);
  ending_.reason = EndReason::kError;
}

Chunk Sequence::TakeChunk() {
  Chunk chunk;
  std::swap(chunk, chunk_);
  return chunk;
}

Ending Sequence::TakeEnding() { return std::move(ending_); }

}  // namespace phi2
