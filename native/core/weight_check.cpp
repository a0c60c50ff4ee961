#include "core/weight_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "core/error.h"

namespace phi2 {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

// The largest magnitude as the bits of its float: they are ordered as the numbers are, and NaN comes after infinity.
uint32_t LargestF32(const char* bytes, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes + i * 4, 4);
    largest = std::max(largest, bits & 0x7fffffffu);
  }
  return largest;
}

uint16_t LargestHalf(const char* bytes, size_t n) {
  uint16_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes + i * 2, 2);
    largest = std::max<uint16_t>(largest, bits & 0x7fffu);
  }
  return largest;
}

float Largest(ggml_type type, const char* bytes, size_t n_bytes) {
  if (type == GGML_TYPE_F16) return ggml_fp16_to_fp32(LargestHalf(bytes, n_bytes / 2));
  const uint32_t bits =
      type == GGML_TYPE_F32 ? LargestF32(bytes, n_bytes / 4) : uint32_t{LargestHalf(bytes, n_bytes / 2)} << 16;
  float largest = 0;
  std::memcpy(&largest, &bits, 4);
  return largest;
}

}  // namespace

WeightCheck::WeightCheck(const std::string& path, const std::vector<StoredTensor>& tensors)
    : in_(path, std::ios::binary), piece_(kPieceBytes) {
  for (const StoredTensor& tensor : tensors) {
    by_name_.emplace(tensor.name, &tensor);
    total_bytes_ += tensor.bytes;
  }
}

const StoredTensor* WeightCheck::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void WeightCheck::Check(const StoredTensor& tensor) {
  if (tensor.type != GGML_TYPE_F32 && tensor.type != GGML_TYPE_F16 && tensor.type != GGML_TYPE_BF16) return;
  in_.seekg(static_cast<std::streamoff>(tensor.offset));
  for (uint64_t done = 0; done < tensor.bytes;) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(kPieceBytes, tensor.bytes - done));
    if (!in_.read(piece_.data(), static_cast<std::streamsize>(n)))
      throw Error("PHI2_QUANTIZE_FAILED", "The weights of " + tensor.name + " cannot be read.");
    done += n;
    const float largest = Largest(tensor.type, piece_.data(), n);
    if (!std::isfinite(largest)) {
      throw Error("PHI2_QUANTIZE_FAILED",
                  "The tensor " + tensor.name + " holds a weight that is infinite or no number; the model is damaged.");
    }
    if (largest > tensor.limit) {
      std::ostringstream magnitude;
      magnitude << largest;
      throw Error("PHI2_QUANTIZE_FAILED", "The tensor " + tensor.name + " holds a weight of magnitude " +
                                              magnitude.str() + ", which half precision cannot hold; it ends at " +
                                              std::to_string(static_cast<int>(tensor.limit)) +
                                              ". Use bf16 or f32 for this model.");
    }
  }
}

}  // namespace phi2
