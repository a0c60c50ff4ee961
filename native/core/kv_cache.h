#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/context.h"
#include "core/kv_cells.h"
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

  /// The last of the context's sequences is not given to anybody: cells go through it on their way in and out.
  KvCache(const Context& context, const KvShape& shape)
      : context_(context.get()),
        memory_(context.memory()),
        shape_(shape),
        transit_(static_cast<int32_t>(context.n_seq_max()) - 1),
        index_(transit_, context.n_ctx()) {}

  /// A place for a request, or nothing while busy sequences hold the slots or may need the cells.
  std::optional<Place> Claim(const PrefixIndex::Wish& wish);

  /// Whether Claim() would find a place if the requests in these slots were over.
  bool CouldClaimWithout(const std::vector<int32_t>& slots, const PrefixIndex::Wish& wish) const {
    return index_.CouldPlaceWithout(slots, wish);
  }

  /// How many of its tokens a request would find.
  size_t Reusable(const PrefixIndex::Wish& wish) const { return index_.Reusable(wish); }

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

  /// How many of these tokens some sequence begins with.
  size_t LongestPrefix(const std::vector<llama_token>& tokens) const { return index_.Find(tokens).length; }

  /// Copies the cells at the positions [first, first + n) out of a sequence that begins with these tokens, in the
  /// engine's form. Returns false, with nothing done, when none does.
  bool Read(const std::vector<llama_token>& tokens, size_t first, size_t n, std::vector<uint8_t>& cells);

  /// Puts the last n - skip of n plain cells behind those that the slot holds. Throws PHI2_INVALID_STATE when the
  /// engine does not take them; then none is there.
  void Write(int32_t slot, size_t first, const uint8_t* plain, size_t n, size_t skip);

  size_t cached_sequences() const { return index_.cached_sequences(); }
  size_t n_idle_slots() const { return index_.n_idle_slots(); }
  size_t used_cells() const { return index_.used_cells(); }

 private:
  void RemoveFrom(int32_t slot, size_t position);

  llama_context* context_;
  llama_memory_t memory_;
  KvShape shape_;
  int32_t transit_;
  bool transposed_ = false;  // whether the context stores values so: it does not tell, but refuses the other way
  PrefixIndex index_;
};

}  // namespace phi2
