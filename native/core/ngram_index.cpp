#include "core/ngram_index.h"

namespace phi2 {
namespace {

// Pairs such as a line break and an indentation stand everywhere in code: only the last places of each are looked at.
constexpr size_t kMaxPlaces = 64;

uint64_t Pair(llama_token first, llama_token second) {
  return static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 | static_cast<uint32_t>(second);
}

}  // namespace

void NgramIndex::Push(llama_token token) {
  const auto position = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  previous_.push_back(kNone);
  if (position == 0) return;
  int32_t& head = heads_.try_emplace(Pair(tokens_[tokens_.size() - 2], token), kNone).first->second;
  previous_.back() = head;
  head = position;
}

NgramIndex::Match NgramIndex::Longest() const {
  Match best;
  if (tokens_.empty()) return best;
  int32_t place = previous_.back();
  for (size_t i = 0; i < kMaxPlaces && place != kNone && best.length < kLongest; ++i) {
    const auto last = static_cast<size_t>(place);
    const size_t length = Agreement(last);
    if (length > best.length) best = {last + 1, length};
    place = previous_[last];
  }
  return best;
}

/// Tokens before and at `last` that are those at the end.
size_t NgramIndex::Agreement(size_t last) const {
  size_t n = 0;
  while (n < kLongest && n <= last && tokens_[last - n] == tokens_[tokens_.size() - 1 - n]) ++n;
  return n;
}

}  // namespace phi2
