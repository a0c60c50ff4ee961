#pragma once

#include <string>
#include <vector>

#include "core/chunked_text.h"

namespace phi2 {

struct ImportanceOptions {
  ReadingOptions reading;
  bool process_output = false;  ///< the output layer too
};

/// What one matrix was multiplied with: for each of its columns the sum of the squared inputs, over `count` tokens.
struct TensorImportance {
  std::string name;
  std::vector<float> sums;
  uint64_t count = 0;
};

struct Importance {
  uint32_t n_chunks;
  float perplexity;
  std::vector<TensorImportance> tensors;  ///< by name
  int32_t n_ctx_train;
  std::vector<std::string> warnings;
};

/// Reads a text chunk by chunk and watches the inputs of every matrix multiplication with weights of the blocks.
/// Blocks: for worker threads. Throws the codes of Model::Load, CutIntoChunks and ChunkDecoder; PHI2_DECODE_FAILED also
/// for activations that are not finite.
Importance ComputeImportance(const ImportanceOptions& options);

}  // namespace phi2
