#include "core/prefix_index.h"

#include <algorithm>
#include <random>

#include "check.h"
#include "prefix_index_model.h"

namespace {

using phi2::PrefixIndex;
using phi2::test::Ids;
using phi2::test::kNone;
using phi2::test::Placement;
using phi2::test::Prefix;
using phi2::test::Tokens;

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Places a prompt that must fit.
Placement Place(PrefixIndex& index, const Tokens& prompt, size_t cells, bool may_reuse = true) {
  const auto place = index.Place(prompt, cells, may_reuse);
  CHECK(place.has_value());
  return *place;
}

/// A request from its beginning to its end: its tokens stay cached. Returns the slot.
int32_t Serve(PrefixIndex& index, const Tokens& tokens) {
  const int32_t slot = Place(index, tokens, tokens.size()).slot;
  index.Release(slot, tokens, tokens.size());
  return slot;
}

}  // namespace

TEST("an empty index gives a slot of its own to every prompt and reuses nothing") {
  PrefixIndex index(2, 100);
  const Placement first = Place(index, {1, 2, 3}, 10);
  const Placement second = Place(index, {7, 8}, 10);
  CHECK(first.slot != second.slot);
  for (const Placement& place : {first, second}) {
    CHECK(place.slot == 0 || place.slot == 1);
    CHECK_EQ(place.copy_from, kNone);
    CHECK_EQ(place.reuse, size_t{0});
    CHECK_EQ(place.evicted, Ids{});
  }
}

TEST("a conversation that goes on takes over its own sequence") {
  PrefixIndex index(4, 100);
  Serve(index, {9, 9, 9});
  const int32_t chat = Serve(index, {1, 2, 3});
  const Placement place = Place(index, {1, 2, 3, 4, 5}, 10);
  CHECK_EQ(place.slot, chat);
  CHECK_EQ(place.copy_from, kNone);
  CHECK_EQ(place.reuse, size_t{3});
  CHECK_EQ(place.evicted, Ids{});
  CHECK_EQ(index.cached_sequences(), size_t{1});  // the other one
}

TEST("a prompt that shares only a beginning copies it, and the source stays as it is") {
  PrefixIndex index(4, 100);
  const int32_t source = Serve(index, {1, 2, 3, 4});
  const Placement place = Place(index, {1, 2, 8, 9}, 10);
  CHECK(place.slot != source);
  CHECK_EQ(place.copy_from, source);
  CHECK_EQ(place.reuse, size_t{2});
  CHECK_EQ(place.evicted, Ids{});
  CHECK_EQ(index.cached_sequences(), size_t{1});
  CHECK_EQ(index.cached_tokens(), size_t{6});  // those of the source and the copied ones

  const Placement again = Place(index, {1, 2, 3, 4, 5}, 10);
  CHECK_EQ(again.slot, source);
  CHECK_EQ(again.reuse, size_t{4});
}

TEST("of several sequences the one with the longest common prefix is reused, busy ones included") {
  PrefixIndex index(4, 100);
  Serve(index, {1, 2, 8, 8});
  const Tokens running = {1, 2, 3, 4};
  const int32_t busy = Place(index, running, 20, false).slot;
  index.Update(busy, running, running.size());
  const Placement place = Place(index, {1, 2, 3, 5}, 10);
  CHECK_EQ(place.copy_from, busy);
  CHECK_EQ(place.reuse, size_t{3});
  CHECK(place.slot != busy);
}

TEST("of equally long prefixes the sequence that goes on is taken over, wherever it is") {
  for (const bool first_is_longer : {false, true}) {
    PrefixIndex index(4, 100);
    const Tokens shorter = {1, 2};
    const Tokens longer = {1, 2, 3, 4};
    // Placed without reuse, so that both exist.
    const int32_t slot_a = Place(index, first_is_longer ? longer : shorter, 4, false).slot;
    const int32_t slot_b = Place(index, first_is_longer ? shorter : longer, 4, false).slot;
    index.Release(slot_a, first_is_longer ? longer : shorter, first_is_longer ? 4 : 2);
    index.Release(slot_b, first_is_longer ? shorter : longer, first_is_longer ? 2 : 4);
    const Placement place = Place(index, {1, 2, 9}, 10);
    CHECK_EQ(place.slot, first_is_longer ? slot_b : slot_a);
    CHECK_EQ(place.copy_from, kNone);
    CHECK_EQ(place.reuse, size_t{2});
  }
}

TEST("at least one token of the prompt is left to decode") {
  PrefixIndex index(4, 100);
  const int32_t slot = Serve(index, {1, 2, 3});
  const Placement whole = Place(index, {1, 2, 3}, 3);
  CHECK_EQ(whole.slot, slot);
  CHECK_EQ(whole.reuse, size_t{2});
  index.Release(slot, {1, 2, 3, 4, 5}, 5);

  const Placement beginning = Place(index, {1, 2, 3}, 3);
  CHECK_EQ(beginning.copy_from, slot);
  CHECK_EQ(beginning.reuse, size_t{2});

  const Placement one = Place(index, {1}, 1);
  CHECK_EQ(one.copy_from, kNone);
  CHECK_EQ(one.reuse, size_t{0});
}

TEST("a prompt that may not reuse anything begins in a slot of its own") {
  PrefixIndex index(4, 100);
  const int32_t slot = Serve(index, {1, 2, 3});
  const Placement place = Place(index, {1, 2, 3, 4}, 10, false);
  CHECK(place.slot != slot);
  CHECK_EQ(place.copy_from, kNone);
  CHECK_EQ(place.reuse, size_t{0});
  CHECK_EQ(index.cached_sequences(), size_t{1});
}

TEST("without a free slot the least recently used sequence goes, and only that") {
  PrefixIndex index(3, 100);
  const int32_t a = Serve(index, {1, 1});
  const int32_t b = Serve(index, {2, 2});
  const int32_t c = Serve(index, {3, 3});
  CHECK_EQ(Serve(index, {1, 1, 1}), a);  // used again: now b is the oldest
  const Placement place = Place(index, {9}, 1);
  CHECK_EQ(place.slot, b);
  CHECK_EQ(place.evicted, Ids{b});
  CHECK_EQ(Place(index, {8}, 1).slot, c);
}

TEST("without free cells the least recently used sequences go, oldest first, until there is room") {
  PrefixIndex index(8, 30);
  const int32_t a = Serve(index, Tokens(10, 1));
  const int32_t b = Serve(index, Tokens(10, 2));
  Serve(index, Tokens(5, 3));
  CHECK_EQ(Place(index, Tokens(5, 9), 5).evicted, Ids{});
  CHECK_EQ(Place(index, Tokens(9, 9), 11, false).evicted, (Ids{a, b}));
  CHECK_EQ(index.cached_sequences(), size_t{1});
}

TEST("the end of a request counts as its last use, not its beginning") {
  PrefixIndex index(2, 100);
  const int32_t a = Place(index, {1, 1}, 2).slot;
  const int32_t b = Place(index, {2, 2}, 2).slot;
  index.Release(b, {2, 2}, 2);
  index.Release(a, {1, 1}, 2);
  CHECK_EQ(Place(index, {9}, 1).slot, b);
}

TEST("the source of a copy outlives older and younger sequences when room is made") {
  PrefixIndex index(8, 40);
  const int32_t source = Serve(index, {1, 1, 1, 1, 2, 2, 2, 2, 2, 2});
  const int32_t other = Serve(index, Tokens(10, 5));
  const Placement place = Place(index, {1, 1, 1, 1, 3}, 30);
  CHECK_EQ(place.copy_from, source);
  CHECK_EQ(place.evicted, Ids{other});
  CHECK_EQ(index.cached_sequences(), size_t{1});
}

TEST("a source that leaves no room for its copy is taken over, and what fits beside it stays") {
  PrefixIndex index(8, 40);
  const int32_t source = Serve(index, Tokens(4, 1) + Tokens(16, 2));
  Serve(index, Tokens(5, 5));
  const Placement place = Place(index, Tokens(4, 1) + Tokens{3}, 30);
  CHECK_EQ(place.slot, source);
  CHECK_EQ(place.copy_from, kNone);
  CHECK_EQ(place.reuse, size_t{4});
  CHECK_EQ(place.evicted, Ids{});
  CHECK_EQ(index.cached_sequences(), size_t{1});
}

TEST("a source in the only idle slot is taken over") {
  PrefixIndex index(2, 100);
  const int32_t busy = Place(index, {7, 7}, 10).slot;
  const int32_t source = Serve(index, {1, 2, 3, 4});
  const Placement place = Place(index, {1, 2, 9}, 10);
  CHECK(place.slot != busy);
  CHECK_EQ(place.slot, source);
  CHECK_EQ(place.copy_from, kNone);
  CHECK_EQ(place.reuse, size_t{2});
}

TEST("a prompt waits while busy sequences hold every slot, or the cells that it needs") {
  PrefixIndex slots(2, 100);
  const int32_t first = Place(slots, {1}, 10).slot;
  Place(slots, {2}, 10);
  CHECK(!slots.Place({3}, 1));
  slots.Release(first, {1}, 1);
  CHECK_EQ(Place(slots, {3}, 1).slot, first);

  PrefixIndex cells(4, 20);
  const int32_t large = Place(cells, {1}, 15).slot;
  CHECK(!cells.Place({2}, 6));
  const int32_t small = Place(cells, {2}, 5).slot;
  cells.Release(large, {1}, 1);
  CHECK(!cells.Place({3}, 16));
  cells.Release(small, {2}, 0);
  CHECK(cells.Place({3}, 20).has_value());
}

TEST("a prompt that must wait evicts nothing and takes over nothing") {
  PrefixIndex index(4, 30);
  const int32_t chat = Serve(index, {1, 2, 3, 4});
  const int32_t other = Serve(index, {5, 6});
  Place(index, {7}, 20);
  CHECK(!index.Place({1, 2, 3, 4, 5}, 11));
  CHECK(!index.Place({5, 7}, 11));
  CHECK_EQ(index.cached_sequences(), size_t{2});
  CHECK_EQ(index.cached_tokens(), size_t{6});
  CHECK_EQ(index.EvictIdle(), (Ids{chat, other}));
}

TEST("what a running sequence has decoded can be copied, and no more than that") {
  PrefixIndex index(4, 100);
  const Tokens tokens = {1, 2, 3, 4, 5, 6};
  const int32_t busy = Place(index, Prefix(tokens, 4), 10).slot;
  CHECK_EQ(Place(index, tokens, 10).reuse, size_t{0});
  index.Update(busy, tokens, 2);
  CHECK_EQ(Place(index, tokens, 10).reuse, size_t{2});
  index.Update(busy, tokens, 5);
  const Placement place = Place(index, tokens, 10);
  CHECK_EQ(place.reuse, size_t{5});
  CHECK_EQ(place.copy_from, busy);
}

TEST("a sequence that lost tokens is known by what is left") {
  PrefixIndex index(4, 100);
  const Tokens tokens = {1, 2, 3, 4, 5, 6};
  const int32_t slot = Place(index, tokens, 10).slot;
  index.Update(slot, tokens, 6);
  index.Release(slot, tokens, 3);
  CHECK_EQ(index.cached_tokens(), size_t{3});
  const Placement place = Place(index, tokens, 10);
  CHECK_EQ(place.slot, slot);
  CHECK_EQ(place.reuse, size_t{3});
}

TEST("a release with no tokens frees the slot") {
  PrefixIndex index(1, 100);
  const int32_t slot = Place(index, {1, 2}, 10).slot;
  index.Release(slot, {1, 2}, 0);
  CHECK_EQ(index.cached_sequences(), size_t{0});
  CHECK_EQ(index.cached_tokens(), size_t{0});
  const Placement place = Place(index, {1, 2}, 100);
  CHECK_EQ(place.reuse, size_t{0});
  CHECK_EQ(place.evicted, Ids{});
}

TEST("EvictIdle forgets every idle sequence and no busy one") {
  PrefixIndex index(4, 100);
  const int32_t a = Serve(index, {1, 1});
  const Tokens running = {2, 2};
  const int32_t busy = Place(index, running, 10).slot;
  index.Update(busy, running, 2);
  const int32_t b = Serve(index, {3, 3});
  CHECK_EQ(index.EvictIdle(), (Ids{a, b}));
  CHECK_EQ(index.cached_sequences(), size_t{0});
  CHECK_EQ(index.EvictIdle(), Ids{});
  CHECK_EQ(Place(index, {2, 2, 2}, 10).copy_from, busy);
}

namespace {

/// An index and its model, fed with the same random requests.
class Simulation {
 public:
  explicit Simulation(uint32_t seed)
      : random_(seed),
        n_slots_(1 + Random(6)),
        n_cells_(4 + Random(60)),
        index_(static_cast<int32_t>(n_slots_), n_cells_),
        model_(n_slots_, n_cells_) {}

  void Step() {
    const size_t action = Random(128);
    if (action < 60) {
      Place();
    } else if (action < 127) {
      Continue();
    } else {
      const Ids idle = model_.TakeIdle();
      CHECK_EQ(index_.EvictIdle(), idle);
    }
    model_.CheckCounts(index_);
  }

  size_t n_copied = 0;
  size_t n_waiting = 0;
  size_t n_evicted = 0;

 private:
  size_t Random(size_t below) { return random_() % below; }

  void Place() {
    const Tokens prompt = RandomPrompt();
    const size_t cells = std::min(prompt.size() + Random(n_cells_ / 2), n_cells_);
    const bool may_reuse = Random(8) != 0;
    PrefixIndex before = index_;
    const auto place = index_.Place(prompt, cells, may_reuse);
    model_.CheckPlace(place, prompt, cells, may_reuse);
    if (place) {
      n_copied += place->copy_from >= 0 ? 1 : 0;
      n_evicted += place->evicted.size();
    } else {
      CHECK(!model_.Busy().empty());
      PrefixIndex after = index_;
      CHECK_EQ(after.cached_tokens(), before.cached_tokens());
      CHECK_EQ(after.EvictIdle(), before.EvictIdle());
      ++n_waiting;
    }
  }

  /// Mostly forwards; a failed step can leave fewer tokens than before, or none.
  void Continue() {
    const Ids busy = model_.Busy();
    if (busy.empty()) return;
    const int32_t slot = busy[Random(busy.size())];
    size_t n = Random(model_.reserved(slot) + 1);
    if (Random(4) != 0) n = std::max(n, model_.tokens(slot).size());
    const Tokens tokens = model_.Continue(slot, n, random_);
    if (Random(2) == 0) {
      index_.Release(slot, tokens, n);
      model_.Release(slot);
    } else {
      index_.Update(slot, tokens, n);
    }
  }

  /// Two kinds of tokens, and often the beginning of a cached sequence: common prefixes of every length.
  Tokens RandomPrompt() {
    Tokens prompt;
    if (Random(4) != 0) {
      prompt = model_.tokens(static_cast<int32_t>(Random(n_slots_)));
      if (Random(2) == 0) prompt.resize(Random(prompt.size() + 1));
    }
    const size_t n = std::max<size_t>(1, prompt.size() + Random(n_cells_ / 3 + 1));
    while (prompt.size() < n) prompt.push_back(static_cast<llama_token>(Random(2)));
    prompt.resize(std::min(n, n_cells_));
    return prompt;
  }

  std::mt19937 random_;
  size_t n_slots_;
  size_t n_cells_;
  PrefixIndex index_;
  phi2::test::PrefixIndexModel model_;
};

}  // namespace

TEST("many random requests: what is reused is there, cells never overflow, and only busy sequences make one wait") {
  size_t n_copied = 0;
  size_t n_waiting = 0;
  size_t n_evicted = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Simulation simulation(seed);
    for (int step = 0; step < 400; ++step) simulation.Step();
    n_copied += simulation.n_copied;
    n_waiting += simulation.n_waiting;
    n_evicted += simulation.n_evicted;
  }
  // The requests were of every kind.
  CHECK(n_copied > 1000);
  CHECK(n_waiting > 1000);
  CHECK(n_evicted > 1000);
}

TEST_MAIN()
