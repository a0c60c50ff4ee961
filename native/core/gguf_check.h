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
  std::string pre_tokenizer;  ///< empty: the file names none
  /// What ends a text where the file does not say: the id of `<|endoftext|>`. -1: the file says it.
  int64_t missing_end_of_text = -1;
};

/// Reads the whole header of a GGUF file and checks everything that the engine would otherwise answer with an assertion
/// or a crash: bounds, types, counts, duplicate tokens, keys that make another model of it, tensors inside the file and
/// of types that can be computed with. Memory stays within the header's size. A tensor that is missing or has another
/// shape is left to the engine, which refuses it by name.
///
/// Throws PHI2_MODEL_NOT_FOUND (no such file, or not readable), PHI2_INVALID_GGUF (not a GGUF, truncated, corrupt),
/// PHI2_NOT_PHI2 (another architecture).
GgufSummary CheckGguf(const std::string& path);

}  // namespace phi2
