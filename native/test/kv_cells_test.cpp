#include "core/kv_cells.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/error.h"

namespace {

using phi2::AllOrdinary;
using phi2::EngineCellsSize;
using phi2::FromEngineCells;
using phi2::KvShape;
using phi2::ToEngineCells;
using Bytes = std::vector<uint8_t>;

constexpr KvShape kShapes[] = {{3, 8, GGML_TYPE_F16}, {2, 5, GGML_TYPE_BF16}, {1, 7, GGML_TYPE_F32}};
// Where the positions begin in the engine's form, one every 12 bytes.
constexpr size_t kPositions = 16;

Bytes Numbered(const KvShape& shape, size_t n) {
  Bytes bytes(n * shape.cell_bytes());
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return bytes;
}

Bytes ToPlain(const KvShape& shape, size_t first, size_t n, const Bytes& cells) {
  Bytes plain(n * shape.cell_bytes());
  FromEngineCells(shape, first, n, cells, plain.data());
  return plain;
}

bool Refused(const KvShape& shape, size_t first, size_t n, const Bytes& cells) {
  try {
    ToPlain(shape, first, n, cells);
  } catch (const phi2::Error& error) {
    CHECK_EQ(std::string(error.code()), std::string("PHI2_INVALID_STATE"));
    return true;
  }
  return false;
}

template <typename Number>
bool Ordinary(ggml_type type, Number bits) {
  uint8_t bytes[4 * sizeof(Number)] = {};
  std::memcpy(bytes + 2 * sizeof(Number), &bits, sizeof(Number));
  return AllOrdinary(type, bytes, sizeof(bytes));
}

}  // namespace

TEST("cells come back from the engine's form as they were, transposed or not") {
  for (const KvShape& shape : kShapes) {
    for (const size_t n : {1, 2, 9}) {
      for (const bool transposed : {false, true}) {
        const Bytes plain = Numbered(shape, n);
        const Bytes cells = ToEngineCells(shape, 30, plain.data(), n, 0, transposed);
        CHECK_EQ(cells.size(), EngineCellsSize(shape, n));
        CHECK(ToPlain(shape, 30, n, cells) == plain);
      }
    }
  }
}

TEST("the first cells can be left out") {
  const KvShape& shape = kShapes[0];
  const size_t row = shape.row_bytes();
  const Bytes plain = Numbered(shape, 5);
  for (const bool transposed : {false, true}) {
    const Bytes rest = ToPlain(shape, 13, 2, ToEngineCells(shape, 10, plain.data(), 5, 3, transposed));
    for (size_t group = 0; group < 2 * shape.n_layer; ++group) {
      CHECK(std::memcmp(rest.data() + group * 2 * row, plain.data() + (group * 5 + 3) * row, 2 * row) == 0);
    }
  }
}

TEST("the engine may have its cells in any order, but only those asked for, each once") {
  const KvShape& shape = kShapes[0];
  const Bytes plain = Numbered(shape, 3);
  const auto with_positions = [&](std::vector<int32_t> positions, bool transposed) {
    Bytes cells = ToEngineCells(shape, 4, plain.data(), 3, 0, transposed);
    for (size_t i = 0; i < 3; ++i) std::memcpy(cells.data() + kPositions + 12 * i, &positions[i], 4);
    return cells;
  };
  for (const bool transposed : {false, true}) {
    const Bytes turned = ToPlain(shape, 4, 3, with_positions({6, 4, 5}, transposed));
    const size_t row = shape.row_bytes();
    for (size_t group = 0; group < 2 * shape.n_layer; ++group) {
      for (size_t i = 0; i < 3; ++i) {
        CHECK(std::memcmp(turned.data() + (group * 3 + (i + 2) % 3) * row, plain.data() + (group * 3 + i) * row, row) ==
              0);
      }
    }
    for (const std::vector<int32_t>& positions :
         std::vector<std::vector<int32_t>>{{4, 4, 5}, {4, 5, 7}, {3, 4, 5}, {-1, 4, 5}, {4, 5, INT32_MIN}}) {
      CHECK(Refused(shape, 4, 3, with_positions(positions, transposed)));
    }
  }
}

TEST("a form that is another one is refused, wherever it differs, and never read beyond its end") {
  std::mt19937 random(1);
  for (const KvShape& shape : kShapes) {
    for (const bool transposed : {false, true}) {
      const Bytes plain = Numbered(shape, 4);
      const Bytes cells = ToEngineCells(shape, 0, plain.data(), 4, 0, transposed);
      for (size_t length = 0; length < cells.size(); ++length) {
        CHECK(Refused(shape, 0, 4, Bytes(cells.begin(), cells.begin() + static_cast<ptrdiff_t>(length))));
      }
      Bytes longer = cells;
      longer.push_back(0);
      CHECK(Refused(shape, 0, 4, longer));
      CHECK(Refused(shape, 0, 3, cells));
      CHECK(Refused(shape, 1, 4, cells));
      for (int round = 0; round < 2000; ++round) {
        Bytes changed = cells;
        for (int i = 0; i < 1 + round % 3; ++i)
          changed[random() % changed.size()] ^= static_cast<uint8_t>(1u << random() % 8);
        Refused(shape, 0, 4, changed);  // or the change was in a number; the sanitizers watch
      }
    }
  }
}

TEST("numbers that no model computes are told, of either sign") {
  CHECK(Ordinary<uint16_t>(GGML_TYPE_F16, 0x7bff));
  CHECK(Ordinary<uint16_t>(GGML_TYPE_F16, 0xfbff));
  for (const uint16_t bits : {0x7c00, 0xfc00, 0x7c01, 0x7e00, 0xffff}) CHECK(!Ordinary(GGML_TYPE_F16, bits));
  CHECK(Ordinary<uint16_t>(GGML_TYPE_BF16, 0x477f));
  for (const uint16_t bits : {0x4780, 0xc780, 0x7f80, 0xff80, 0x7fc0}) CHECK(!Ordinary(GGML_TYPE_BF16, bits));
  CHECK(Ordinary(GGML_TYPE_F32, 65504.0f));
  for (const float number : {65505.0f, -65505.0f, 3e38f, INFINITY, -INFINITY, NAN}) {
    CHECK(!Ordinary(GGML_TYPE_F32, number));
  }
}

TEST_MAIN()
