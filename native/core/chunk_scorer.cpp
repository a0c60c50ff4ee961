#include "core/chunk_scorer.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "core/parallel_for.h"
#include "core/token_scores.h"

namespace phi2 {

ChunkScorer::ChunkScorer(const ChunkedText& text, const ReadingOptions& options, bool compare)
    : text_(text), n_threads_(static_cast<uint32_t>(options.context.n_threads)), range_(ScoredPositions(text.n_ctx)) {
  const size_t n = size_t{text.n_chunks} * range_.size();
  scores_.nll.resize(n);
  if (!compare) return;
  scores_.nll_base.resize(n);
  scores_.kld.resize(n);
  scores_.p_diff.resize(n);
  scores_.same_top.resize(n);
}

void ChunkScorer::Score(const ChunkStep& step, const ChunkDecoder& decoder, const ChunkDecoder* base) {
  const PositionRange rows = range_.Within(step);
  ParallelFor(step.n_chunks * rows.size(), n_threads_,
              [&](uint32_t i) { ScoreToken(step, i / rows.size(), rows.begin + i % rows.size(), decoder, base); });
  if (!all_finite_) {
    throw Error("PHI2_DECODE_FAILED",
                "Logits in chunk " + std::to_string(step.first_chunk + 1) +
                    " of the text or soon after are not finite: the model file is damaged, or its numbers overflow on "
                    "this device.");
  }
  // Not in the threads: sums in another order are other sums.
  for (uint32_t chunk = step.first_chunk; chunk < step.first_chunk + step.n_chunks; ++chunk) {
    for (uint32_t pos = rows.begin; pos < rows.end; ++pos) sum_ += scores_.nll[Index(chunk, pos)];
  }
  n_scored_ += uint64_t{step.n_chunks} * rows.size();
}

void ChunkScorer::ScoreToken(const ChunkStep& step, uint32_t chunk, uint32_t pos, const ChunkDecoder& decoder,
                             const ChunkDecoder* base) {
  const llama_token target = text_.At(step.first_chunk + chunk, pos + 1);
  const size_t at = Index(step.first_chunk + chunk, pos);
  const float* logits = decoder.Logits(step, chunk, pos);
  if (base == nullptr) {
    scores_.nll[at] = NegativeLogLikelihood(logits, decoder.n_vocab(), target);
    if (!std::isfinite(scores_.nll[at])) all_finite_ = false;
    return;
  }
  const Divergence found = CompareLogits(logits, base->Logits(step, chunk, pos), decoder.n_vocab(), target);
  scores_.nll[at] = found.nll;
  scores_.nll_base[at] = found.nll_base;
  scores_.kld[at] = found.kld;
  scores_.p_diff[at] = found.p_diff;
  scores_.same_top[at] = found.same_top ? 1 : 0;
  if (!std::isfinite(found.nll + found.nll_base + found.kld)) all_finite_ = false;
}

float ChunkScorer::perplexity() const {
  return n_scored_ == 0 ? 0 : static_cast<float>(std::exp(sum_ / static_cast<double>(n_scored_)));
}

}  // namespace phi2
