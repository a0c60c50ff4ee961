#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ggml.h"

namespace phi2 {

/// What one token leaves behind in the KV cache: for each layer a row of keys and a row of values.
struct KvShape {
  uint32_t n_layer = 0;
  uint32_t n_embd = 0;  ///< numbers in a row
  ggml_type type = GGML_TYPE_F16;

  size_t row_bytes() const { return ggml_row_size(type, n_embd); }
  /// Of one token.
  size_t cell_bytes() const { return 2 * n_layer * row_bytes(); }
};

// Two forms of the cells at the positions [first, first + n):
// - plain, for files: the keys of the first layer, token by token, those of the second …, then the values likewise
// - the engine's, which llama_state_seq_get_data() and llama_state_seq_set_data() speak. It has lengths, types and
//   positions among the numbers, and the engine asserts some of them: so they are never read from a file but made here.

/// Bytes of n cells in the engine's form.
size_t EngineCellsSize(const KvShape& shape, size_t n);

/// From plain to the engine's form: of the n cells at `plain` those from `skip` on, which stand at the positions from
/// `first + skip` on. `transposed`: of the values all tokens' first numbers come first, then all second ones …, as the
/// cache has them without flash attention.
std::vector<uint8_t> ToEngineCells(const KvShape& shape, size_t first, const uint8_t* plain, size_t n, size_t skip,
                                   bool transposed);

/// From the engine's form to plain; `plain` takes n * cell_bytes(). Throws PHI2_INVALID_STATE when the engine's form is
/// another one than this code knows, or holds other positions.
void FromEngineCells(const KvShape& shape, size_t first, size_t n, const std::vector<uint8_t>& cells, uint8_t* plain);

/// Whether all numbers are finite and no larger than F16 has them. A single one that is not would not only spoil its
/// own sequence: masked cells count with weight 0 in every sequence's attention, and 0 * infinity is no number.
bool AllOrdinary(ggml_type type, const uint8_t* numbers, size_t n_bytes);

}  // namespace phi2
