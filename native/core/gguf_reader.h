#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "llama.h"

namespace phi2 {

/// What stands under one key of the header. Of an array only the type and the count are kept.
struct GgufValue {
  gguf_type type = GGUF_TYPE_COUNT;
  gguf_type item_type = GGUF_TYPE_COUNT;  ///< of an array
  uint64_t count = 0;                     ///< of an array
  uint64_t number = 0;                    ///< integer and bool scalars: their bytes, zero-extended
  double real = 0;                        ///< float scalars
  std::string text;
};

using GgufValues = std::map<std::string, GgufValue>;

struct GgufCounts {
  uint64_t tensors = 0;
  uint64_t keys = 0;
};

struct GgufShape {
  uint64_t row = 1;  ///< elements of the first dimension
  uint64_t elements = 1;
  ggml_type type = GGML_TYPE_COUNT;  ///< one that ggml still knows the size of
};

/// Where the data of a tensor lies, counted from the beginning of all tensors' data.
struct GgufExtent {
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// Receives the strings of an array, in order.
using GgufItemVisitor = std::function<void(uint64_t index, std::string item)>;

/// Reads the header of a GGUF file front to back: counts, keys and values, tensors. No read, and no allocation, goes
/// past what is left of the file. Knows the format only, not what a model must hold. Single-threaded.
///
/// Call in the order of the file: Counts(), Values(), for each tensor TensorName(), TensorShape() and TensorOffset(),
/// then CheckExtents(). All of them throw PHI2_INVALID_GGUF, and the reader is of no use afterwards.
class GgufReader {
 public:
  /// `model` is what messages call the kind of model that is expected in the file.
  /// Throws PHI2_MODEL_NOT_FOUND (no such file, or not readable).
  GgufReader(const std::string& path, const std::string& model);

  /// Checks magic and version.
  GgufCounts Counts();

  /// `visit` sees each string of the array under the key `visited` as it is read; other arrays are skipped.
  GgufValues Values(uint64_t n_keys, const std::string& visited, const GgufItemVisitor& visit);

  std::string TensorName();
  GgufShape TensorShape(const std::string& name);
  uint64_t TensorOffset(const std::string& name, uint64_t alignment);

  /// Throws unless every extent lies inside the file. The data begin at the first multiple of `alignment` after the
  /// header, so all of it must have been read.
  void CheckExtents(const std::vector<GgufExtent>& extents, uint64_t alignment);

  /// Throws PHI2_INVALID_GGUF: `what` is wrong with the file.
  [[noreturn]] void Corrupt(const std::string& what) const;

 private:
  uint64_t Left() const { return size_ - at_; }
  void Read(void* to, uint64_t n);
  void Skip(uint64_t n);
  uint32_t U32();
  uint64_t U64();
  std::string String(uint64_t limit);
  GgufValue ReadValue(const std::string& key, const GgufItemVisitor* visit);
  void ReadScalar(GgufValue& value);
  void ReadArray(const std::string& key, GgufValue& value, const GgufItemVisitor* visit);

  [[noreturn]] void NotGguf(const std::string& found) const;
  [[noreturn]] void Truncated() const;

  std::string path_;
  std::string model_;
  std::ifstream in_;
  uint64_t size_ = 0;
  uint64_t at_ = 0;
};

/// True for text that the engine, which reads up to a NUL, takes as a whole.
bool IsGgufName(const std::string& text);

}  // namespace phi2
