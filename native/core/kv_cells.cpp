#include "core/kv_cells.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace phi2 {
namespace {

// llama-context.cpp (io_magic) and llama-kv-cache.cpp (state_write) of the pinned engine.
constexpr uint32_t kMagic = 0xaf143cd8;
constexpr size_t kCellMetaSize = 12;  // position, count of sequences, sequence
constexpr size_t kHeadSize = 16;      // magic, sequence, streams, cells
constexpr size_t kDataHeadSize = 8;   // whether values are transposed, layers
constexpr size_t kRowsHeadSize = 12;  // type; bytes of a row, or of a number and how many a row has

class Writer {
 public:
  explicit Writer(size_t size) { bytes_.reserve(size); }

  template <typename T>
  void Put(T value) {
    const auto* from = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof(T));
  }
  void Copy(const uint8_t* from, size_t n) { bytes_.insert(bytes_.end(), from, from + n); }
  uint8_t* Extend(size_t n) {
    bytes_.resize(bytes_.size() + n);
    return bytes_.data() + bytes_.size() - n;
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

[[noreturn]] void FailUnknown(const std::string& what) {
  throw Error("PHI2_INVALID_STATE", "The engine stores its cells in a form that this package does not know (" + what +
                                        "). Was it built from other sources than the pinned ones?");
}

class Reader {
 public:
  explicit Reader(const std::vector<uint8_t>& bytes) : at_(bytes.data()), left_(bytes.size()) {}

  template <typename T>
  T Get() {
    T value;
    std::memcpy(&value, Skip(sizeof(T)), sizeof(T));
    return value;
  }
  template <typename T>
  void Expect(T expected, const char* what) {
    const T found = Get<T>();
    if (found == expected) return;
    FailUnknown(std::string(what) + " " + std::to_string(found) + " instead of " + std::to_string(expected));
  }
  const uint8_t* Skip(size_t n) {
    if (n > left_) FailUnknown("it ends too soon");
    const uint8_t* from = at_;
    at_ += n;
    left_ -= n;
    return from;
  }
  size_t left() const { return left_; }

 private:
  const uint8_t* at_;
  size_t left_;
};

template <typename Number>
void Transpose(const uint8_t* from, size_t n_rows, size_t n_columns, uint8_t* to) {
  for (size_t column = 0; column < n_columns; ++column) {
    for (size_t row = 0; row < n_rows; ++row) {
      std::memcpy(to, from + (row * n_columns + column) * sizeof(Number), sizeof(Number));
      to += sizeof(Number);
    }
  }
}

void TransposeNumbers(ggml_type type, const uint8_t* from, size_t n_rows, size_t n_columns, uint8_t* to) {
  if (ggml_type_size(type) == sizeof(uint16_t)) {
    Transpose<uint16_t>(from, n_rows, n_columns, to);
  } else {
    Transpose<uint32_t>(from, n_rows, n_columns, to);
  }
}

/// Where in the plain form each cell goes: the engine writes them in the order of its own memory.
std::vector<size_t> ReadPositions(Reader& from, size_t first, size_t n) {
  std::vector<size_t> order;
  std::vector<bool> seen(n, false);
  for (size_t i = 0; i < n; ++i) {
    const auto index = static_cast<size_t>(from.Get<int32_t>()) - first;
    if (index >= n || seen[index]) FailUnknown("positions other than those asked for");
    seen[index] = true;
    order.push_back(index);
    from.Expect<uint32_t>(1, "sequences of a cell");
    from.Skip(sizeof(int32_t));
  }
  return order;
}

void PutInOrder(const uint8_t* rows, const std::vector<size_t>& order, size_t row_bytes, uint8_t* to) {
  if (std::is_sorted(order.begin(), order.end())) {
    std::memcpy(to, rows, order.size() * row_bytes);
    return;
  }
  for (const size_t index : order) {
    std::memcpy(to + index * row_bytes, rows, row_bytes);
    rows += row_bytes;
  }
}

template <typename Number>
bool NoneAbove(Number largest, const uint8_t* numbers, size_t n_bytes) {
  constexpr Number kWithoutSign = static_cast<Number>(static_cast<Number>(~Number{0}) >> 1);
  bool above = false;
  for (size_t i = 0; i + sizeof(Number) <= n_bytes; i += sizeof(Number)) {
    Number bits;
    std::memcpy(&bits, numbers + i, sizeof(Number));
    above |= static_cast<Number>(bits & kWithoutSign) > largest;
  }
  return !above;
}

}  // namespace

size_t EngineCellsSize(const KvShape& shape, size_t n) {
  return kHeadSize + n * kCellMetaSize + kDataHeadSize + 2 * shape.n_layer * kRowsHeadSize + n * shape.cell_bytes();
}

std::vector<uint8_t> ToEngineCells(const KvShape& shape, size_t first, const uint8_t* plain, size_t n, size_t skip,
                                   bool transposed) {
  const size_t row_bytes = shape.row_bytes();
  const size_t count = n - skip;
  Writer to(EngineCellsSize(shape, count));
  to.Put<uint32_t>(kMagic);
  to.Put<int32_t>(0);  // the sequence that it was: not looked at
  to.Put<uint32_t>(1);
  to.Put<uint32_t>(static_cast<uint32_t>(count));
  for (size_t i = skip; i < n; ++i) {
    to.Put<int32_t>(static_cast<int32_t>(first + i));
    to.Put<uint32_t>(1);
    to.Put<int32_t>(0);
  }
  to.Put<uint32_t>(transposed ? 1 : 0);
  to.Put<uint32_t>(shape.n_layer);
  const uint8_t* rows = plain + skip * row_bytes;
  for (uint32_t layer = 0; layer < shape.n_layer; ++layer, rows += n * row_bytes) {
    to.Put<int32_t>(shape.type);
    to.Put<uint64_t>(row_bytes);
    to.Copy(rows, count * row_bytes);
  }
  for (uint32_t layer = 0; layer < shape.n_layer; ++layer, rows += n * row_bytes) {
    to.Put<int32_t>(shape.type);
    if (transposed) {
      to.Put<uint32_t>(static_cast<uint32_t>(ggml_type_size(shape.type)));
      to.Put<uint32_t>(shape.n_embd);
      TransposeNumbers(shape.type, rows, count, shape.n_embd, to.Extend(count * row_bytes));
    } else {
      to.Put<uint64_t>(row_bytes);
      to.Copy(rows, count * row_bytes);
    }
  }
  return to.Take();
}

void FromEngineCells(const KvShape& shape, size_t first, size_t n, const std::vector<uint8_t>& cells, uint8_t* plain) {
  const size_t row_bytes = shape.row_bytes();
  Reader from(cells);
  from.Expect<uint32_t>(kMagic, "mark");
  from.Skip(sizeof(int32_t));
  from.Expect<uint32_t>(1, "streams");
  from.Expect<uint32_t>(static_cast<uint32_t>(n), "cells");
  const std::vector<size_t> order = ReadPositions(from, first, n);
  const auto transposed = from.Get<uint32_t>();
  if (transposed > 1) FailUnknown("an order of values that is neither");
  from.Expect<uint32_t>(shape.n_layer, "layers");
  for (uint32_t layer = 0; layer < shape.n_layer; ++layer, plain += n * row_bytes) {
    from.Expect<int32_t>(shape.type, "type");
    from.Expect<uint64_t>(row_bytes, "bytes of a row");
    PutInOrder(from.Skip(n * row_bytes), order, row_bytes, plain);
  }
  std::vector<uint8_t> rows(transposed == 1 ? n * row_bytes : 0);
  for (uint32_t layer = 0; layer < shape.n_layer; ++layer, plain += n * row_bytes) {
    from.Expect<int32_t>(shape.type, "type");
    if (transposed == 1) {
      from.Expect<uint32_t>(static_cast<uint32_t>(ggml_type_size(shape.type)), "bytes of a number");
      from.Expect<uint32_t>(shape.n_embd, "numbers in a row");
      TransposeNumbers(shape.type, from.Skip(n * row_bytes), shape.n_embd, n, rows.data());
      PutInOrder(rows.data(), order, row_bytes, plain);
    } else {
      from.Expect<uint64_t>(row_bytes, "bytes of a row");
      PutInOrder(from.Skip(n * row_bytes), order, row_bytes, plain);
    }
  }
  if (from.left() > 0) FailUnknown("it goes on behind the last layer");
}

bool AllOrdinary(ggml_type type, const uint8_t* numbers, size_t n_bytes) {
  // The bits of 65504, the largest number of F16; of BF16 the next below.
  switch (type) {
    case GGML_TYPE_F16:
      return NoneAbove<uint16_t>(0x7bff, numbers, n_bytes);
    case GGML_TYPE_BF16:
      return NoneAbove<uint16_t>(0x477f, numbers, n_bytes);
    case GGML_TYPE_F32:
      return NoneAbove<uint32_t>(0x477fe000, numbers, n_bytes);
    default:
      return false;
  }
}

}  // namespace phi2
