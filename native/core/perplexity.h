#pragma once

#include <string>
#include <vector>

#include "core/chunk_scorer.h"
#include "core/chunked_text.h"

namespace phi2 {

struct PerplexityOptions {
  ReadingOptions reading;
  std::string path_base;  ///< a model to compare with; empty: none
};

struct PerplexityResult {
  uint32_t n_chunks;
  TokenScores scores;
  int32_t n_ctx_train;
  std::vector<std::string> warnings;
};

/// Reads a text with a model, or with two in step, and scores the same tokens as llama.cpp's perplexity tool. Blocks:
/// for worker threads. Throws the codes of Model::Load, CutIntoChunks and ChunkDecoder; PHI2_VOCABULARY_MISMATCH when
/// the reference splits the text into other tokens.
PerplexityResult Perplexity(const PerplexityOptions& options);

}  // namespace phi2
