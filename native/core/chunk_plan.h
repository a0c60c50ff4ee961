#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace phi2 {

/// What one batch decodes: positions [first_pos, first_pos + n_pos) of n_chunks chunks, one chunk after the other.
struct ChunkStep {
  uint32_t first_chunk;
  uint32_t n_chunks;
  uint32_t first_pos;
  uint32_t n_pos;
};

/// Positions of a chunk, the end excluded.
struct PositionRange {
  uint32_t begin;
  uint32_t end;

  uint32_t size() const { return end - begin; }
  /// The positions that a step has of these; empty ones begin and end at the same place.
  PositionRange Within(const ChunkStep& step) const {
    const uint32_t low = std::clamp(step.first_pos, begin, end);
    return {low, std::clamp(step.first_pos + step.n_pos, low, end)};
  }
};

/// The predictions that count: those of the second half of a chunk, where the model has something to go by. The last
/// position predicts a token of the next chunk.
inline PositionRange ScoredPositions(uint32_t n_ctx) { return {n_ctx / 2, n_ctx - 1}; }

/// In which steps chunks of n_ctx tokens are decoded: n_seq chunks together where a batch holds them whole, otherwise
/// one chunk in several batches.
inline std::vector<ChunkStep> PlanChunks(uint32_t n_chunks, uint32_t n_ctx, uint32_t n_batch, uint32_t n_seq) {
  const uint32_t together = std::clamp(n_batch / n_ctx, 1U, std::max(1U, n_seq));
  const uint32_t n_pos_max = std::min(n_batch, n_ctx);
  std::vector<ChunkStep> steps;
  for (uint32_t chunk = 0; chunk < n_chunks; chunk += together) {
    for (uint32_t pos = 0; pos < n_ctx; pos += n_pos_max) {
      steps.push_back({chunk, std::min(together, n_chunks - chunk), pos, std::min(n_pos_max, n_ctx - pos)});
    }
  }
  return steps;
}

}  // namespace phi2
