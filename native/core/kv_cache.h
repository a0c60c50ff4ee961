#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/context.h"
#include "core/prefix_index.h"

namespace phi2 {

/// The cells of a context: what PrefixIndex decides is done to the engine's memory here, and nowhere else, so that both
/// always say the same. Engine thread only.
class KvCache {
 public:
  struct Place {
    int32_t slot;  ///< sequence id
    size_t reuse;  ///< prompt tokens that need no decoding
  };

  explicit KvCache(const Context& context)
      : memory_(context.memory()), index_(static_cast<int32_t>(context.n_seq_max()), context.n_ctx()) {}

  /// A place for a request, or nothing while busy sequences hold the slots or may need the cells.
  std::optional<Place> Claim(const PrefixIndex::Wish& wish);

  /// The slot is to hold `total` cells after the next step. False when the cells are not to be had; nothing is changed
  /// then. MakeRoom() is due before the step.
  bool ClaimCells(int32_t slot, size_t total) { return index_.Claim(slot, total); }

  /// Frees cells for all that is claimed.
  void MakeRoom();

  /// The slot's cells hold the first n of these tokens; what lies behind them is removed. Its claim is over.
  void Keep(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// The request is over; its first n tokens stay cached while there is room.
  void Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// Gives up every sequence that no request uses.
  void EvictIdle();

  /// Tokens that the engine holds for the slot: all before this position.
  size_t Held(int32_t slot) const;

  size_t cached_sequences() const { return index_.cached_sequences(); }
  size_t used_cells() const { return index_.used_cells(); }

 private:
  void RemoveFrom(int32_t slot, size_t position);

  llama_memory_t memory_;
  PrefixIndex index_;
};

}  // namespace phi2
