#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/chunked_text.h"

namespace phi2 {

/// One value for every scored token, chunk by chunk; those after `nll` only when there is a reference model.
struct TokenScores {
  std::vector<double> nll;       ///< -log p of the token that came, in nats
  std::vector<double> nll_base;  ///< of the reference model
  std::vector<double> kld;       ///< Kullback-Leibler divergence from the reference to the model, in nats
  std::vector<double> p_diff;    ///< p of the token that came, less the reference's
  std::vector<uint8_t> same_top;
};

/// Scores what decoders predicted, on all the threads of the context. For one thread.
class ChunkScorer {
 public:
  /// Both must outlive the scorer. `compare`: there is a reference model.
  ChunkScorer(const ChunkedText& text, const ReadingOptions& options, bool compare);

  /// The step just decoded. `base` is null without a reference. Throws PHI2_DECODE_FAILED for logits that are not
  /// finite.
  void Score(const ChunkStep& step, const ChunkDecoder& decoder, const ChunkDecoder* base);

  /// Of what was scored so far; 0 before.
  float perplexity() const;

  TokenScores Take() { return std::move(scores_); }

 private:
  void ScoreToken(const ChunkStep& step, uint32_t chunk, uint32_t pos, const ChunkDecoder& decoder,
                  const ChunkDecoder* base);
  size_t Index(uint32_t chunk, uint32_t pos) const { return size_t{chunk} * range_.size() + (pos - range_.begin); }

  const ChunkedText& text_;
  uint32_t n_threads_;
  PositionRange range_;
  TokenScores scores_;
  std::atomic<bool> all_finite_{true};
  double sum_ = 0;
  uint64_t n_scored_ = 0;
};

}  // namespace phi2
