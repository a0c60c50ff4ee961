#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace phi2::test {

// Ids of the format.
constexpr uint32_t kUint32 = 4;
constexpr uint32_t kInt32 = 5;
constexpr uint32_t kFloat32 = 6;
constexpr uint32_t kText = 8;
constexpr uint32_t kArray = 9;

/// Writes the header of a GGUF file and remembers where lengths, counts, sizes and types stand.
class HeaderWriter {
 public:
  const std::string& bytes() const { return bytes_; }
  const std::vector<size_t>& fields() const { return fields_; }

  void Begin(uint64_t n_tensors, uint64_t n_keys) {
    bytes_ = "GGUF";
    Put<uint32_t>(3);
    Put(n_tensors);
    Put(n_keys);
  }

  void Number(std::string_view key, uint32_t value) {
    Key(key, kUint32);
    Put(value);
  }

  void Real(std::string_view key, float value) {
    Key(key, kFloat32);
    Put(value);
  }

  void Text(std::string_view key, std::string_view value) {
    Key(key, kText);
    String(value);
  }

  void Texts(std::string_view key, const std::vector<std::string>& values) {
    Array(key, kText, values.size());
    for (const std::string& value : values) String(value);
  }

  void Ints(std::string_view key, const std::vector<int32_t>& values) {
    Array(key, kInt32, values.size());
    for (const int32_t value : values) Put(value);
  }

  /// An F32 tensor behind those before it.
  void Tensor(std::string_view name, const std::vector<uint64_t>& shape) {
    String(name);
    Put(static_cast<uint32_t>(shape.size()));
    uint64_t size = 4;
    for (const uint64_t n : shape) {
      Put(n);
      size *= n;
    }
    Put<uint32_t>(0);
    Put(data_bytes_);
    data_bytes_ += (size + 31) / 32 * 32;
  }

  /// Of the whole file, data included.
  uint64_t FileSize() const { return (bytes_.size() + 31) / 32 * 32 + data_bytes_; }

 private:
  template <typename Value>
  void Put(Value value) {
    fields_.push_back(bytes_.size());
    char raw[sizeof(Value)];
    std::memcpy(raw, &value, sizeof(Value));
    bytes_.append(raw, sizeof(Value));
  }

  void String(std::string_view text) {
    Put(static_cast<uint64_t>(text.size()));
    bytes_ += text;
  }

  void Key(std::string_view key, uint32_t type) {
    String(key);
    Put(type);
  }

  void Array(std::string_view key, uint32_t type, size_t n) {
    Key(key, kArray);
    Put(type);
    Put(static_cast<uint64_t>(n));
  }

  std::string bytes_;
  std::vector<size_t> fields_;
  uint64_t data_bytes_ = 0;
};

/// Damages a header: changed bytes and bits, fields set to extremes, blocks swapped, doubled and taken out, a cut end.
/// The same seed gives the same.
class HeaderMutator {
 public:
  HeaderMutator(const HeaderWriter& header, uint32_t seed)
      : header_(header.bytes()), fields_(header.fields()), random_(seed) {}

  std::string Next() {
    std::string bytes = header_;
    for (size_t changes = Below(4) == 0 ? 3 : 1; changes > 0; --changes) Change(bytes);
    return bytes;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void Change(std::string& bytes) {
    const size_t at = Below(bytes.size());
    switch (bytes.empty() ? 6 : Below(10)) {
      case 0:
      case 1:
        bytes[at] = static_cast<char>(Below(256));
        break;
      case 2:
      case 3:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 4:
        bytes.resize(at);
        break;
      case 5:
        SwapBlocks(bytes);
        break;
      case 6:
        bytes.insert(at, bytes, at, Below(200));
        break;
      case 7:
        bytes.erase(at, Below(200));
        break;
      default:
        SetField(bytes);
    }
  }

  void SwapBlocks(std::string& bytes) {
    const size_t length = 1 + Below(64);
    if (bytes.size() < 2 * length) return;
    const size_t one = Below(bytes.size() - length);
    const size_t other = Below(bytes.size() - length);
    const std::string block = bytes.substr(one, length);
    bytes.replace(one, length, bytes.substr(other, length));
    bytes.replace(other, length, block);
  }

  void SetField(std::string& bytes) {
    static constexpr uint64_t kExtremes[] = {
        0,           1, 2, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, uint64_t{1} << 32, uint64_t{1} << 62, ~uint64_t{0} >> 1,
        ~uint64_t{0}};
    const size_t at = fields_[Below(fields_.size())];
    // Some fields are 8 bytes and some 4: both are hit, with and without what follows.
    const size_t width = Below(2) == 0 ? 4 : 8;
    if (at + width > bytes.size()) return;
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, width);
    value = Below(4) == 0 ? value + 1 : kExtremes[Below(std::size(kExtremes))];
    std::memcpy(bytes.data() + at, &value, width);
  }

  std::string header_;
  std::vector<size_t> fields_;
  std::mt19937 random_;
};

}  // namespace phi2::test
