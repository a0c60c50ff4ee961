#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "llama.h"

namespace phi2 {

/// One tensor of a file, and how large a weight of it may be: up to `limit` in magnitude.
struct StoredTensor {
  std::string name;
  ggml_type type = GGML_TYPE_F32;
  uint64_t offset = 0;  ///< in the file
  uint64_t bytes = 0;
  float limit = 0;
};

/// Looks at weights before the quantizer does: it writes about those that are not finite to stderr, and its assertions
/// on grid points fall, ending the process, where the squares of huge ones overflow. One thread at a time.
class WeightCheck {
 public:
  WeightCheck(const std::string& path, const std::vector<StoredTensor>& tensors);

  /// Null for a name that was not given.
  const StoredTensor* Find(const std::string& name) const;

  /// Throws PHI2_QUANTIZE_FAILED when a weight is not finite or too large. Quantized tensors pass: their range is
  /// bounded.
  void Check(const StoredTensor& tensor);

  uint64_t total_bytes() const { return total_bytes_; }

 private:
  std::ifstream in_;
  std::unordered_map<std::string, const StoredTensor*> by_name_;
  uint64_t total_bytes_ = 0;
  std::vector<char> piece_;
};

}  // namespace phi2
