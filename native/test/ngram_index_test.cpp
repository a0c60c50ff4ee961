#include "core/ngram_index.h"

#include <algorithm>
#include <random>

#include "check.h"

namespace {

using phi2::NgramIndex;
using Tokens = std::vector<llama_token>;

NgramIndex IndexOf(const Tokens& tokens) {
  NgramIndex index;
  for (const llama_token token : tokens) index.Push(token);
  return index;
}

/// The same by comparing every place.
NgramIndex::Match Search(const Tokens& tokens) {
  NgramIndex::Match best;
  for (size_t end = tokens.size(); end-- > 1;) {
    size_t n = 0;
    while (n < NgramIndex::kLongest && n < end && tokens[end - 1 - n] == tokens[tokens.size() - 1 - n]) ++n;
    if (n >= NgramIndex::kShortest && n > best.length) best = {end, n};
  }
  return best;
}

TEST("a text that begins has no earlier occurrence of anything") {
  CHECK_EQ(NgramIndex().Longest().length, size_t{0});
  CHECK_EQ(IndexOf({1}).Longest().length, size_t{0});
  CHECK_EQ(IndexOf({1, 2}).Longest().length, size_t{0});
  CHECK_EQ(IndexOf({1, 2, 1}).Longest().length, size_t{0});
}

TEST("the longest agreement wins, and of equal ones the last") {
  const NgramIndex::Match longest = IndexOf({1, 2, 3, 8, 9, 2, 3, 7, 1, 2, 3}).Longest();
  CHECK_EQ(longest.next, size_t{3});
  CHECK_EQ(longest.length, size_t{3});
  const NgramIndex::Match last = IndexOf({2, 3, 8, 2, 3, 7, 5, 2, 3}).Longest();
  CHECK_EQ(last.next, size_t{5});
  CHECK_EQ(last.length, size_t{2});
}

TEST("a period overlaps itself") {
  const NgramIndex::Match match = IndexOf({5, 5, 5, 5}).Longest();
  CHECK_EQ(match.next, size_t{3});
  CHECK_EQ(match.length, size_t{3});
}

TEST("the same is found as by comparing every place") {
  std::mt19937 random(3);
  for (const unsigned n_different : {2U, 3U, 5U, 20U}) {
    for (int round = 0; round < 20; ++round) {
      NgramIndex index;
      for (int i = 0; i < 120; ++i) {
        index.Push(static_cast<llama_token>(random() % n_different));
        const NgramIndex::Match found = index.Longest();
        const NgramIndex::Match expected = Search(index.tokens());
        // Only the last places of a pair that stands everywhere are looked at.
        if (n_different < 5 && i > 60) {
          CHECK(found.length <= expected.length);
          continue;
        }
        CHECK_EQ(found.length, expected.length);
        CHECK_EQ(found.next, expected.next);
      }
    }
  }
}

TEST("what is found agrees, however long the text and however often its pairs come again") {
  std::mt19937 random(4);
  NgramIndex index;
  for (int i = 0; i < 50000; ++i) {
    index.Push(static_cast<llama_token>(random() % 3 == 0 ? random() % 4 : 1));
    const auto [next, length] = index.Longest();
    const Tokens& tokens = index.tokens();
    CHECK(length == 0 || (next < tokens.size() && length <= next));
    const auto end = tokens.begin() + static_cast<ptrdiff_t>(next);
    CHECK(std::equal(end - static_cast<ptrdiff_t>(length), end, tokens.end() - static_cast<ptrdiff_t>(length)));
  }
}

}  // namespace

TEST_MAIN()
