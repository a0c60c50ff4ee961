#pragma once

#include <cstdint>
#include <string>

namespace phi2 {

struct GgufSummary {
  std::string name;
  uint32_t context_length = 0;
  uint32_t layers = 0;
  uint32_t heads = 0;
  uint32_t embedding_length = 0;
  bool has_pre_tokenizer = false;
};

/// Reads the whole header of a GGUF file and checks everything that the engine would otherwise answer with an assertion
/// or a crash: bounds, types, counts, duplicate tokens, tensors inside the file. Memory stays within the header's size.
///
/// Throws PHI2_MODEL_NOT_FOUND (no such file, or not readable), PHI2_INVALID_GGUF (not a GGUF, truncated, corrupt),
/// PHI2_NOT_PHI2 (another architecture).
GgufSummary CheckGguf(const std::string& path);

}  // namespace phi2
