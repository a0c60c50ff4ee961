#include "core/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/logit_scan.h"

namespace phi2 {
namespace {

using Tokens = DraftModel::Tokens;

// What another slot holds is worth copying from so many tokens on.
constexpr size_t kWorthCopying = 16;

size_t CommonPrefix(const Tokens& a, const Tokens& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first -
                             a.begin());
}

}  // namespace

DraftModel::DraftModel(std::shared_ptr<const Model> model, const EngineOptions& options, const Context& engine,
                       ggml_abort_callback should_abort, void* data)
    : model_(std::move(model)),
      context_(*model_, ForDrafts(options), should_abort, data, nullptr, nullptr, &engine),
      batch_(static_cast<int32_t>(context_.n_batch())),
      held_(context_.n_seq_max()),
      relative_size_(static_cast<double>(llama_model_n_params(model_->get())) /
                     static_cast<double>(llama_model_n_params(llama_get_model(engine.get())))) {}

size_t DraftModel::Missing(int32_t slot, const Tokens& tokens) {
  const size_t wanted = tokens.size() - 1;
  Tokens& held = held_[static_cast<size_t>(slot)];
  Keep(slot, std::min(CommonPrefix(held, tokens), wanted));
  if (wanted - held.size() < kWorthCopying) return wanted - held.size();

  const auto prefix = [&](const Tokens& other) { return std::min(CommonPrefix(other, tokens), wanted); };
  const auto best = std::max_element(held_.begin(), held_.end(),
                                     [&](const Tokens& a, const Tokens& b) { return prefix(a) < prefix(b); });
  const size_t n = prefix(*best);
  if (n >= held.size() + kWorthCopying) {
    Keep(slot, 0);
    llama_memory_seq_cp(context_.memory(), static_cast<llama_seq_id>(best - held_.begin()), slot, 0,
                        static_cast<llama_pos>(n));
    held.assign(best->begin(), best->begin() + static_cast<ptrdiff_t>(n));
  }
  return wanted - held.size();
}

void DraftModel::Read(int32_t slot, const Tokens& tokens, size_t n) {
  const size_t missing = Missing(slot, tokens);
  const size_t count = std::min({n, missing, static_cast<size_t>(context_.n_batch())});
  const size_t from = tokens.size() - 1 - missing;
  for (size_t i = 0; i < count; ++i) Add(slot, tokens[from + i], false);
  if (count > 0) Decode();
}

void DraftModel::Guess(std::vector<Draft>& drafts) {
  struct Row {
    Draft* draft;
    int32_t row;
    double survival;
  };
  std::vector<Row> rows;
  for (Draft& draft : drafts) {
    const Tokens& tokens = *draft.tokens;
    const size_t missing = Missing(draft.slot, tokens);
    if (static_cast<size_t>(batch_->n_tokens) + missing >= context_.n_batch()) continue;
    for (size_t i = tokens.size() - 1 - missing; i + 1 < tokens.size(); ++i) Add(draft.slot, tokens[i], false);
    rows.push_back({&draft, Add(draft.slot, tokens.back(), true), 1});
  }
  const auto is_done = [&](Row& row) {
    Draft& draft = *row.draft;
    if (!ChooseNext(draft, row.row)) return true;
    row.survival *= draft.acceptance->Probability(draft.confidences.back());
    return draft.guesses.size() == draft.n_max || row.survival < draft.least || model_->IsEog(draft.guesses.back());
  };
  while (!rows.empty() && Decode()) {
    rows.erase(std::remove_if(rows.begin(), rows.end(), is_done), rows.end());
    for (Row& row : rows) row.row = Add(row.draft->slot, row.draft->guesses.back(), true);
  }
}

/// Returns the token's row.
int32_t DraftModel::Add(int32_t slot, llama_token token, bool output) {
  Tokens& held = held_[static_cast<size_t>(slot)];
  const int32_t row = batch_->n_tokens++;
  batch_->token[row] = token;
  batch_->pos[row] = static_cast<llama_pos>(held.size());
  batch_->n_seq_id[row] = 1;
  batch_->seq_id[row][0] = slot;
  batch_->logits[row] = output ? 1 : 0;
  held.push_back(token);
  return row;
}

/// Decodes what was added. When that fails, all slots are as before.
bool DraftModel::Decode() {
  const auto start = std::chrono::steady_clock::now();
  const auto n_tokens = static_cast<size_t>(batch_->n_tokens);
  int32_t status = llama_decode(context_.get(), *batch_);
  if (status == 1) {
    EvictOthers();
    status = llama_decode(context_.get(), *batch_);
  }
  if (status == 0) {
    llama_synchronize(context_.get());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    cost_.Add(n_tokens, took.count());
  } else {
    for (int32_t row = batch_->n_tokens - 1; row >= 0; --row) {
      Keep(batch_->seq_id[row][0], static_cast<size_t>(batch_->pos[row]));
    }
  }
  batch_->n_tokens = 0;
  return status == 0;
}

/// Sequences share cells in the engine's cache that they may have to themselves in this one, so that it is full sooner.
void DraftModel::EvictOthers() {
  for (int32_t slot = 0; slot < static_cast<int32_t>(held_.size()); ++slot) {
    bool in_batch = false;
    for (int32_t row = 0; row < batch_->n_tokens; ++row) in_batch = in_batch || batch_->seq_id[row][0] == slot;
    if (!in_batch) Keep(slot, 0);
  }
}

void DraftModel::Keep(int32_t slot, size_t n) {
  Tokens& held = held_[static_cast<size_t>(slot)];
  if (held.size() == n) return;
  held.resize(n);
  llama_memory_seq_rm(context_.memory(), slot, static_cast<llama_pos>(n), -1);
}

/// False when the logits are not finite, as those of a damaged file.
bool DraftModel::ChooseNext(Draft& draft, int32_t row) const {
  const float* logits = llama_get_logits_ith(context_.get(), row);
  const double log_sum = LogSumExp(logits, static_cast<size_t>(model_->n_vocab()));
  if (!std::isfinite(log_sum)) return false;
  llama_token best = model_->sampleable().front().begin;
  for (const auto& [begin, end] : model_->sampleable()) {
    const size_t at = HighestLogit(logits + begin, static_cast<size_t>(end - begin));
    const llama_token token = begin + static_cast<llama_token>(at);
    if (logits[token] > logits[best]) best = token;
  }
  draft.guesses.push_back(best);
  draft.confidences.push_back(static_cast<float>(std::exp(logits[best] - log_sum)));
  return true;
}

void RefuseOtherVocabulary(const Model& model, const Model& draft_model) {
  const auto refuse = [](const std::string& found) {
    throw Error("PHI2_VOCABULARY_MISMATCH",
                "Expected a draft model with the vocabulary of the model, but " + found + '.');
  };
  const auto same = [](const TokenRange& a, const TokenRange& b) { return a.begin == b.begin && a.end == b.end; };
  const std::vector<TokenRange>& ranges = model.sampleable();
  const std::vector<TokenRange>& others = draft_model.sampleable();
  if (!std::equal(ranges.begin(), ranges.end(), others.begin(), others.end(), same)) {
    refuse("it has " + std::to_string(draft_model.n_sampleable()) + " tokens where the model has " +
           std::to_string(model.n_sampleable()) + ", or other ids");
  }
  for (const TokenRange& range : ranges) {
    for (llama_token id = range.begin; id < range.end; ++id) {
      if (model.Piece(id) != draft_model.Piece(id) || model.IsEog(id) != draft_model.IsEog(id)) {
        refuse("token " + std::to_string(id) + " is another one");
      }
    }
  }
}

}  // namespace phi2
