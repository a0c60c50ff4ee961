#include "core/draft_length.h"

#include <functional>
#include <string>

#include "check.h"
#include "draft_simulation.h"

namespace {

using phi2::ChooseDraftLengths;
using phi2::DraftLedger;
using phi2::DraftOffer;
using phi2::StepCost;
using phi2::StepOutlook;
using phi2::test::StepMs;
using phi2::test::Tokens;
using phi2::test::Write;
using phi2::test::Written;
using Lengths = std::vector<size_t>;

constexpr double kUnlimited = 1e9;

StepCost MeasuredCost() {
  StepCost cost;
  for (size_t n = 1; n <= 128; n *= 2) cost.Add(n, StepMs(n));
  return cost;
}

StepOutlook Alone(double max_ms = kUnlimited) { return {1, 1, 64, max_ms}; }

StepOutlook Shared(size_t n_sequences) { return {n_sequences, n_sequences, 64, kUnlimited}; }

/// Every guess right with the same probability.
DraftOffer Offer(double probability, size_t n, double max_loss_ms = kUnlimited) {
  DraftOffer offer;
  double product = 1;
  for (size_t i = 0; i < n; ++i) offer.survival.push_back(product *= probability);
  offer.max_loss_ms = max_loss_ms;
  return offer;
}

// --- one step ---

TEST("nothing is drafted before a step was measured, nor without offers") {
  CHECK_EQ(ChooseDraftLengths({Offer(1, 8)}, Alone(), StepCost()), Lengths{0});
  CHECK_EQ(ChooseDraftLengths({}, Alone(), MeasuredCost()), Lengths{});
}

TEST("the likelier the guesses the longer the draft, and none where they would lose time") {
  const StepCost cost = MeasuredCost();
  size_t last = 0;
  for (const double probability : {0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0}) {
    const size_t length = ChooseDraftLengths({Offer(probability, 63)}, Alone(), cost).front();
    CHECK(length >= last);
    last = length;
  }
  CHECK_EQ(last, size_t{63});
  CHECK_EQ(ChooseDraftLengths({Offer(0.3, 63)}, Alone(), cost), Lengths{0});
}

TEST("a draft is no longer than what is offered, than what may be lost, and than a step may last") {
  const StepCost cost = MeasuredCost();
  CHECK_EQ(ChooseDraftLengths({Offer(1, 5)}, Alone(), cost), Lengths{5});
  CHECK_EQ(ChooseDraftLengths({Offer(1, 63, 0)}, Alone(), cost), Lengths{0});
  const size_t staked = ChooseDraftLengths({Offer(1, 63, 150)}, Alone(), cost).front();
  CHECK(staked > 0 && cost.Ms(1 + staked) - cost.Ms(1) <= 150);
  const size_t timed = ChooseDraftLengths({Offer(1, 63)}, Alone(320), cost).front();
  CHECK_EQ(timed, size_t{15});
  CHECK_EQ(ChooseDraftLengths({Offer(1, 63)}, {1, 1, 8, kUnlimited}, cost), Lengths{7});
}

TEST("what guessing itself takes is counted") {
  const StepCost cost = MeasuredCost();
  DraftOffer slow = Offer(0.95, 16);
  slow.guess_ms = 10;
  const size_t length = ChooseDraftLengths({slow}, Alone(), cost).front();
  CHECK(length > 0 && length < ChooseDraftLengths({Offer(0.95, 16)}, Alone(), cost).front());
  slow.guess_ms = cost.Ms(1);
  CHECK_EQ(ChooseDraftLengths({slow}, Alone(), cost), Lengths{0});
}

TEST("one draft beside others must not slow them down") {
  CHECK_EQ(ChooseDraftLengths({Offer(1, 63)}, Shared(8), MeasuredCost()), Lengths{0});
  CHECK_EQ(ChooseDraftLengths({Offer(1, 63)}, Shared(2), MeasuredCost()), Lengths{0});
}

TEST("where all draft all of them gain, and a step that several wait for takes at most twice as long") {
  const StepCost cost = MeasuredCost();
  for (size_t n_sequences = 2; n_sequences <= 8; ++n_sequences) {
    size_t n_tokens = n_sequences;
    for (const size_t length :
         ChooseDraftLengths(std::vector<DraftOffer>(n_sequences, Offer(0.99, 31)), Shared(n_sequences), cost)) {
      CHECK(length > 0);
      n_tokens += length;
    }
    CHECK(cost.Ms(n_tokens) <= 2 * cost.Ms(n_sequences));
  }
}

/// log of the product of all speeds, relative to a step without drafts.
double Gain(const std::vector<DraftOffer>& offers, const Lengths& lengths, const StepOutlook& outlook,
            const StepCost& cost) {
  double gain = 0;
  size_t n_tokens = outlook.n_tokens;
  for (size_t i = 0; i < offers.size(); ++i) {
    double tokens = 1;
    for (size_t j = 0; j < lengths[i]; ++j) tokens += offers[i].survival[j];
    gain += std::log(tokens);
    n_tokens += lengths[i];
  }
  return gain - static_cast<double>(outlook.n_sequences) * std::log(cost.Ms(n_tokens) / cost.Ms(outlook.n_tokens));
}

TEST("no other lengths of steps of a good size would have been better: all of them tried") {
  const StepCost cost = MeasuredCost();
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<DraftOffer> offers;
    for (int i = 0; i < 3; ++i) offers.push_back(Offer(static_cast<double>(random() % 100) / 100, random() % 8));
    const StepOutlook outlook = Shared(3);
    const double found = Gain(offers, ChooseDraftLengths(offers, outlook, cost), outlook, cost);
    const size_t all = offers[0].survival.size() + offers[1].survival.size() + offers[2].survival.size();
    Lengths lengths(3);
    for (lengths[0] = 0; lengths[0] <= offers[0].survival.size(); ++lengths[0]) {
      for (lengths[1] = 0; lengths[1] <= offers[1].survival.size(); ++lengths[1]) {
        for (lengths[2] = 0; lengths[2] <= offers[2].survival.size(); ++lengths[2]) {
          const size_t drafted = lengths[0] + lengths[1] + lengths[2];
          const size_t n_tokens = 3 + drafted;
          if (n_tokens % 4 != 0 && drafted != all) continue;
          if (cost.Ms(n_tokens) > 2 * cost.Ms(3)) continue;
          const double gain = Gain(offers, lengths, outlook, cost);
          CHECK(gain <= std::max(found, std::log(1.05)) + 1e-9);
        }
      }
    }
  }
}

// --- the ledger ---

TEST("a sequence stakes more the longer its guesses were right, and less after a loss") {
  DraftLedger ledger;
  CHECK_EQ(ledger.Stake(50, 0), 0.0);
  CHECK_EQ(ledger.Stake(50, 8), 200.0);
  ledger.Settle(50, 300, 0);
  CHECK(ledger.Stake(50, 8) < 0);
  for (int i = 0; i < 400; ++i) ledger.Settle(50, 0, 0);
  CHECK(ledger.Stake(50, 0) > 0);
}

TEST("old gains are not gambled away") {
  DraftLedger ledger;
  for (int i = 0; i < 1000; ++i) ledger.Settle(50, 100, 15);
  CHECK(ledger.Stake(50, 0) <= 20 * 50);
}

// --- whole texts ---

constexpr size_t kLength = 400;

class Source {
 public:
  explicit Source(unsigned seed) : random_(seed) {}

  std::mt19937& random() { return random_; }
  size_t Below(size_t n) { return random_() % n; }
  Tokens Fresh(size_t n) {
    Tokens tokens(n);
    for (llama_token& token : tokens) token = static_cast<llama_token>(Below(50000));
    return tokens;
  }

  /// The text before it was edited: a share of its tokens was replaced, so many in a row.
  Tokens Before(const Tokens& text, double share, size_t in_a_row) {
    Tokens before;
    while (before.size() < text.size()) {
      const bool edit = static_cast<double>(Below(1000000)) < 1e6 * share / static_cast<double>(in_a_row);
      for (size_t i = 0; i < (edit ? in_a_row : 1) && before.size() < text.size(); ++i) {
        before.push_back(edit ? Fresh(1).front() : text[before.size()]);
      }
    }
    return before;
  }

 private:
  std::mt19937 random_;
};

/// Model times of many texts of one kind; the prompt comes from the text.
double Speedup(const std::function<std::pair<Tokens, Tokens>(Source&)>& make, double& worst) {
  double ms = 0;
  double plain_ms = 0;
  worst = 1e9;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    Source source(seed);
    const auto [prompt, text] = make(source);
    const Written written = Write(prompt, text, source.random());
    ms += written.ms;
    plain_ms += written.plain_ms;
    worst = std::min(worst, written.speedup());
  }
  return plain_ms / ms;
}

auto Edited(double share, size_t in_a_row) {
  return [share, in_a_row](Source& source) {
    const Tokens text = source.Fresh(kLength);
    return std::make_pair(source.Before(text, share, in_a_row), text);
  };
}

TEST("a text that repeats its prompt but for a tenth, edited line by line, takes less than 1/1.8 of the time") {
  double worst = 0;
  CHECK(Speedup(Edited(0.1, 8), worst) >= 1.8);
  CHECK(worst >= 1.3);
  CHECK(Speedup(Edited(0, 1), worst) >= 2.7);
}

// A guess that fails every tenth time allows no more with these times: 1.43 if all is known from the beginning.
TEST("scattered single edits gain what they can") {
  double worst = 0;
  CHECK(Speedup(Edited(0.1, 1), worst) >= 1.3);
  CHECK(worst >= 1.15);
}

TEST("a text that does not repeat is written without a draft") {
  Source source(1);
  const Tokens text = source.Fresh(kLength);
  const Written written = Write(source.Fresh(kLength), text, source.random());
  CHECK_EQ(written.n_drafted, size_t{0});
  CHECK_EQ(written.ms, written.plain_ms);
}

TEST("no text whose repetitions mislead takes more than 1/0.97 of the time") {
  double worst = 0;
  for (const double share : {0.25, 1.0 / 3, 0.5, 0.75}) {
    Speedup(Edited(share, 1), worst);
    CHECK(worst >= 0.97);
  }
  // Every third token of the prompt replaced: pairs come again, and another token follows.
  Speedup(
      [](Source& source) {
        const Tokens text = source.Fresh(kLength);
        Tokens prompt = text;
        for (size_t i = 0; i < prompt.size(); i += 3) prompt[i] = source.Fresh(1).front();
        return std::make_pair(prompt, text);
      },
      worst);
  CHECK(worst >= 0.97);
  // Pieces of the prompt of a fixed or a random length, and something new after each.
  for (const bool fixed : {true, false}) {
    for (const size_t length : {2, 3, 4, 6, 8, 12, 16, 24, 40}) {
      Speedup(
          [&](Source& source) {
            const Tokens prompt = source.Fresh(600);
            Tokens text;
            while (text.size() < kLength) {
              const auto from = prompt.begin() + static_cast<ptrdiff_t>(source.Below(500));
              const size_t n = fixed ? length : 1 + source.Below(2 * length);
              text.insert(text.end(), from, from + static_cast<ptrdiff_t>(n));
              for (const llama_token token : source.Fresh(fixed ? 1 : length)) text.push_back(token);
            }
            return std::make_pair(prompt, text);
          },
          worst);
      CHECK(worst >= 0.97);
    }
  }
  // A prompt that repeats itself to the letter, and a text that leaves every repetition again: what was learnt is
  // wrong.
  for (const size_t length : {4, 6, 8, 12}) {
    Speedup(
        [&](Source& source) {
          const Tokens block = source.Fresh(200);
          Tokens prompt;
          for (int i = 0; i < 4; ++i) prompt.insert(prompt.end(), block.begin(), block.end());
          Tokens text;
          while (text.size() < kLength) {
            const auto from = block.begin() + static_cast<ptrdiff_t>(source.Below(180));
            text.insert(text.end(), from, from + static_cast<ptrdiff_t>(2 + source.Below(length)));
            for (const llama_token token : source.Fresh(2 * length)) text.push_back(token);
          }
          return std::make_pair(prompt, text);
        },
        worst);
    CHECK(worst >= 0.97);
  }
  // Few different tokens, at random: everything was there before, and nothing can be told from it.
  for (const size_t n_different : {2, 4, 16, 60}) {
    Speedup(
        [&](Source& source) {
          Tokens prompt(kLength);
          Tokens text(kLength);
          for (Tokens* tokens : {&prompt, &text}) {
            for (llama_token& token : *tokens) token = static_cast<llama_token>(source.Below(n_different));
          }
          return std::make_pair(prompt, text);
        },
        worst);
    CHECK(worst >= 0.97);
  }
}

TEST("a text that stops repeating keeps what it has gained") {
  double worst = 0;
  const double speedup = Speedup(
      [](Source& source) {
        Tokens text = source.Fresh(200);
        const Tokens prompt = text;
        for (const llama_token token : source.Fresh(200)) text.push_back(token);
        return std::make_pair(prompt, text);
      },
      worst);
  CHECK(speedup >= 1.3);
  CHECK(worst >= 1.25);
}

}  // namespace

TEST_MAIN()
