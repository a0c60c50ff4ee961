#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "llama.h"

namespace phi2 {

/// Where the last tokens of a growing sequence stood before. The places of every pair of tokens are chained from the
/// last to the first, as in compressors of the LZ77 kind, and the chain of the last pair is searched for the longest
/// agreement. Constant time per token: a chain is followed and an agreement counted only so far.
class NgramIndex {
 public:
  static constexpr size_t kShortest = 2;
  static constexpr size_t kLongest = 32;

  struct Match {
    size_t next = 0;    ///< position behind the earlier occurrence
    size_t length = 0;  ///< tokens that agree, kShortest to kLongest; 0: there is no such place
  };

  void Push(llama_token token);

  /// The earlier occurrence that agrees longest with the end of the sequence; of equal ones the last.
  Match Longest() const;

  const std::vector<llama_token>& tokens() const { return tokens_; }

 private:
  static constexpr int32_t kNone = -1;

  size_t Agreement(size_t last) const;

  std::vector<llama_token> tokens_;
  std::vector<int32_t> previous_;                // position of a pair's second token -> the same pair before
  std::unordered_map<uint64_t, int32_t> heads_;  // pair -> where it stood last
};

}  // namespace phi2
