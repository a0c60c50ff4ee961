#include "core/copy_tracker.h"

#include <algorithm>
#include <numeric>

#include "check.h"

namespace {

using phi2::Acceptance;
using phi2::CopyTracker;
using phi2::Evidence;
using Tokens = std::vector<llama_token>;

Tokens Range(llama_token from, size_t n) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

void Push(CopyTracker& tracker, const Tokens& tokens) {
  for (const llama_token token : tokens) tracker.Push(token);
}

/// The guess, or nothing where there is none.
Tokens Guess(const CopyTracker& tracker, size_t n) { return tracker.Survival(n).empty() ? Tokens{} : tracker.Guess(n); }

TEST("a text without repetition gives no guess") {
  CopyTracker tracker;
  Push(tracker, Range(0, 500));
  CHECK_EQ(Guess(tracker, 3), Tokens{});
  CHECK_EQ(tracker.run(), size_t{0});
}

TEST("two tokens that stood before are enough to guess what followed") {
  CopyTracker tracker;
  Push(tracker, Range(0, 100));
  Push(tracker, {40, 41});
  CHECK_EQ(Guess(tracker, 3), (Tokens{42, 43, 44}));
  CHECK_EQ(tracker.run(), size_t{2});
  tracker.Push(42);
  CHECK_EQ(Guess(tracker, 2), (Tokens{43, 44}));
  CHECK_EQ(tracker.run(), size_t{3});
}

TEST("after a replaced token the copy goes on behind it") {
  CopyTracker tracker;
  Push(tracker, Range(0, 100));
  Push(tracker, Range(10, 20));
  tracker.Push(777);
  CHECK_EQ(Guess(tracker, 2), (Tokens{31, 32}));
  CHECK_EQ(tracker.run(), size_t{0});
}

TEST("after an inserted or a left out piece two tokens are enough to find the copy again") {
  CopyTracker inserted;
  Push(inserted, Range(0, 100));
  Push(inserted, Range(10, 20));
  Push(inserted, {700, 701, 702, 30, 31});
  CHECK_EQ(Guess(inserted, 2), (Tokens{32, 33}));

  CopyTracker left_out;
  Push(left_out, Range(0, 100));
  Push(left_out, Range(10, 20));
  Push(left_out, {50, 51});
  CHECK_EQ(Guess(left_out, 2), (Tokens{52, 53}));
}

TEST("a copy that agrees for long is not left for a later place with the same tokens") {
  CopyTracker tracker;
  Push(tracker, Range(0, 100));
  Push(tracker, {20, 21, 22, 900, 901});
  Push(tracker, Range(10, 13));  // …, 20, 21, 22
  CHECK_EQ(Guess(tracker, 1), Tokens{23});
}

TEST("a copy that leads nowhere is given up") {
  CopyTracker tracker;
  Push(tracker, Range(0, 100));
  Push(tracker, Range(10, 20));
  Push(tracker, Range(1000, 20));
  CHECK_EQ(Guess(tracker, 1), Tokens{});
}

TEST("a period goes on for as long as one likes") {
  CopyTracker tracker;
  Push(tracker, {1, 2, 3, 1, 2, 3, 1, 2});
  CHECK_EQ(Guess(tracker, 8), (Tokens{3, 1, 2, 3, 1, 2, 3, 1}));
}

TEST("what is likely is learnt from what happens, drafted or not") {
  CopyTracker tracker;
  Push(tracker, Range(0, 400));
  tracker.Push(100);
  tracker.Push(101);
  const double at_first = tracker.Survival(8).back();
  Push(tracker, Range(102, 150));
  const double after_a_copy = tracker.Survival(8).back();
  CHECK(at_first < 0.2);
  CHECK(after_a_copy > 0.8);

  // Pairs that come again, each time followed by another token.
  for (llama_token i = 0; i < 60; ++i) Push(tracker, {300, 301, 2000 + i});
  tracker.Push(300);
  tracker.Push(301);
  CHECK(tracker.Survival(1).front() < 0.1);
}

TEST("survival never grows along a draft") {
  CopyTracker tracker;
  Push(tracker, Range(0, 100));
  Push(tracker, Range(10, 30));
  const std::vector<double> survival = tracker.Survival(63);
  CHECK_EQ(survival.size(), size_t{63});
  CHECK(std::is_sorted(survival.rbegin(), survival.rend()));
  CHECK(survival.front() <= 1 && survival.back() > 0);
}

TEST("probabilities follow outcomes, each kind of evidence for itself, and new outcomes count more than old ones") {
  Acceptance acceptance;
  const double before = acceptance.Probability({2, 0});
  for (int i = 0; i < 50; ++i) acceptance.Record({8, 0}, true);
  CHECK(acceptance.Probability({8, 0}) > 0.95);
  CHECK_EQ(acceptance.Probability({2, 0}), before);
  for (int i = 0; i < 30; ++i) acceptance.Record({8, 0}, false);
  CHECK(acceptance.Probability({8, 0}) < 0.5);
}

TEST("every evidence has a probability between 0 and 1, and longer runs promise no less at first") {
  const Acceptance acceptance;
  double last = 0;
  for (size_t misses = 20; misses > 0; --misses) {
    const double p = acceptance.Probability({0, misses});
    CHECK(p > 0 && p >= last);
    last = p;
  }
  for (size_t run = 1; run < 2048; ++run) {
    const double p = acceptance.Probability({run, 0});
    CHECK(p < 1 && p >= last);
    last = p;
  }
}

}  // namespace

TEST_MAIN()
