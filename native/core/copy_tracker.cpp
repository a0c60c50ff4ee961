#include "core/copy_tracker.h"

namespace phi2 {
namespace {

// A copy that agreed with the text so long is not left for another.
constexpr size_t kSure = 6;

// After so many tokens beside the copy it is given up.
constexpr size_t kMaxMisses = 16;

}  // namespace

void CopyTracker::Push(llama_token token) {
  if (following_) Follow(token);
  index_.Push(token);
  if (following_ && evidence_.run >= kSure) return;
  const NgramIndex::Match match = index_.Longest();
  if (match.length == 0) return;
  const Evidence found = {match.length, 0};
  if (following_ && acceptance_.Probability(found) <= acceptance_.Probability(evidence_)) return;
  following_ = true;
  next_ = match.next;
  evidence_ = found;
}

void CopyTracker::Follow(llama_token token) {
  const bool right = index_.tokens()[next_++] == token;
  acceptance_.Record(evidence_, right);
  evidence_ = right ? Evidence{evidence_.run + 1, 0} : Evidence{0, evidence_.misses + 1};
  following_ = evidence_.misses <= kMaxMisses;
}

std::vector<double> CopyTracker::Survival(size_t n) const {
  std::vector<double> survival;
  if (!following_) return survival;
  survival.reserve(n);
  Evidence evidence = evidence_;
  double product = 1;
  for (size_t i = 0; i < n; ++i) {
    product *= acceptance_.Probability(evidence);
    survival.push_back(product);
    evidence = {evidence.run + 1, 0};
  }
  return survival;
}

std::vector<llama_token> CopyTracker::Guess(size_t n) const {
  const std::vector<llama_token>& tokens = index_.tokens();
  std::vector<llama_token> guess;
  guess.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t position = next_ + i;
    guess.push_back(position < tokens.size() ? tokens[position] : guess[position - tokens.size()]);
  }
  return guess;
}

}  // namespace phi2
