#include "core/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "check.h"
#include "core/error.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::EndReason;
using phi2::Engine;
using phi2::EngineOptions;
using phi2::EngineStats;
using phi2::Model;
using phi2::RequestSpec;
using phi2::test::Ask;
using phi2::test::CodeOf;
using phi2::test::LongPrompt;
using phi2::test::Recorder;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::TinyOptions;
using phi2::test::WithoutEnd;

/// An engine and what it tells; in this order, since the sink outlives the engine.
struct Session {
  explicit Session(const EngineOptions& options = SmallEngine()) : engine(Tiny(), options, &heard) {}
  Recorder heard;
  Engine engine;

  Recorder::Heard Run(RequestSpec spec) { return heard.WaitForEnd(engine.Submit(std::move(spec))); }
};

/// Until the engine's figures say so.
template <typename Condition>
void WaitUntil(const Engine& engine, const Condition& condition) {
  for (int i = 0; i < 60000; ++i) {
    if (condition(engine.stats())) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  phi2::test::Fail(__FILE__, __LINE__, "the engine's figures never came to what was expected");
}

TEST("a request gives its chunks, then exactly one ending that counts them") {
  Session session;
  RequestSpec spec = Ask("What is the capital of France?", 40);
  spec.stop.rules.push_back({"Instruct:", phi2::StopRule::At::kLineStart});
  const auto prompt = static_cast<int32_t>(spec.tokens.size());
  const Recorder::Heard heard = session.Run(spec);
  CHECK_EQ(heard.text, " The capital of France is Paris.\n\n");
  CHECK(heard.ending.reason == EndReason::kStop);
  CHECK_EQ(heard.ending.rule, 0);
  CHECK_EQ(heard.ending.n_prompt, prompt);
  CHECK(heard.ending.n_generated > static_cast<int32_t>(heard.tokens.size()));  // the stop was generated too
  std::string text;
  for (const llama_token token : heard.tokens) text += Tiny()->Piece(token);
  CHECK_EQ(heard.text, text);

  const EngineStats stats = session.engine.stats();
  CHECK_EQ(stats.active, 0U);
  CHECK_EQ(stats.queued, 0U);
  CHECK_EQ(stats.cached_sequences, 1U);
}

TEST("a request of no new tokens decodes its prompt and ends") {
  Session session;
  RequestSpec spec = LongPrompt(100, 1, 0);
  spec.prompt_logprobs = true;
  spec.logit_positions = {0, 99, 100, -1};  // those that are no positions of the prompt are left out
  const Recorder::Heard heard = session.Run(spec);
  CHECK(heard.ending.reason == EndReason::kLength);
  CHECK_EQ(heard.n_chunks, 0U);
  CHECK_EQ(heard.ending.prompt_logprobs.size(), 99U);
  CHECK_EQ(heard.ending.logits.size(), 2 * static_cast<size_t>(Tiny()->n_vocab()));
}

TEST("what cannot be run is refused with its code at once, and the engine goes on") {
  Session session;
  const auto refusal = [&](RequestSpec spec) { return CodeOf([&] { session.engine.Submit(std::move(spec)); }); };
  CHECK_EQ(refusal(RequestSpec()), "PHI2_INVALID_OPTION");
  for (const llama_token token : {-1, Tiny()->n_vocab(), INT32_MAX, INT32_MIN}) {
    RequestSpec prompt = LongPrompt(3, 1, 1);
    prompt.tokens.push_back(token);
    CHECK_EQ(refusal(std::move(prompt)), "PHI2_INVALID_OPTION");
    RequestSpec bias = LongPrompt(3, 1, 1);
    bias.sampler.logit_bias.emplace_back(token, 1.0F);
    CHECK_EQ(refusal(std::move(bias)), "PHI2_INVALID_OPTION");
  }
  CHECK_EQ(refusal(LongPrompt(session.engine.n_ctx_seq() + 1, 1, 1)), "PHI2_CONTEXT_FULL");
  CHECK_EQ(session.heard.n_ended(), 0U);

  const Recorder::Heard longest = session.Run(LongPrompt(session.engine.n_ctx_seq(), 1, 10));
  CHECK(longest.ending.reason == EndReason::kLength);
  CHECK_EQ(longest.ending.n_generated, 1);  // it needs no place of its own
  session.engine.Close();
  CHECK_EQ(refusal(LongPrompt(3, 1, 1)), "PHI2_CLOSED");
}

TEST("a request whose tokens are all banned fails alone") {
  Session session;
  RequestSpec hopeless = LongPrompt(10, 1, 5);
  phi2::test::BanAll(hopeless.sampler);
  const uint32_t beside = session.engine.Submit(WithoutEnd(LongPrompt(10, 2, 20)));
  const Recorder::Heard failed = session.Run(std::move(hopeless));
  CHECK(failed.ending.reason == EndReason::kError);
  CHECK_EQ(std::string(failed.ending.error_code), "PHI2_DECODE_FAILED");
  CHECK(session.heard.WaitForEnd(beside).ending.reason == EndReason::kLength);
}

TEST("many streams at once all come to their ends, whatever waits for whom") {
  Session session;
  std::vector<uint32_t> ids;
  for (int32_t i = 0; i < 32; ++i) {
    ids.push_back(session.engine.Submit(WithoutEnd(LongPrompt(5 + static_cast<size_t>(i) * 3, i, 1 + i % 7))));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const Recorder::Heard heard = session.heard.WaitForEnd(ids[i]);
    CHECK(heard.ending.reason == EndReason::kLength);
    CHECK_EQ(heard.ending.n_generated, 1 + static_cast<int32_t>(i) % 7);
  }
}

TEST("a prompt that was read before is not read again, nor the part that two share") {
  Session session;
  const RequestSpec first = WithoutEnd(LongPrompt(100, 1, 8));
  const Recorder::Heard fresh = session.Run(first);
  CHECK_EQ(fresh.ending.n_cached, 0);

  const Recorder::Heard again = session.Run(first);
  CHECK_EQ(again.ending.n_cached, 99);  // the last position's logits are needed
  CHECK_EQ(again.tokens, fresh.tokens);

  RequestSpec branch = first;
  branch.tokens.resize(60);
  branch.tokens.push_back(11);
  CHECK_EQ(session.Run(branch).ending.n_cached, 60);

  RequestSpec next = first;  // as a second turn of a chat: what was generated is known too
  next.tokens.insert(next.tokens.end(), again.tokens.begin(), again.tokens.end());
  next.tokens.push_back(11);
  CHECK_EQ(session.Run(next).ending.n_cached, static_cast<int32_t>(100 + again.tokens.size() - 1));
}

TEST("an abort while a prompt is read ends it without a token; what was read stays usable") {
  Session session(SmallEngine(2));
  const RequestSpec spec = WithoutEnd(LongPrompt(300, 1, 5));
  const uint32_t id = session.engine.Submit(spec);
  WaitUntil(session.engine, [](const EngineStats& stats) { return stats.decoded_tokens > 0; });
  session.engine.Abort(id);
  const Recorder::Heard heard = session.heard.WaitForEnd(id);
  CHECK(heard.ending.reason == EndReason::kAbort);
  CHECK_EQ(heard.ending.n_generated, 0);
  const Recorder::Heard again = session.Run(spec);
  CHECK(again.ending.n_cached >= 16);
  CHECK(again.ending.n_cached < 300);
  CHECK_EQ(again.ending.n_generated, 5);
}

TEST("an abort while it generates keeps the text so far; unknown and ended ids are ignored") {
  Session session(SmallEngine(2));
  const uint32_t id = session.engine.Submit(WithoutEnd(LongPrompt(10, 1, 400)));
  session.heard.WaitForChunks(id, 3);
  session.engine.Abort(id);
  const Recorder::Heard heard = session.heard.WaitForEnd(id);
  CHECK(heard.ending.reason == EndReason::kAbort);
  CHECK(heard.tokens.size() >= 3);
  CHECK_EQ(heard.ending.n_generated, static_cast<int32_t>(heard.tokens.size()));
  for (const uint32_t other : {id, id + 1, 0U, UINT32_MAX}) {
    session.engine.Abort(other);
    session.engine.Pause(other);
    session.engine.Resume(other);
  }
  CHECK_EQ(session.Run(WithoutEnd(LongPrompt(10, 2, 3))).ending.n_generated, 3);
}

TEST("an abort of one stream leaves the others alone, and of one that waits needs no place") {
  EngineOptions options = SmallEngine();
  options.n_seq_max = 2;
  Session session(options);
  const uint32_t one = session.engine.Submit(WithoutEnd(LongPrompt(10, 1, 60)));
  const uint32_t two = session.engine.Submit(WithoutEnd(LongPrompt(10, 2, 400)));
  const uint32_t waiting = session.engine.Submit(WithoutEnd(LongPrompt(10, 3, 400)));
  session.heard.WaitForChunks(two, 1);
  session.engine.Abort(waiting);
  CHECK_EQ(session.heard.WaitForEnd(waiting).n_chunks, 0U);
  session.engine.Abort(two);
  CHECK(session.heard.WaitForEnd(two).ending.reason == EndReason::kAbort);
  CHECK_EQ(session.heard.WaitForEnd(one).ending.n_generated, 60);
}

TEST("a paused stream stands still while another runs, and goes on when resumed") {
  Session session;
  const RequestSpec spec = WithoutEnd(LongPrompt(10, 1, 40));
  const Recorder::Heard whole = session.Run(spec);

  Recorder heard;
  std::atomic<Engine*> running{nullptr};
  heard.on_chunk = [&](uint32_t id) {  // from the engine thread itself, at the third chunk of the first request
    if (id == 1 && heard.Of(id).n_chunks == 3) running.load()->Pause(id);
  };
  Engine engine(Tiny(), SmallEngine(), &heard);
  running = &engine;
  const uint32_t id = engine.Submit(spec);
  CHECK_EQ(id, 1U);
  heard.WaitForChunks(id, 3);
  heard.WaitForEnd(engine.Submit(WithoutEnd(LongPrompt(10, 2, 20))));
  CHECK_EQ(heard.Of(id).n_chunks, 3U);
  engine.Resume(id);
  CHECK_EQ(heard.WaitForEnd(id).tokens, whole.tokens);
}

TEST("a sink may submit, pause, resume and abort from within its calls") {
  Recorder heard;
  std::atomic<Engine*> running{nullptr};
  std::atomic<uint32_t> submitted{1};
  heard.on_chunk = [&](uint32_t id) {
    Engine& engine = *running.load();
    engine.Pause(id);
    engine.Resume(id);
    if (id % 2 == 0 && heard.Of(id).n_chunks == 2) engine.Abort(id);
  };
  heard.on_end = [&](uint32_t) {
    if (submitted.load() < 6) {
      running.load()->Submit(WithoutEnd(LongPrompt(12, static_cast<int32_t>(submitted++), 6)));
    }
  };
  Engine engine(Tiny(), SmallEngine(), &heard);
  running = &engine;
  engine.Submit(WithoutEnd(LongPrompt(12, 0, 6)));
  heard.WaitForEnds(6);
  engine.Close();
}

TEST("a slow sink slows its engine down and loses nothing") {
  Recorder heard;
  heard.on_chunk = [](uint32_t) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  Engine engine(Tiny(), SmallEngine(), &heard);
  std::vector<uint32_t> ids;
  for (int32_t i = 0; i < 6; ++i) ids.push_back(engine.Submit(WithoutEnd(LongPrompt(10, i, 10))));
  for (const uint32_t id : ids) CHECK_EQ(heard.WaitForEnd(id).tokens.size(), 10U);
}

TEST("close ends what runs, waits and is paused, each with one ending, from any number of threads at once") {
  Session session;
  std::vector<uint32_t> ids;
  for (int32_t i = 0; i < 8; ++i) ids.push_back(session.engine.Submit(WithoutEnd(LongPrompt(20, i, 400))));
  session.heard.WaitForChunks(ids[0], 1);
  session.engine.Pause(ids[1]);
  std::vector<std::thread> closers;
  for (int i = 0; i < 3; ++i) closers.emplace_back([&] { session.engine.Close(); });
  for (std::thread& closer : closers) closer.join();
  for (const uint32_t id : ids) {
    const Recorder::Heard heard = session.heard.Of(id);  // without waiting: close() has told all
    CHECK(heard.ended);
    CHECK(heard.ending.reason == EndReason::kAbort);
  }
  session.engine.Abort(ids[0]);
  session.engine.Resume(ids[1]);
  CHECK_EQ(session.engine.stats().active, 0U);
}

TEST("a silent close in the midst of steps tells the sink nothing more") {
  for (int32_t round = 0; round < 4; ++round) {
    Session session(SmallEngine(1 + round / 2));
    const uint32_t id = session.engine.Submit(WithoutEnd(LongPrompt(20, round, 400)));
    if (round % 2 == 0) session.heard.WaitForChunks(id, 1);
    session.engine.CloseSilently();
    const size_t n_chunks = session.heard.Of(id).n_chunks;
    CHECK_EQ(session.heard.n_ended(), 0U);
    session.engine.Close();
    CHECK_EQ(session.heard.n_ended(), 0U);
    CHECK_EQ(session.heard.Of(id).n_chunks, n_chunks);
  }
}

TEST("two engines share a model, and the last one that lets go of it frees it") {
  std::shared_ptr<Model> model = Model::Load(TinyOptions());
  const std::weak_ptr<Model> watch = model;
  Recorder heard_one;
  Recorder heard_two;
  Engine one(model, SmallEngine(), &heard_one);
  Engine two(model, SmallEngine(), &heard_two);
  model.reset();
  const RequestSpec spec = WithoutEnd(LongPrompt(30, 1, 12));
  const uint32_t id_one = one.Submit(spec);
  const uint32_t id_two = two.Submit(spec);
  CHECK_EQ(heard_one.WaitForEnd(id_one).tokens, heard_two.WaitForEnd(id_two).tokens);
  one.ReleaseModel();  // not before it is closed
  CHECK_EQ(one.model().n_vocab(), Tiny()->n_vocab());
  one.Close();
  one.ReleaseModel();
  CHECK(!watch.expired());
  two.Close();
  two.ReleaseModel();
  CHECK(watch.expired());
  CHECK_EQ(CodeOf([&] { one.Submit(spec); }), "PHI2_CLOSED");
}

TEST("an engine that cannot have its cache says so and leaves nothing behind") {
  Recorder heard;
  EngineOptions options = SmallEngine();
  options.n_ctx = 1U << 31;
  CHECK_EQ(CodeOf([&] { const Engine engine(Tiny(), options, &heard); }), "PHI2_CONTEXT_FAILED");
}

}  // namespace

TEST_MAIN()
