#include "core/kv_cache.h"

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

size_t KvCache::Held(int32_t slot) const { return static_cast<size_t>(llama_memory_seq_pos_max(memory_, slot) + 1); }

void KvCache::RemoveFrom(int32_t slot, size_t position) {
  llama_memory_seq_rm(memory_, slot, static_cast<llama_pos>(position), -1);
}

}  // namespace phi2
