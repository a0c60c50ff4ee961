#include "core/prefix_index.h"

#include <algorithm>
#include <initializer_list>
#include <random>
#include <vector>

#include "check.h"
#include "prefix_index_model.h"

namespace {

using phi2::PrefixIndex;
using phi2::test::Cut;
using phi2::test::Ids;
using phi2::test::kNone;
using phi2::test::Placement;
using phi2::test::Prefix;
using phi2::test::Tokens;

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Places a request that must fit.
Placement Place(PrefixIndex& index, const Tokens& tokens, size_t cells) {
  const auto place = index.Place({tokens, cells});
  CHECK(place.has_value());
  return *place;
}

/// A request that shares nothing with others.
Placement PlaceAlone(PrefixIndex& index, const Tokens& tokens, size_t cells, uint32_t group) {
  const auto place = index.Place({tokens, cells, group, true});
  CHECK(place.has_value());
  return *place;
}

/// Decodes the first n tokens of what was placed; returns what was cut for it.
std::vector<Cut> Decode(PrefixIndex& index, int32_t slot, const Tokens& tokens, size_t n) {
  CHECK(index.Claim(slot, n));
  std::vector<Cut> cuts = index.MakeRoom();
  index.Update(slot, tokens, n);
  return cuts;
}

/// A request from its beginning to its end: its tokens stay cached. Returns the slot.
int32_t Serve(PrefixIndex& index, const Tokens& tokens) {
  const int32_t slot = Place(index, tokens, tokens.size()).slot;
  Decode(index, slot, tokens, tokens.size());
  index.Release(slot, tokens, tokens.size());
  return slot;
}

/// Which slots were cut, each with how much was left of it.
std::vector<size_t> Flat(const std::vector<Cut>& cuts) {
  std::vector<size_t> flat;
  for (const Cut& cut : cuts) {
    flat.push_back(static_cast<size_t>(cut.slot));
    flat.push_back(cut.keep);
  }
  return flat;
}

/// The same, as expected.
std::vector<size_t> Cuts(std::initializer_list<Cut> cuts) { return Flat(cuts); }

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
  }
  CHECK_EQ(index.used_cells(), size_t{0});
}

TEST("a conversation that goes on takes over its own sequence") {
  PrefixIndex index(4, 100);
  Serve(index, {9, 9, 9});
  const int32_t chat = Serve(index, {1, 2, 3});
  const Placement place = Place(index, {1, 2, 3, 4, 5}, 10);
  CHECK_EQ(place.slot, chat);
  CHECK_EQ(place.copy_from, kNone);
  CHECK_EQ(place.reuse, size_t{3});
  CHECK_EQ(index.cached_sequences(), size_t{1});  // the other one
}

TEST("a prompt that shares only a beginning copies it, and the source stays as it is") {
  PrefixIndex index(4, 100);
  const int32_t source = Serve(index, {1, 2, 3, 4});
  const Placement place = Place(index, {1, 2, 8, 9}, 10);
  CHECK(place.slot != source);
  CHECK_EQ(place.copy_from, source);
  CHECK_EQ(place.reuse, size_t{2});
  CHECK_EQ(index.cached_sequences(), size_t{1});
  CHECK_EQ(index.used_cells(), size_t{4});  // the copy costs none

  const Placement again = Place(index, {1, 2, 3, 4, 5}, 10);
  CHECK_EQ(again.slot, source);
  CHECK_EQ(again.reuse, size_t{4});
}

TEST("sixteen answers to a common beginning fit in little more than the beginning") {
  PrefixIndex index(16, 1320);
  Tokens prefix(1000, 1);
  for (int32_t i = 0; i < 16; ++i) {
    const Tokens prompt = prefix + Tokens{100 + i};
    const Placement place = Place(index, prompt, 1020);
    CHECK_EQ(place.reuse, size_t{i == 0 ? 0U : 1000U});
    Decode(index, place.slot, prompt, 1001);
  }
  CHECK_EQ(index.used_cells(), size_t{1016});
  CHECK(!index.Claim(0, 1021));
  for (int32_t slot = 0; slot < 16; ++slot) CHECK(index.Claim(slot, 1020));
  CHECK(index.MakeRoom().empty());
}

TEST("of several sequences the one with the longest common prefix is reused, busy ones included") {
  PrefixIndex index(4, 100);
  Serve(index, {1, 2, 8, 8});
  const Tokens running = {1, 2, 3, 4};
  const int32_t busy = PlaceAlone(index, running, 20, 7).slot;
  Decode(index, busy, running, running.size());
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
    // Placed without sharing, so that both exist.
    const Tokens& a = first_is_longer ? longer : shorter;
    const Tokens& b = first_is_longer ? shorter : longer;
    const int32_t slot_a = PlaceAlone(index, a, 4, 1).slot;
    const int32_t slot_b = PlaceAlone(index, b, 4, 2).slot;
    Decode(index, slot_a, a, a.size());
    Decode(index, slot_b, b, b.size());
    index.Release(slot_a, a, a.size());
    index.Release(slot_b, b, b.size());
    const Placement place = Place(index, {1, 2, 9}, 10);
    CHECK_EQ(place.slot, first_is_longer ? slot_b : slot_a);
    CHECK_EQ(place.copy_from, kNone);
    CHECK_EQ(place.reuse, size_t{2});
  }
}

TEST("of equally long prefixes one that is in use anyway is best, since it costs no cells") {
  PrefixIndex index(4, 20);
  const int32_t idle = Serve(index, Tokens(8, 1));
  const int32_t busy = PlaceAlone(index, Tokens(8, 1), 8, 7).slot;
  Decode(index, busy, Tokens(8, 1), 8);
  const Placement place = Place(index, Tokens(9, 1), 20);  // 8 of them shared, 12 new
  CHECK_EQ(place.copy_from, busy);
  CHECK(place.slot != idle);
}

TEST("at least one token of the prompt is left to decode") {
  PrefixIndex index(4, 100);
  const int32_t slot = Serve(index, {1, 2, 3});
  const Placement whole = Place(index, {1, 2, 3}, 5);
  CHECK_EQ(whole.slot, slot);
  CHECK_EQ(whole.reuse, size_t{2});
  Decode(index, slot, {1, 2, 3, 4, 5}, 5);
  index.Release(slot, {1, 2, 3, 4, 5}, 5);

  const Placement beginning = Place(index, {1, 2, 3}, 3);
  CHECK_EQ(beginning.copy_from, slot);
  CHECK_EQ(beginning.reuse, size_t{2});

  const Placement one = Place(index, {1}, 1);
  CHECK_EQ(one.copy_from, kNone);
  CHECK_EQ(one.reuse, size_t{0});
}

TEST("a request that keeps to its group shares cells with none but sequences of that group") {
  PrefixIndex index(4, 100);
  const Tokens prompt = {1, 2, 3, 4};
  const int32_t other = Serve(index, prompt);
  const Placement first = PlaceAlone(index, prompt, 10, 5);
  CHECK(first.slot != other);
  CHECK_EQ(first.reuse, size_t{0});
  Decode(index, first.slot, prompt, 4);
  const Placement second = PlaceAlone(index, prompt, 10, 5);
  CHECK_EQ(second.copy_from, first.slot);
  CHECK_EQ(second.reuse, size_t{3});
  index.Release(first.slot, prompt, 4);
  CHECK_EQ(index.Reusable({prompt, 10, 5, true}), size_t{3});
  CHECK_EQ(index.Reusable({prompt, 10, 6, true}), size_t{0});
  CHECK_EQ(index.Reusable({prompt, 10, 6, false}), size_t{3});
}

TEST("without a free slot the least recently used sequence goes, and only that") {
  PrefixIndex index(3, 100);
  const int32_t a = Serve(index, {1, 1});
  const int32_t b = Serve(index, {2, 2});
  const int32_t c = Serve(index, {3, 3});
  CHECK_EQ(Serve(index, {1, 1, 1}), a);  // used again: now b is the oldest
  CHECK_EQ(Place(index, {9}, 1).slot, b);
  CHECK_EQ(index.cached_sequences(), size_t{2});
  CHECK_EQ(Place(index, {8}, 1).slot, c);
}

TEST("without free cells the least recently used sequences are cut from their ends, no further than necessary") {
  PrefixIndex index(8, 30);
  const int32_t a = Serve(index, Tokens(10, 1));
  const int32_t b = Serve(index, Tokens(10, 2));
  Serve(index, Tokens(5, 3));
  const Tokens small(5, 9);
  const int32_t slot = Place(index, small, 5).slot;
  CHECK_EQ(Flat(Decode(index, slot, small, 5)), (Cuts({})));  // exactly full
  CHECK_EQ(index.used_cells(), size_t{30});

  const Tokens large(12, 8);
  const int32_t larger = Place(index, large, 12).slot;
  CHECK_EQ(index.used_cells(), size_t{30});  // nothing is cut before the cells are wanted
  CHECK_EQ(Flat(Decode(index, larger, large, 4)), (Cuts({{a, 6}})));
  CHECK_EQ(Flat(Decode(index, larger, large, 12)), (Cuts({{a, 0}, {b, 8}})));
  CHECK_EQ(index.used_cells(), size_t{30});
  CHECK_EQ(index.Find(Tokens(10, 2)).length, size_t{8});
}

TEST("what a busy sequence shares is not cut: it would free nothing") {
  PrefixIndex index(8, 20);
  const Tokens old = Tokens(6, 1) + Tokens(4, 2);
  const int32_t source = Serve(index, old);
  const int32_t other = Serve(index, Tokens(8, 5));
  const Tokens running = Tokens(6, 1) + Tokens(10, 3);
  const Placement place = Place(index, running, 7);
  CHECK_EQ(place.copy_from, source);
  CHECK_EQ(Flat(Decode(index, place.slot, running, 8)), (Cuts({})));
  // The source was used when it was copied from: the other one is older.
  CHECK_EQ(Flat(Decode(index, place.slot, running, 14)), (Cuts({{other, 2}})));
  CHECK_EQ(Flat(Decode(index, place.slot, running, 16)), (Cuts({{other, 0}})));
  CHECK(index.Claim(place.slot, 20));
  CHECK_EQ(Flat(index.MakeRoom()), (Cuts({{source, 6}})));
}

TEST("the end of a request counts as its last use, not its beginning") {
  PrefixIndex index(2, 100);
  const int32_t a = Place(index, {1, 1}, 2).slot;
  const int32_t b = Place(index, {2, 2}, 2).slot;
  for (const int32_t slot : {b, a}) {
    const Tokens tokens(2, slot == a ? 1 : 2);
    Decode(index, slot, tokens, 2);
    index.Release(slot, tokens, 2);
  }
  CHECK_EQ(Place(index, {9}, 1).slot, b);
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
  CHECK_EQ(index.used_cells(), size_t{2});
}

TEST("a prompt waits while busy sequences hold every slot, or can be sure of the cells that it needs") {
  PrefixIndex slots(2, 100);
  const int32_t first = Place(slots, {1}, 10).slot;
  Place(slots, {2}, 10);
  const Tokens third = {3};
  CHECK(!slots.Place({third, 1}));
  slots.Release(first, {1}, 0);
  CHECK_EQ(Place(slots, third, 1).slot, first);

  PrefixIndex cells(4, 20);
  const Tokens one = {1};
  const int32_t large = Place(cells, one, 15).slot;
  CHECK(!cells.Place({third, 6}));
  const int32_t small = Place(cells, {2}, 5).slot;
  CHECK(small != large);
  Decode(cells, large, one, 1);
  CHECK(!cells.Place({third, 1}));
  cells.Release(large, one, 1);
  Place(cells, third, 15);
}

TEST("what would be possible without some busy sequences is told without changing anything") {
  PrefixIndex index(2, 20);
  const Tokens a(8, 1);
  const Tokens b(8, 2);
  const int32_t first = Place(index, a, 10).slot;
  const int32_t second = Place(index, b, 8).slot;
  Decode(index, first, a, 8);
  Decode(index, second, b, 8);
  const Tokens c(5, 3);
  CHECK(!index.CouldPlaceWithout({}, {c, 5}));
  CHECK(index.CouldPlaceWithout({first}, {c, 12}));
  CHECK(!index.CouldPlaceWithout({first}, {c, 13}));
  CHECK(index.CouldPlaceWithout({first, second}, {c, 20}));
  CHECK_EQ(index.n_idle_slots(), size_t{0});
  CHECK_EQ(index.used_cells(), size_t{16});
}

TEST("beyond what it can be sure of a sequence gets cells only while nobody else may need them") {
  PrefixIndex index(4, 20);
  const Tokens a(20, 1);
  const int32_t growing = Place(index, a, 4).slot;
  Decode(index, growing, a, 4);
  CHECK(index.Claim(growing, 5));
  const int32_t reader = Place(index, Tokens(10, 2), 10).slot;
  CHECK(index.Claim(growing, 10));
  CHECK(!index.Claim(growing, 11));
  index.MakeRoom();
  index.Update(growing, a, 10);
  CHECK(!index.Claim(growing, 11));
  CHECK(!index.Place({a, 19}));  // as the same: ten of the cells are there, nine are not
  Decode(index, reader, Tokens(10, 2), 10);
  CHECK(!index.Claim(reader, 11));
  index.Release(reader, Tokens(10, 2), 10);
  CHECK(index.Claim(growing, 20));
  CHECK_EQ(Flat(index.MakeRoom()), (Cuts({{reader, 0}})));
}

TEST("a claim that comes to nothing gives its cells back with the next update") {
  PrefixIndex index(2, 10);
  const Tokens tokens = {1, 2, 3};
  const int32_t slot = Place(index, tokens, 3).slot;
  CHECK(index.Claim(slot, 10));
  CHECK(!index.Place({Tokens{9}, 1}));
  index.Update(slot, tokens, 3);
  CHECK_EQ(index.used_cells(), size_t{3});
  Place(index, {9}, 7);
}

TEST("tokens that were taken back are no longer reused") {
  PrefixIndex index(2, 100);
  const Tokens tokens = {1, 2, 3, 4};
  const int32_t slot = Place(index, tokens, 10).slot;
  Decode(index, slot, tokens, 4);
  index.Release(slot, tokens, 2);
  CHECK_EQ(index.used_cells(), size_t{2});
  CHECK_EQ(Place(index, tokens, 10).reuse, size_t{2});
}

TEST("a release with no tokens frees the slot") {
  PrefixIndex index(1, 100);
  const int32_t slot = Place(index, {1, 2}, 10).slot;
  index.Release(slot, {1, 2}, 0);
  CHECK_EQ(index.cached_sequences(), size_t{0});
  CHECK_EQ(index.used_cells(), size_t{0});
  CHECK_EQ(Place(index, {1, 2}, 100).reuse, size_t{0});
}

TEST("EvictIdle forgets every idle sequence and no busy one") {
  PrefixIndex index(4, 100);
  const int32_t a = Serve(index, {1, 1});
  const Tokens running = {2, 2};
  const int32_t busy = Place(index, running, 10).slot;
  Decode(index, busy, running, 2);
  const int32_t b = Serve(index, {3, 3});
  CHECK_EQ(index.EvictIdle(), (Ids{a, b}));
  CHECK_EQ(index.cached_sequences(), size_t{0});
  CHECK_EQ(index.used_cells(), size_t{2});
  CHECK_EQ(index.EvictIdle(), Ids{});
  CHECK_EQ(Place(index, {2, 2, 2}, 10).copy_from, busy);
}

TEST("Find tells the longest beginning that any sequence holds, all of it included") {
  PrefixIndex index(4, 100);
  CHECK_EQ(index.Find({1, 2}).slot, kNone);
  const int32_t slot = Serve(index, {1, 2, 3});
  CHECK_EQ(index.Find({1, 2, 3}).length, size_t{3});
  CHECK_EQ(index.Find({1, 2, 3}).slot, slot);
  CHECK_EQ(index.Find({1, 2, 9}).length, size_t{2});
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
    if (action < 50) {
      Place();
    } else if (action < 127) {
      Decode();
    } else {
      const Ids idle = model_.TakeIdle();
      CHECK_EQ(index_.EvictIdle(), idle);
    }
    model_.CheckCounts(index_);
  }

  size_t n_copied = 0;
  size_t n_waiting = 0;
  size_t n_cut = 0;
  size_t n_refused = 0;

 private:
  size_t Random(size_t below) { return random_() % below; }

  void Place() {
    const Tokens prompt = RandomPrompt();
    const size_t cells = std::min(prompt.size() + Random(n_cells_ / 2), n_cells_);
    const phi2::test::Wish wish{prompt, cells, static_cast<uint32_t>(Random(3)), Random(4) == 0};
    const PrefixIndex before = index_;
    const size_t reusable = index_.Reusable(wish);
    const auto place = index_.Place(wish);
    model_.CheckPlace(place, wish);
    if (place) {
      CHECK_EQ(place->reuse, reusable);
      n_copied += place->copy_from >= 0 ? 1 : 0;
    } else {
      CHECK(index_.CouldPlaceWithout(model_.Busy(), wish));
      PrefixIndex after = index_;
      CHECK_EQ(after.used_cells(), before.used_cells());
      CHECK_EQ(after.EvictIdle(), PrefixIndex(before).EvictIdle());
      ++n_waiting;
    }
  }

  /// Several busy sequences claim cells, and use what they claimed or less. After a failed step that ends its request
  /// there can be fewer tokens than before, or none.
  void Decode() {
    const Ids busy = model_.Busy();
    if (busy.empty()) return;
    Ids claimants;
    for (size_t i = 0; i <= Random(3); ++i) {
      const int32_t slot = busy[Random(busy.size())];
      const size_t total = Random(2) == 0 ? Random(model_.due(slot) + 1) : model_.tokens(slot).size() + Random(8);
      const bool granted = index_.Claim(slot, total);
      model_.CheckClaim(granted, slot, total);
      n_refused += granted ? 0 : 1;
      claimants.push_back(slot);
    }
    const std::vector<Cut> cuts = index_.MakeRoom();
    model_.CheckCuts(cuts);
    n_cut += cuts.size();
    for (const int32_t slot : claimants) {
      const size_t held = model_.tokens(slot).size();
      const size_t more = std::max(model_.claimed(slot), held) - held;
      const size_t n = held + (Random(4) == 0 ? Random(more + 1) : more);
      const Tokens tokens = model_.Continue(slot, n, random_);
      index_.Update(slot, tokens, n);
    }
    if (Random(3) != 0) return;
    const int32_t slot = claimants.front();
    const size_t held = model_.tokens(slot).size();
    const size_t n = Random(4) == 0 ? Random(held + 1) : held;
    const Tokens tokens = model_.Continue(slot, n, random_);
    index_.Release(slot, tokens, n);
    model_.Release(slot);
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

TEST(
    "many random requests: what is reused is there, every cell counts once, promises are kept, the oldest is cut "
    "first") {
  size_t n_copied = 0;
  size_t n_waiting = 0;
  size_t n_cut = 0;
  size_t n_refused = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    Simulation simulation(seed);
    for (int step = 0; step < 300; ++step) simulation.Step();
    n_copied += simulation.n_copied;
    n_waiting += simulation.n_waiting;
    n_cut += simulation.n_cut;
    n_refused += simulation.n_refused;
  }
  // The requests were of every kind.
  CHECK(n_copied > 1000);
  CHECK(n_waiting > 1000);
  CHECK(n_cut > 1000);
  CHECK(n_refused > 1000);
}

TEST_MAIN()
