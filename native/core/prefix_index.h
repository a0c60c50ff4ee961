#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "llama.h"

namespace phi2 {

/// Which tokens lie in which sequence of the KV cache, and where a new prompt is best placed: pure book-keeping, the
/// engine carries out what Place() says. Finished sequences stay until their cells are needed; the least recently used
/// goes first. On the unified cache copying a prefix costs no cells, but each sequence is counted with its full length
/// here, so the cache never overflows.
class PrefixIndex {
 public:
  struct Placement {
    int32_t slot = 0;              ///< sequence id for the new request
    int32_t copy_from = -1;        ///< sequence to copy [0, reuse) from first; -1: the slot's own cells, or none
    size_t reuse = 0;              ///< prompt tokens that need no decoding
    std::vector<int32_t> evicted;  ///< sequences to clear first
  };

  PrefixIndex(int32_t n_slots, size_t n_cells) : slots_(static_cast<size_t>(n_slots)), n_cells_(n_cells) {}

  /// Finds room for a prompt that will need `cells` cells in all, or nothing while busy sequences hold them (nothing is
  /// changed then). At least one token of the prompt is always left to decode: its logits are needed.
  std::optional<Placement> Place(const std::vector<llama_token>& prompt, size_t cells, bool may_reuse = true);

  /// The busy slot's cache now holds these tokens (a prefix of what was placed and generated).
  void Update(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// The request is over; its first n tokens stay cached. n == 0 frees the slot.
  void Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// Forgets every idle sequence; returns their ids so that the engine clears them.
  std::vector<int32_t> EvictIdle();

  /// Idle sequences whose tokens are kept.
  size_t cached_sequences() const;
  /// Tokens of all sequences, busy ones included; a copied prefix counts in each.
  size_t cached_tokens() const;

 private:
  struct Slot {
    bool busy = false;
    size_t reserved = 0;              // cells; 0 while idle
    std::vector<llama_token> tokens;  // in the cache
    uint64_t last_used = 0;           // when it was released
  };

  struct Match {
    int32_t slot = -1;
    size_t length = 0;
    bool goes_on = false;  // the prompt continues all of an idle sequence
  };

  Slot& at(int32_t slot) { return slots_[static_cast<size_t>(slot)]; }
  Match LongestMatch(const std::vector<llama_token>& prompt) const;
  bool FitsBeside(int32_t source, size_t cells) const;
  size_t Reserved() const;
  size_t Used() const;
  int32_t FindFree() const;
  int32_t OldestIdle(int32_t except) const;
  void Evict(int32_t slot, Placement& placement);

  std::vector<Slot> slots_;
  size_t n_cells_;
  uint64_t clock_ = 0;
};

}  // namespace phi2
