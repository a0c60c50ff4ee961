#include "core/batch_builder.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "check.h"
#include "tiny.h"

namespace {

using phi2::BatchBuilder;
using phi2::RequestSpec;
using phi2::Sequence;
using phi2::StepCost;
using phi2::test::LongPrompt;
using phi2::test::Tiny;

using Active = std::vector<std::shared_ptr<Sequence>>;

std::shared_ptr<Sequence> Placed(uint32_t id, RequestSpec spec) {
  auto sequence = std::make_shared<Sequence>(id, id, std::move(spec), Tiny());
  sequence->Admit(static_cast<int32_t>(id), 0, 2048, 2048);
  return sequence;
}

std::shared_ptr<Sequence> Prompt(uint32_t id, size_t n_tokens) { return Placed(id, LongPrompt(n_tokens, 1, 5)); }

TEST("a step has a row for each token, and logits for the last of a prompt") {
  BatchBuilder builder(64, 64, 8, true);
  Active active = {Prompt(1, 5), Prompt(2, 3)};
  CHECK(builder.Build(active, StepCost()));
  CHECK_EQ(builder.n_tokens(), size_t{8});
  CHECK_EQ(builder.parts().size(), size_t{2});
  for (const BatchBuilder::Part& part : builder.parts()) {
    for (size_t i = 0; i < part.count; ++i) {
      const auto row = static_cast<size_t>(part.row) + i;
      CHECK_EQ(builder.batch().token[row], part.sequence->tokens()[i]);
      CHECK_EQ(builder.batch().pos[row], static_cast<llama_pos>(i));
      CHECK_EQ(builder.batch().seq_id[row][0], part.sequence->seq_id);
      CHECK_EQ(static_cast<bool>(builder.batch().logits[row]), i + 1 == part.count);
    }
  }
}

TEST("who stands paused or has ended has no part in a step; if that is everybody there is none") {
  BatchBuilder builder(64, 64, 8, true);
  Active active = {Prompt(1, 5), Prompt(2, 3)};
  active[0]->SetPaused(true);
  CHECK(builder.Build(active, StepCost()));
  CHECK_EQ(builder.parts().size(), size_t{1});
  CHECK(builder.parts()[0].sequence == active[1].get());
  active[1]->End(phi2::EndReason::kAbort);
  CHECK(!builder.Build(active, StepCost()));
}

TEST("no step asks for more rows of logits than there are, and who was left out is first in the next") {
  BatchBuilder builder(64, 64, 4, true);
  Active active;
  for (uint32_t id = 1; id <= 6; ++id) active.push_back(Prompt(id, 1));
  CHECK(builder.Build(active, StepCost()));
  CHECK_EQ(builder.parts().size(), size_t{4});
  CHECK_EQ(active[0]->id(), 5U);
  CHECK_EQ(active[1]->id(), 6U);
  CHECK_EQ(active[2]->id(), 1U);
}

TEST(
    "steps that are cut again and again become as short as those that are not, and grow back when they are left "
    "alone") {
  BatchBuilder builder(512, 512, 8, true);
  Active active = {Prompt(1, 2000)};
  size_t last = 513;
  size_t n_cuts = 0;
  while (builder.Build(active, StepCost()) && builder.is_long()) {
    CHECK(builder.n_tokens() < last);
    last = builder.n_tokens();
    builder.OnCut();
    CHECK(++n_cuts < 10);
  }
  CHECK(builder.n_tokens() >= 4);
  for (int i = 0; i < 10; ++i) {
    builder.OnWhole();
    builder.Build(active, StepCost());
  }
  CHECK(builder.n_tokens() >= 250);
}

TEST("the cut of a short prompt costs little, and leaves long steps to the next prompt") {
  BatchBuilder builder(512, 512, 8, true);
  Active burst = {Prompt(1, 7)};
  builder.Build(burst, StepCost());
  CHECK(builder.is_long());
  builder.OnCut();
  Active active = {Prompt(2, 2000)};
  builder.Build(active, StepCost());
  CHECK(builder.n_tokens() >= 250);
}

TEST("a reproducible prompt alone is read in parts of what is computed at once") {
  BatchBuilder builder(512, 128, 8, true);
  RequestSpec spec = LongPrompt(1000, 1, 5);
  spec.reproducible = true;
  Active active = {Placed(1, std::move(spec))};
  builder.Build(active, StepCost());
  CHECK_EQ(builder.n_tokens(), size_t{128});
}

}  // namespace

TEST_MAIN()
