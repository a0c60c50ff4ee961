#pragma once

#include <cstdint>
#include <string>

namespace phi2 {

struct QuantizeOptions {
  std::string path_in;
  std::string path_out;
  std::string type;  ///< llama.cpp's name in lower case: q8_0, q4_k_m …
  int32_t n_threads = 0;
  bool allow_requantize = false;
  bool pure = false;
};

/// The engine's own quantizer. Blocks: for worker threads. Throws the codes of CheckGguf and PHI2_QUANTIZE_FAILED.
void Quantize(const QuantizeOptions& options);

}  // namespace phi2
