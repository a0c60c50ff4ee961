#include "core/gguf_reader.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace phi2 {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxNameBytes = 65535;
constexpr uint64_t kMaxTextBytes = 1 << 24;
constexpr uint64_t kMaxTensors = 65536;
constexpr uint64_t kMaxKeys = 4096;  // the engine compares each with all before it
constexpr size_t kMaxTensorName = GGML_MAX_NAME - 1;
constexpr uint64_t kReadOver = 4096;

size_t ScalarSize(uint32_t type) {
  switch (type) {
    case GGUF_TYPE_UINT8:
    case GGUF_TYPE_INT8:
    case GGUF_TYPE_BOOL:
      return 1;
    case GGUF_TYPE_UINT16:
    case GGUF_TYPE_INT16:
      return 2;
    case GGUF_TYPE_UINT32:
    case GGUF_TYPE_INT32:
    case GGUF_TYPE_FLOAT32:
      return 4;
    case GGUF_TYPE_UINT64:
    case GGUF_TYPE_INT64:
    case GGUF_TYPE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

bool IsGgufName(const std::string& text) { return !text.empty() && text.find('\0') == std::string::npos; }

GgufReader::GgufReader(const std::string& path, const std::string& model) : path_(path), model_(model) {
  const fs::path file = fs::u8path(path);
  std::error_code failure;
  const fs::file_status status = fs::status(file, failure);
  if (!fs::exists(status)) {
    throw Error("PHI2_MODEL_NOT_FOUND",
                "No model file at " + path + ". Give the path of a " + model + " GGUF file, or 'tiny'.");
  }
  if (!fs::is_regular_file(status)) {
    throw Error("PHI2_MODEL_NOT_FOUND", "Expected a GGUF file but " + path + " is not a regular file.");
  }
  size_ = fs::file_size(file, failure);
  in_.open(file, std::ios::binary);
  if (failure || !in_) {
    throw Error("PHI2_MODEL_NOT_FOUND",
                "The model file " + path + " cannot be opened for reading: " + std::strerror(errno));
  }
}

GgufCounts GgufReader::Counts() {
  char magic[4] = {};
  if (size_ < 4) NotGguf("it has only " + std::to_string(size_) + " bytes");
  Read(magic, 4);
  if (std::memcmp(magic, "GGUF", 4) != 0) NotGguf("it does not begin with the bytes GGUF");
  const uint32_t version = U32();
  if (version != 2 && version != 3) {
    Corrupt("expected GGUF version 2 or 3 but found " + std::to_string(version));
  }
  GgufCounts counts;
  counts.tensors = U64();
  counts.keys = U64();
  if (counts.tensors > kMaxTensors || counts.keys > kMaxKeys) {
    Corrupt("its header claims " + std::to_string(counts.tensors) + " tensors and " + std::to_string(counts.keys) +
            " keys");
  }
  return counts;
}

GgufValues GgufReader::Values(uint64_t n_keys, const std::string& visited, const GgufItemVisitor& visit) {
  GgufValues values;
  for (uint64_t i = 0; i < n_keys; ++i) {
    const std::string key = String(kMaxNameBytes);
    // One behind a NUL would be hidden from the checks that look keys up, but not from the engine.
    if (!IsGgufName(key)) Corrupt("a key is empty or holds a NUL byte");
    GgufValue value = ReadValue(key, key == visited ? &visit : nullptr);
    if (!values.emplace(key, std::move(value)).second) Corrupt("key " + key + " occurs twice");
  }
  return values;
}

GgufValue GgufReader::ReadValue(const std::string& key, const GgufItemVisitor* visit) {
  GgufValue value;
  const uint32_t type = U32();
  if (type >= GGUF_TYPE_COUNT) Corrupt("key " + key + " has the unknown type " + std::to_string(type));
  value.type = static_cast<gguf_type>(type);
  if (value.type == GGUF_TYPE_ARRAY) {
    ReadArray(key, value, visit);
  } else if (value.type == GGUF_TYPE_STRING) {
    value.text = String(kMaxTextBytes);
  } else {
    ReadScalar(value);
  }
  return value;
}

void GgufReader::ReadScalar(GgufValue& value) {
  unsigned char raw[8] = {};
  Read(raw, ScalarSize(value.type));
  if (value.type == GGUF_TYPE_FLOAT32) {
    float real;
    std::memcpy(&real, raw, 4);
    value.real = real;
  } else if (value.type == GGUF_TYPE_FLOAT64) {
    std::memcpy(&value.real, raw, 8);
  } else {
    std::memcpy(&value.number, raw, 8);
  }
}

void GgufReader::ReadArray(const std::string& key, GgufValue& value, const GgufItemVisitor* visit) {
  const uint32_t type = U32();
  value.count = U64();
  if (type >= GGUF_TYPE_COUNT || type == GGUF_TYPE_ARRAY) {
    Corrupt("array " + key + " has items of the type " + std::to_string(type));
  }
  value.item_type = static_cast<gguf_type>(type);
  if (value.item_type != GGUF_TYPE_STRING) {
    const size_t item = ScalarSize(type);
    if (value.count > Left() / item) Truncated();
    Skip(value.count * item);
    return;
  }
  if (value.count > Left() / 8) Truncated();
  for (uint64_t i = 0; i < value.count; ++i) {
    if (visit == nullptr) {
      Skip(U64());
    } else {
      (*visit)(i, String(kMaxNameBytes));
    }
  }
}

std::string GgufReader::TensorName() {
  std::string name = String(kMaxTensorName);
  if (!IsGgufName(name)) Corrupt("a tensor's name is empty or holds a NUL byte");
  return name;
}

GgufShape GgufReader::TensorShape(const std::string& name) {
  const uint32_t n_dims = U32();
  if (n_dims < 1 || n_dims > GGML_MAX_DIMS)
    Corrupt("the tensor " + name + " has " + std::to_string(n_dims) + " dimensions");
  GgufShape shape;
  for (uint32_t d = 0; d < n_dims; ++d) {
    const uint64_t n = U64();
    if (n < 1 || n > (uint64_t{1} << 32) || shape.elements > (uint64_t{1} << 46) / n)
      Corrupt("the tensor " + name + " has an impossible shape");
    if (d == 0) shape.row = n;
    shape.elements *= n;
  }
  const uint32_t type = U32();
  if (type >= GGML_TYPE_COUNT) Corrupt("the tensor " + name + " has the unknown type " + std::to_string(type));
  shape.type = static_cast<ggml_type>(type);
  if (ggml_blck_size(shape.type) <= 0 || ggml_type_size(shape.type) == 0)
    Corrupt("the tensor " + name + " has a type that is no longer supported");
  return shape;
}

uint64_t GgufReader::TensorOffset(const std::string& name, uint64_t alignment) {
  const uint64_t offset = U64();
  if (offset % alignment != 0) Corrupt("the tensor " + name + " is not aligned");
  return offset;
}

void GgufReader::CheckExtents(const std::vector<GgufExtent>& extents, uint64_t alignment) {
  const uint64_t data = (at_ + alignment - 1) / alignment * alignment;
  for (const GgufExtent& extent : extents) {
    if (data > size_ || extent.offset > size_ - data || extent.bytes > size_ - data - extent.offset) {
      throw Error("PHI2_INVALID_GGUF", path_ + " is truncated: the tensor " + extent.name + " ends at byte " +
                                           std::to_string(data + extent.offset + extent.bytes) + " but the file has " +
                                           std::to_string(size_) + ". Download or convert it again.");
    }
  }
}

void GgufReader::Read(void* to, uint64_t n) {
  if (n > Left()) Truncated();
  in_.read(static_cast<char*>(to), static_cast<std::streamsize>(n));
  if (!in_) Truncated();
  at_ += n;
}

void GgufReader::Skip(uint64_t n) {
  if (n > Left()) Truncated();
  // A seek drops what was read ahead: a vocabulary of 50,000 short texts would cost a hundred thousand system calls.
  if (n <= kReadOver) {
    in_.ignore(static_cast<std::streamsize>(n));
  } else {
    in_.seekg(static_cast<std::streamoff>(n), std::ios::cur);
  }
  if (!in_) Truncated();
  at_ += n;
}

uint32_t GgufReader::U32() {
  uint32_t value;
  Read(&value, 4);
  return value;
}

uint64_t GgufReader::U64() {
  uint64_t value;
  Read(&value, 8);
  return value;
}

std::string GgufReader::String(uint64_t limit) {
  const uint64_t n = U64();
  if (n > Left()) Truncated();
  if (n > limit)
    Corrupt("a string of " + std::to_string(n) + " bytes where at most " + std::to_string(limit) + " make sense");
  std::string text(n, '\0');
  if (n > 0) Read(text.data(), n);
  return text;
}

void GgufReader::NotGguf(const std::string& found) const {
  throw Error("PHI2_INVALID_GGUF", "Expected a GGUF file but " + path_ + " is none: " + found + ".");
}

void GgufReader::Truncated() const {
  throw Error("PHI2_INVALID_GGUF", path_ + " is truncated: its header goes on past the end of the file (" +
                                       std::to_string(size_) + " bytes). Download or convert it again.");
}

void GgufReader::Corrupt(const std::string& what) const {
  throw Error("PHI2_INVALID_GGUF", path_ + " is not a sound " + model_ + " GGUF: " + what + ".");
}

}  // namespace phi2
