#include "core/kv_cache.h"

#include "core/error.h"
#include "core/log.h"

namespace phi2 {

std::optional<KvCache::Place> KvCache::Claim(const PrefixIndex::Wish& wish) {
  const auto place = index_.Place(wish);
  if (!place) return std::nullopt;
  if (place->copy_from >= 0) {
    RemoveFrom(place->slot, 0);
    llama_memory_seq_cp(memory_, place->copy_from, place->slot, 0, static_cast<llama_pos>(place->reuse));
  } else {
    RemoveFrom(place->slot, place->reuse);
  }
  return Place{place->slot, place->reuse};
}

void KvCache::MakeRoom() {
  for (const PrefixIndex::Cut& cut : index_.MakeRoom()) RemoveFrom(cut.slot, cut.keep);
}

void KvCache::Keep(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  if (Held(slot) > n) RemoveFrom(slot, n);
  index_.Update(slot, tokens, n);
}

void KvCache::Release(int32_t slot, const std::vector<llama_token>& tokens, size_t n) {
  if (Held(slot) > n) RemoveFrom(slot, n);
  index_.Release(slot, tokens, n);
}

void KvCache::EvictIdle() {
  for (const int32_t slot : index_.EvictIdle()) RemoveFrom(slot, 0);
}

// Copying a stretch of a sequence costs nothing, and the copy can be read alone, while a whole sequence may have more
// bytes than there is memory for.
bool KvCache::Read(const std::vector<llama_token>& tokens, size_t first, size_t n, std::vector<uint8_t>& cells) {
  const PrefixIndex::Found found = index_.Find(tokens);
  if (found.length < first + n) return false;
  llama_memory_seq_cp(memory_, found.slot, transit_, static_cast<llama_pos>(first), static_cast<llama_pos>(first + n));
  cells.resize(llama_state_seq_get_size(context_, transit_));
  const size_t written = llama_state_seq_get_data(context_, cells.data(), cells.size(), transit_);
  RemoveFrom(transit_, 0);
  cells.resize(written);
  return true;
}

void KvCache::Write(int32_t slot, size_t first, const uint8_t* plain, size_t n, size_t skip) {
  const LogCapture log;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::vector<uint8_t> cells = ToEngineCells(shape_, first, plain, n, skip, transposed_);
    if (llama_state_seq_set_data(context_, cells.data(), cells.size(), transit_) == cells.size()) {
      llama_memory_seq_cp(memory_, transit_, slot, -1, -1);
      RemoveFrom(transit_, 0);
      return;
    }
    RemoveFrom(transit_, 0);
    transposed_ = !transposed_;
  }
  throw Error("PHI2_INVALID_STATE", "The engine does not take the saved cells: " + log.Summary());
}

size_t KvCache::Held(int32_t slot) const { return static_cast<size_t>(llama_memory_seq_pos_max(memory_, slot) + 1); }

void KvCache::RemoveFrom(int32_t slot, size_t position) {
  llama_memory_seq_rm(memory_, slot, static_cast<llama_pos>(position), -1);
}

}  // namespace phi2
