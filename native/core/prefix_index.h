#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "llama.h"

namespace phi2 {

/// Which tokens lie in which sequence of the KV cache, in which cells, and where a new prompt is best placed: pure
/// book-keeping, whoever owns the cache carries out what is said here.
///
/// On the unified cache a copied prefix costs no cells: sequences share them, always from their beginning on. Each cell
/// is counted once here, however many sequences hold it. Finished sequences stay until their cells are needed; then the
/// least recently used is cut first, from its end, and no further than necessary.
class PrefixIndex {
 public:
  /// What a request asks for.
  struct Wish {
    const std::vector<llama_token>& tokens;  ///< that it begins with
    size_t cells = 0;                        ///< that it can be sure of, at least one for each of its tokens
    uint32_t group = 0;
    bool only_group = false;  ///< it may share cells with sequences of its own group only
  };

  struct Placement {
    int32_t slot = 0;        ///< sequence id for the new request; what it holds behind `reuse` is to be removed
    int32_t copy_from = -1;  ///< sequence to copy [0, reuse) from, into the emptied slot; -1: the slot's own cells
    size_t reuse = 0;        ///< tokens that need no decoding
  };

  /// A sequence of which only the first `keep` cells remain.
  struct Cut {
    int32_t slot;
    size_t keep;
  };

  struct Found {
    int32_t slot = -1;
    size_t length = 0;
  };

  PrefixIndex(int32_t n_slots, size_t n_cells);

  /// Finds a place, or nothing while busy sequences hold the slots or may need the cells (nothing is changed then). At
  /// least one token is always left to decode: its logits are needed.
  std::optional<Placement> Place(const Wish& wish);

  /// Whether Place() would find a place if these busy sequences were over.
  bool CouldPlaceWithout(const std::vector<int32_t>& slots, const Wish& wish) const;

  /// How many of its tokens a request would find in the cache.
  size_t Reusable(const Wish& wish) const { return LongestMatch(wish).length; }

  /// The sequence, idle or busy, that begins with most of these tokens.
  Found Find(const std::vector<llama_token>& tokens) const;

  /// The busy slot is to hold `total` cells after the next Update(). False, with nothing changed, when other busy
  /// sequences hold the cells or can be sure of them; true for what the slot itself was promised.
  bool Claim(int32_t slot, size_t total);

  /// Makes free cells for all that is claimed, at the expense of idle sequences. To be done before anything is decoded.
  std::vector<Cut> MakeRoom();

  /// The busy slot's cache now holds the first n of these tokens, for which it has claimed cells. Its claim is over. No
  /// fewer than before: what others share by now could not be promised twice.
  void Update(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// The request is over; its first n tokens stay cached. n == 0 frees the slot.
  void Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n);

  /// Forgets every idle sequence; returns their ids so that they are cleared.
  std::vector<int32_t> EvictIdle();

  /// Idle sequences whose tokens are kept.
  size_t cached_sequences() const;
  /// Cells in use, by busy sequences and idle ones.
  size_t used_cells() const { return n_cells_ - free_.size(); }
  size_t n_idle_slots() const;

 private:
  struct Slot {
    bool busy = false;
    uint32_t group = 0;
    size_t promised = 0;              // cells it can be sure of, while busy
    size_t claimed = 0;               // for the next step
    std::vector<llama_token> tokens;  // in the cache
    std::vector<uint32_t> cells;      // one for each token
    uint64_t last_used = 0;

    size_t outstanding() const;
  };

  struct Cell {
    uint8_t holders = 0;
    uint8_t busy_holders = 0;
  };

  struct Match {
    int32_t slot = -1;
    size_t length = 0;
    size_t n_new = 0;      // of these cells, those that no busy sequence holds
    bool goes_on = false;  // the request continues all of an idle sequence
  };

  Slot& at(int32_t slot) { return slots_[static_cast<size_t>(slot)]; }
  Match LongestMatch(const Wish& wish) const;
  int32_t ChooseSlot(const Match& match) const;
  size_t Outstanding() const;
  std::vector<int32_t> IdleByAge() const;

  void Hold(Slot& slot, uint32_t cell);
  void Push(Slot& slot, llama_token token);
  void Pop(Slot& slot);
  void Truncate(Slot& slot, size_t n);
  void SetBusy(Slot& slot, bool busy);

  std::vector<Slot> slots_;
  std::vector<Cell> cells_;
  std::vector<uint32_t> free_;
  size_t n_cells_;
  size_t n_busy_cells_ = 0;  // held by at least one busy sequence
  uint64_t clock_ = 0;
};

}  // namespace phi2
