#include "core/speculator.h"

#include <vector>

#include "check.h"
#include "core/engine.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::DraftOptions;
using phi2::EndReason;
using phi2::Engine;
using phi2::EngineOptions;
using phi2::RequestSpec;
using phi2::Speculate;
using phi2::test::Ask;
using phi2::test::CodeOf;
using phi2::test::LongPrompt;
using phi2::test::Recorder;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::WithoutEnd;

/// An engine with itself as the draft model, and what it tells.
struct Session {
  explicit Session(const EngineOptions& options = SmallEngine())
      : engine(Tiny(), options, &heard, DraftOptions{Tiny(), 1}) {}
  Recorder heard;
  Engine engine;

  Recorder::Heard Run(RequestSpec spec) { return heard.WaitForEnd(engine.Submit(std::move(spec))); }
};

RequestSpec Guessing(RequestSpec spec, Speculate speculate, int32_t n_draft) {
  spec.speculate = speculate;
  spec.n_draft = n_draft;
  return spec;
}

/// The model goes on with questions of the same kind.
RequestSpec Repetitive(int32_t n_predict) { return WithoutEnd(Ask("What is the capital of France?", n_predict)); }

TEST("guessed or not, the tokens are the same, and what was guessed is counted") {
  Session session;
  const Recorder::Heard plain = session.Run(Repetitive(60));
  CHECK_EQ(plain.ending.drafts.n_drafted, size_t{0});
  for (const Speculate speculate : {Speculate::kLookup, Speculate::kDraft}) {
    for (const int32_t n_draft : {0, 1, 4, 15, 60}) {
      const Recorder::Heard heard = session.Run(Guessing(Repetitive(60), speculate, n_draft));
      CHECK_EQ(heard.tokens, plain.tokens);
      CHECK_EQ(heard.ending.n_generated, plain.ending.n_generated);
      CHECK(heard.ending.drafts.n_accepted <= heard.ending.drafts.n_drafted);
      if (n_draft > 0) CHECK(heard.ending.drafts.n_accepted > 0);
    }
  }
}

TEST("the model's own guesses are all right but for tokens that it may not say") {
  Session session;
  const Recorder::Heard heard = session.Run(Guessing(Ask("What is the capital of France?", 10), Speculate::kDraft, 4));
  CHECK_EQ(heard.ending.drafts.n_drafted, heard.ending.drafts.n_accepted);
  CHECK(heard.ending.drafts.n_accepted >= 6);
}

TEST("a draft ends before the last token and before the last cell") {
  Session session;
  for (const int32_t n_predict : {1, 2, 5}) {
    const Recorder::Heard heard = session.Run(Guessing(Repetitive(n_predict), Speculate::kDraft, 8));
    CHECK_EQ(heard.ending.n_generated, n_predict);
    CHECK(heard.ending.drafts.n_accepted < static_cast<size_t>(n_predict));
  }
  const size_t n_ctx = session.engine.n_ctx_seq();
  const RequestSpec long_one = WithoutEnd(LongPrompt(n_ctx - 10, 1, 100));
  const Recorder::Heard plain = session.Run(long_one);
  for (const Speculate speculate : {Speculate::kLookup, Speculate::kDraft}) {
    const Recorder::Heard heard = session.Run(Guessing(long_one, speculate, 15));
    CHECK(heard.ending.reason == EndReason::kLength);
    CHECK_EQ(heard.ending.n_generated, plain.ending.n_generated);
  }
}

TEST("streams that guess share steps with those that do not") {
  Session session;
  std::vector<uint32_t> ids;
  for (const Speculate speculate : {Speculate::kNone, Speculate::kLookup, Speculate::kDraft, Speculate::kDraft}) {
    ids.push_back(session.engine.Submit(Guessing(Repetitive(40), speculate, speculate == Speculate::kNone ? 0 : 6)));
  }
  const std::vector<llama_token> first = session.heard.WaitForEnd(ids[0]).tokens;
  for (const uint32_t id : ids) CHECK_EQ(session.heard.WaitForEnd(id).tokens, first);
}

TEST("close and abort come through while guesses are made") {
  for (const Speculate speculate : {Speculate::kLookup, Speculate::kDraft}) {
    Session session;
    const uint32_t aborted = session.engine.Submit(Guessing(WithoutEnd(LongPrompt(300, 2, 200)), speculate, 8));
    const uint32_t other = session.engine.Submit(Guessing(Repetitive(100), speculate, 8));
    session.engine.Abort(aborted);
    CHECK(session.heard.WaitForEnd(aborted).ending.reason == EndReason::kAbort);
    session.heard.WaitForChunks(other, 2);
    session.engine.Close();
    CHECK(session.heard.WaitForEnd(other).ending.reason == EndReason::kAbort);
  }
}

TEST("who asks for a draft model that there is not is refused, as is a length for nobody's guesses") {
  Recorder heard;
  Engine engine(Tiny(), SmallEngine(), &heard);
  CHECK_EQ(CodeOf([&] { engine.Submit(Guessing(Ask("Why?", 4), Speculate::kDraft, 0)); }), "PHI2_INVALID_OPTION");
  CHECK_EQ(CodeOf([&] { engine.Submit(Guessing(Ask("Why?", 4), Speculate::kAuto, 4)); }), "PHI2_INVALID_OPTION");
  const uint32_t id = engine.Submit(Guessing(Ask("Why?", 4), Speculate::kAuto, 0));
  CHECK_EQ(heard.WaitForEnd(id).ending.drafts.n_drafted, size_t{0});
}

}  // namespace

TEST_MAIN()
