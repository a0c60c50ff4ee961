#include "core/step_plan.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "check.h"

namespace {

using phi2::kShortStepMs;
using phi2::PlanStep;
using phi2::StepCandidate;
using phi2::StepCost;
using phi2::StepLimits;
using phi2::StepPlan;

using Counts = std::vector<size_t>;

/// Measured with a full-size model on two cores.
StepCost Measured() {
  StepCost cost;
  for (const auto& [n, ms] : std::vector<std::pair<size_t, double>>{
           {1, 49}, {2, 72}, {4, 122}, {8, 195}, {16, 303}, {32, 564}, {64, 800}, {128, 1446}, {256, 2900}}) {
    cost.Add(n, ms);
  }
  return cost;
}

StepLimits Cpu(size_t n_batch = 512) {
  StepLimits limits;
  limits.n_batch = n_batch;
  limits.can_abort = true;
  return limits;
}

StepCandidate Prompt(size_t n_tokens, int32_t priority = 0) { return {n_tokens, 0, priority}; }
StepCandidate Generating(size_t n_drafted = 0, int32_t priority = 0) { return {1, n_drafted, priority}; }

TEST("with nothing to run nothing is planned") {
  const StepPlan plan = PlanStep({}, Cpu(), Measured());
  CHECK_EQ(plan.n_tokens, size_t{0});
  CHECK(!plan.is_long);
}

TEST("generating sequences alone have a token each, then their drafts as far as the batch reaches") {
  CHECK_EQ(PlanStep({Generating(), Generating()}, Cpu(), Measured()).counts, (Counts{1, 1}));
  CHECK_EQ(PlanStep({Generating(40), Generating(), Generating(40)}, Cpu(64), Measured()).counts, (Counts{41, 1, 22}));
}

TEST("a sequence alone with a long draft may be cut, one with a short draft or in company may not") {
  CHECK(PlanStep({Generating(31)}, Cpu(), Measured()).is_long);
  CHECK(!PlanStep({Generating(31)}, Cpu(), Measured()).only_prompts);
  CHECK(!PlanStep({Generating(1)}, Cpu(), Measured()).is_long);
  CHECK(!PlanStep({Generating()}, Cpu(), Measured()).is_long);
  CHECK(!PlanStep({Generating(31), Generating()}, Cpu(), Measured()).is_long);
  CHECK(!PlanStep({Generating(31), Prompt(100)}, Cpu(), Measured()).is_long);
  StepLimits blind = Cpu();
  blind.can_abort = false;
  CHECK(!PlanStep({Generating(31)}, blind, Measured()).is_long);
}

TEST("a prompt alone is read in few large and equal parts, larger ones where the machine is fast") {
  StepPlan plan = PlanStep({Prompt(512)}, Cpu(), Measured());
  CHECK_EQ(plan.counts, (Counts{256}));
  CHECK(plan.is_long);
  CHECK_EQ(PlanStep({Prompt(300)}, Cpu(), Measured()).counts, (Counts{300}));
  CHECK_EQ(PlanStep({Prompt(400)}, Cpu(), Measured()).counts, (Counts{200}));
  CHECK_EQ(PlanStep({Prompt(200)}, Cpu(), Measured()).counts, (Counts{200}));
  CHECK(!PlanStep({Prompt(2)}, Cpu(), Measured()).is_long);

  StepCost fast;
  fast.Add(256, 200);
  CHECK_EQ(PlanStep({Prompt(1500)}, Cpu(2048), fast).counts, (Counts{1500}));
  CHECK_EQ(PlanStep({Prompt(1500)}, Cpu(512), fast).counts, (Counts{500}));
  StepCost slow;
  slow.Add(32, 5000);
  CHECK_EQ(PlanStep({Prompt(1000)}, Cpu(), slow).counts, (Counts{250}));
  CHECK_EQ(PlanStep({Prompt(300)}, Cpu(128), slow).counts, (Counts{100}));
}

TEST("a prompt alone is read in short steps where a step cannot be aborted") {
  StepLimits limits = Cpu();
  limits.can_abort = false;
  const StepPlan plan = PlanStep({Prompt(512)}, limits, Measured());
  CHECK(!plan.is_long);
  CHECK(Measured().Ms(plan.n_tokens) <= std::max(kShortStepMs, Measured().Ms(4)));
}

TEST("a long step that was cut comes back smaller, down to one that is not cut") {
  StepLimits limits = Cpu();
  limits.n_long_step = 100;
  CHECK_EQ(PlanStep({Prompt(1000)}, limits, Measured()).counts, (Counts{100}));
  limits.n_long_step = 0;
  const StepPlan plan = PlanStep({Prompt(1000)}, limits, Measured());
  CHECK_EQ(plan.n_tokens, size_t{4});
  CHECK(!plan.is_long);
}

TEST("before anything was measured a first step is of a fixed size") {
  CHECK_EQ(PlanStep({Prompt(512)}, Cpu(), StepCost()).counts, (Counts{256}));
  CHECK(PlanStep({Prompt(512)}, Cpu(), StepCost()).is_long);
  StepLimits limits = Cpu();
  limits.can_abort = false;
  CHECK_EQ(PlanStep({Prompt(512)}, limits, StepCost()).counts, (Counts{64}));
}

TEST("a first step that is cut again and again comes to its end all the same") {
  StepLimits limits = Cpu();
  size_t n_cut = 0;
  for (StepPlan plan = PlanStep({Prompt(512)}, limits, StepCost()); plan.is_long; ++n_cut) {
    CHECK(n_cut < 10);
    limits.n_long_step = plan.n_tokens / 2;
    plan = PlanStep({Prompt(512)}, limits, StepCost());
  }
}

TEST("beside generating sequences a step takes at most twice their time, or 100 ms") {
  const StepCost cost = Measured();
  for (size_t n = 1; n <= 64; ++n) {
    std::vector<StepCandidate> candidates(n, Generating());
    candidates.push_back(Prompt(1500));
    const StepPlan plan = PlanStep(candidates, Cpu(), cost);
    for (size_t i = 0; i < n; ++i) CHECK_EQ(plan.counts[i], size_t{1});
    CHECK(plan.counts[n] >= 4);
    CHECK(plan.counts[n] == 4 || cost.Ms(plan.n_tokens) <= std::max(kShortStepMs, 2 * cost.Ms(n)));
    CHECK(!plan.is_long);
  }
}

TEST("a prompt of which one token is left is served like a sequence that generates") {
  const StepPlan plan = PlanStep({Generating(), Prompt(1), Prompt(1500)}, Cpu(), Measured());
  CHECK_EQ(plan.counts[0], size_t{1});
  CHECK_EQ(plan.counts[1], size_t{1});
  CHECK(plan.counts[2] >= 4);
}

TEST("of several prompts the one nearest to its end is read at once, and the long one goes on beside it") {
  const StepCost cost = Measured();
  const StepPlan plan = PlanStep({Prompt(1500), Prompt(20)}, Cpu(), cost);
  CHECK_EQ(plan.counts[1], size_t{20});
  CHECK(plan.counts[0] >= 10);
  CHECK(cost.Ms(plan.n_tokens) <= 2 * cost.Ms(20));
  CHECK(plan.is_long);
}

TEST("of many equal prompts one comes to its end after the other, and each gets something") {
  std::vector<StepCandidate> candidates(16, Prompt(24));
  const StepPlan plan = PlanStep(candidates, Cpu(), Measured());
  CHECK_EQ(plan.counts[0], size_t{24});
  for (const size_t count : plan.counts) CHECK(count > 0);
}

TEST("prompts of a higher priority come first, and what they leave is for the others") {
  const StepPlan all = PlanStep({Prompt(10), Prompt(1500, 2), Prompt(10, -1)}, Cpu(), Measured());
  CHECK_EQ(all.counts[0], size_t{0});
  CHECK(all.counts[1] > 100);
  CHECK_EQ(all.counts[2], size_t{0});
  const StepPlan rest = PlanStep({Prompt(1500), Prompt(10, 2), Generating(0, -5)}, Cpu(), Measured());
  CHECK_EQ(rest.counts[2], size_t{1});
  CHECK(rest.counts[1] >= rest.counts[0]);
}

TEST("generating sequences of a higher priority have the batch first") {
  std::vector<StepCandidate> candidates(40, Generating());
  for (size_t i = 20; i < 40; ++i) candidates[i].priority = 1;
  const StepPlan plan = PlanStep(candidates, Cpu(32), Measured());
  for (size_t i = 0; i < 40; ++i) CHECK_EQ(plan.counts[i], size_t{i < 12 || i >= 20 ? 1U : 0U});
}

TEST("more generating sequences than a batch has tokens leave a few for prompts") {
  std::vector<StepCandidate> candidates(64, Generating());
  candidates.push_back(Prompt(100));
  const StepPlan plan = PlanStep(candidates, Cpu(32), Measured());
  CHECK_EQ(plan.n_tokens, size_t{32});
  CHECK_EQ(plan.counts.back(), size_t{4});
}

TEST("a prompt that must not be cut by time has steps of a fixed size, of which one that was cut is then done whole") {
  StepLimits limits = Cpu();
  limits.n_fixed = 400;
  for (const StepCost& cost : {Measured(), StepCost()}) {
    limits.n_long_step = 512;
    CHECK_EQ(PlanStep({Prompt(700)}, limits, cost).counts, (Counts{400}));
    CHECK(PlanStep({Prompt(700)}, limits, cost).is_long);
    limits.n_long_step = 200;
    CHECK_EQ(PlanStep({Prompt(700)}, limits, cost).counts, (Counts{400}));
    CHECK(!PlanStep({Prompt(700)}, limits, cost).is_long);
  }
}

/// Sequences that read and then generate, step by step.
struct Running {
  size_t to_read;
  size_t to_generate;
  int32_t priority = 0;
};

TEST("short answers beside a long prompt have a token in every step, and the prompt never stands still") {
  const StepCost cost = Measured();
  std::vector<Running> all(5, Running{20, 60});
  all[0] = {1500, 10};
  double ms = 0;
  for (size_t step = 0; all[0].to_read > 1; ++step) {
    CHECK(step < 2000);
    std::vector<StepCandidate> candidates;
    size_t n_generating = 0;
    for (const Running& one : all) {
      candidates.push_back({one.to_read, 0, one.priority});
      n_generating += one.to_read == 1 ? 1 : 0;
    }
    const StepPlan plan = PlanStep(candidates, Cpu(), cost);
    CHECK(plan.counts[0] > 0);
    ms += cost.Ms(plan.n_tokens);
    for (size_t i = 0; i < all.size(); ++i) {
      if (candidates[i].n_tokens == 1) CHECK_EQ(plan.counts[i], size_t{1});
      all[i].to_read = std::max<size_t>(1, all[i].to_read - plan.counts[i]);
    }
    if (n_generating > 0)
      CHECK(cost.Ms(plan.n_tokens) <= std::max(cost.Ms(n_generating + 4), 2 * cost.Ms(n_generating)));
  }
  CHECK(ms < 4 * (cost.Ms(256) / 256 * 1500));  // it has about half of the machine, and pays for its small parts
}

TEST("whatever runs: no plan is larger than the batch or gives more than there is, and none is empty") {
  std::mt19937 random(3);
  const StepCost cost = Measured();
  for (int round = 0; round < 20000; ++round) {
    std::vector<StepCandidate> candidates;
    const size_t n = 1 + random() % 64;
    for (size_t i = 0; i < n; ++i) {
      StepCandidate candidate{1 + (random() % 2) * (random() % 1500), 0, static_cast<int32_t>(random() % 3)};
      if (candidate.n_tokens == 1) candidate.n_drafted = random() % 8;
      candidates.push_back(candidate);
    }
    StepLimits limits = Cpu(32 + random() % 500);
    limits.can_abort = random() % 2 == 0;
    if (random() % 4 == 0) limits.n_long_step = random() % 300;
    const StepPlan plan = PlanStep(candidates, limits, cost);
    CHECK_EQ(plan.n_tokens, std::accumulate(plan.counts.begin(), plan.counts.end(), size_t{0}));
    CHECK(plan.n_tokens > 0 && plan.n_tokens <= limits.n_batch);
    int32_t highest = candidates[0].priority;
    for (const StepCandidate& candidate : candidates) highest = std::max(highest, candidate.priority);
    bool somebody = false;
    for (size_t i = 0; i < n; ++i) {
      CHECK(plan.counts[i] <= candidates[i].n_tokens + candidates[i].n_drafted);
      somebody = somebody || (plan.counts[i] > 0 && candidates[i].priority == highest);
    }
    CHECK(somebody);
  }
}

}  // namespace

TEST_MAIN()
