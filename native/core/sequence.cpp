#include "core/sequence.h"

#include <algorithm>

namespace phi2 {
Sequence::Sequence(uint32_t id, uint32_t group, RequestSpec spec, std::shared_ptr<const Model> model)
    : id_(id),
      group_(group),
      spec_(std::move(spec)),
      model_(std::move(model)),
      tokens_(spec_.tokens),
      sampler_(model_, spec_.sampler),
      matcher_(spec_.stop),
      submitted_(Clock::now()),
      waiting_since_(submitted_) {
  ending_.n_prompt = static_cast<int32_t>(tokens_.size());
  for (llama_token token : tokens_) sampler_.AcceptPrompt(token);
}

bool Sequence::wants_output(size_t position) const {
  if (position + 1 >= tokens_.size()) return true;
  return spec_.prompt_logprobs ||
         std::binary_search(spec_.logit_positions.begin(), spec_.logit_positions.end(), static_cast<int32_t>(position));
}

llama_token Sequence::TokenAt(size_t position) const {
  return position < tokens_.size() ? tokens_[position] : draft[position - tokens_.size()];
}

size_t Sequence::max_draft() const {
  const auto to_generate = static_cast<size_t>(std::max(spec_.n_predict - ending_.n_generated, 1));
  const size_t cells = n_limit_ - std::min(n_limit_, tokens_.size());
  return std::min(to_generate - 1, cells);
}

void Sequence::SettleDraft(size_t n_known, size_t n) {
  const size_t most = std::min(n, tokens_.size() - n_known);
  size_t n_right = 0;
  while (n_right < most && tokens_[n_known + n_right] == draft[n_right]) ++n_right;
  ending_.drafts.n_drafted += n;
  ending_.drafts.n_accepted += n_right;
  draft.clear();
}

void Sequence::Admit(int32_t slot, size_t reused, size_t promised, size_t n_limit) {
  seq_id = slot;
  n_past = reused;
  promised_ = promised;
  n_limit_ = n_limit;
  waits_for_prefix = false;
  waited_ += Clock::now() - waiting_since_;
  if (!was_admitted_) ending_.n_cached = static_cast<int32_t>(reused);
  was_admitted_ = true;
}

void Sequence::LosePlace() {
  seq_id = -1;
  n_past = 0;
  draft.clear();
  waiting_since_ = Clock::now();
  ++n_preempted_;
}

void Sequence::SetPaused(bool paused) {
  if (paused && !paused_) paused_at_ = Clock::now();
  paused_ = paused;
}

void Sequence::OnLogits(size_t position, const float* logits) {
  const int32_t n_vocab = model_->n_vocab();
  if (spec_.prompt_logprobs && position + 1 < n_prompt()) {
    ending_.prompt_logprobs.push_back(ComputeLogprobs(logits, n_vocab, tokens_[position + 1], 0).logprob);
  }
  const auto& wanted = spec_.logit_positions;
  if (std::binary_search(wanted.begin(), wanted.end(), static_cast<int32_t>(position))) {
    ending_.logits.insert(ending_.logits.end(), logits, logits + n_vocab);
  }
  if (position + 1 == tokens_.size()) Accept(logits);
}

void Sequence::Accept(const float* logits) {
  if (spec_.n_predict <= 0) {
    Finish(EndReason::kLength, kNoRule);
    return;
  }
  const llama_token token = sampler_.Sample(logits);
  if (ending_.n_generated++ == 0) {
    first_token_ = Clock::now();
    waited_at_first_ = waited_;
  }
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
  if (ending_.n_generated >= spec_.n_predict || tokens_.size() > n_limit_) {
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
  if (!has_place()) waited_ += now - waiting_since_;
  ending_.queue_ms = waited_.count();
  if (ending_.n_generated == 0) {
    ending_.prompt_ms = (Milliseconds(now - submitted_) - waited_).count();
  } else {
    ending_.prompt_ms = (Milliseconds(first_token_ - submitted_) - waited_at_first_).count();
    ending_.decode_ms = (Milliseconds(now - first_token_) - (waited_ - waited_at_first_)).count();
  }
}

void Sequence::End(EndReason reason) { Finish(reason, kNoRule); }

void Sequence::Fail(const char* code, const std::string& message) {
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
