// What an engine puts into its steps, counted in steps and not by a clock.
#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::BatchBuilder;
using phi2::EndReason;
using phi2::Engine;
using phi2::EngineOptions;
using phi2::RequestSpec;
using phi2::test::Ask;
using phi2::test::LongPrompt;
using phi2::test::Recorder;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::WithoutEnd;

struct Read {
  size_t first;
  size_t count;
};
using Step = std::map<uint32_t, Read>;  // by the answer's id

/// Keeps what every step held.
class StepRecorder : public Recorder {
 public:
  void OnStep(const std::vector<BatchBuilder::Part>& parts) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    Step step;
    for (const BatchBuilder::Part& part : parts) step[part.sequence->id()] = {part.first, part.count};
    steps_.push_back(std::move(step));
  }

  std::vector<Step> steps() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return steps_;
  }

  void WaitForSteps(size_t n) {
    while (steps().size() < n) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  std::mutex mutex_;
  std::vector<Step> steps_;
};

struct Session {
  explicit Session(const EngineOptions& options) : engine(Tiny(), options, &heard) {}
  StepRecorder heard;
  Engine engine;

  uint32_t Submit(const RequestSpec& spec) { return engine.Submit(WithoutEnd(spec)); }
};

EngineOptions LargeEngine() {
  EngineOptions options = SmallEngine();
  options.n_ctx = 4096;
  options.n_batch = 2048;
  options.n_seq_max = 8;
  return options;
}

/// How often each position of the answers' prompts was decoded, in all steps and for all answers.
std::vector<size_t> Readings(const std::vector<Step>& steps, size_t n_positions) {
  std::vector<size_t> readings(n_positions);
  for (const Step& step : steps) {
    for (const auto& [id, read] : step) {
      for (size_t i = read.first; i < std::min(read.first + read.count, n_positions); ++i) ++readings[i];
    }
  }
  return readings;
}

TEST("beside a long prompt a short answer has a token in every step, and the prompt goes on in every step") {
  EngineOptions options = LargeEngine();
  options.n_batch = 32;  // so that the prompt needs many steps
  Session session(options);
  const uint32_t chat = session.Submit(LongPrompt(10, 1, 30));
  session.heard.WaitForChunks(chat, 1);
  const uint32_t book = session.Submit(LongPrompt(2000, 2, 1));
  const uint32_t second = session.Submit(LongPrompt(10, 3, 30));
  for (const uint32_t id : {chat, book, second}) session.heard.WaitForEnd(id);

  for (const uint32_t id : {chat, second}) {
    size_t n_own = 0;
    bool ended = false;
    for (const Step& step : session.heard.steps()) {
      const auto own = step.find(id);
      if (own == step.end()) {
        ended = ended || n_own > 0;
        continue;
      }
      CHECK(!ended);  // no step without it between its first and its last
      ++n_own;
    }
    CHECK(n_own >= 30);
  }
  bool reads = false;
  size_t read = 0;
  for (const Step& step : session.heard.steps()) {
    const auto own = step.find(book);
    if (own == step.end()) {
      CHECK(!reads || read == 2000);
      continue;
    }
    reads = true;
    read += own->second.count;
  }
  CHECK_EQ(read, size_t{2000});
}

TEST("what several prompts begin with is read once, whenever they come") {
  constexpr size_t kCommon = 600;
  Session session(LargeEngine());
  std::vector<uint32_t> ids;
  for (int32_t i = 0; i < 8; ++i) {
    RequestSpec spec = LongPrompt(kCommon, 1, 4);
    for (int32_t k = 0; k < 5; ++k) spec.tokens.push_back(100 + 10 * i + k);
    ids.push_back(session.Submit(spec));
  }
  for (const uint32_t id : ids) CHECK(session.heard.WaitForEnd(id).ending.reason == EndReason::kLength);
  CHECK_EQ(Readings(session.heard.steps(), kCommon), std::vector<size_t>(kCommon, 1));
}

TEST("several answers to one prompt come from one reading; only its last token is read for each") {
  Session session(LargeEngine());
  RequestSpec spec = WithoutEnd(LongPrompt(300, 1, 6));
  spec.sampler.temp = 1;
  const uint32_t first = session.engine.Submit(spec, {1, 2, 3, 4, 5});
  for (uint32_t id = first; id < first + 5; ++id) CHECK_EQ(session.heard.WaitForEnd(id).ending.n_generated, 6);
  std::vector<size_t> expected(300, 1);
  expected.back() = 5;
  CHECK_EQ(Readings(session.heard.steps(), 300), expected);
  CHECK_EQ(session.heard.n_ended(), size_t{5});
}

TEST("a long step that reads one prompt is cut for another, which does not wait until the first is read") {
  Session session(LargeEngine());
  const uint32_t book = session.Submit(LongPrompt(2000, 1, 3));
  session.heard.WaitForSteps(1);  // the second is one of all the rest
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const uint32_t chat = session.Submit(LongPrompt(5, 2, 1));
  session.heard.WaitForEnd(chat);
  for (const Step& step : session.heard.steps()) {
    const auto own = step.find(book);
    if (step.count(chat) > 0) CHECK(own == step.end() || own->second.first + own->second.count < 2000);
  }
  CHECK_EQ(session.heard.WaitForEnd(book).ending.n_generated, 3);
  CHECK_EQ(Readings(session.heard.steps(), 5), std::vector<size_t>(5, 2));  // what was cut is not counted
}

TEST("a prompt comes to its end however often its steps are cut") {
  Session session(LargeEngine());
  const uint32_t book = session.Submit(LongPrompt(2000, 1, 3));
  size_t n = 0;
  uint32_t before = book;
  while (!session.heard.Of(book).ended) {
    const uint32_t chat = session.Submit(LongPrompt(3, static_cast<int32_t>(++n), 1));
    if (n % 2 == 0) session.engine.Abort(chat);
    if (n > 1) session.heard.WaitForEnd(before);
    before = chat;
  }
  CHECK_EQ(session.heard.Of(book).ending.n_generated, 3);
  session.heard.WaitForEnds(n + 1);
}

TEST("a prompt whose steps have a fixed size comes to its end while others come and go for whom there is no place") {
  EngineOptions options = LargeEngine();
  options.n_seq_max = 1;
  options.n_queue_max = 1 << 20;  // more come during a step than usually may wait, where steps are slow
  Session session(options);
  RequestSpec spec = LongPrompt(2000, 1, 3);
  spec.reproducible = true;
  const uint32_t book = session.Submit(spec);
  size_t n = 1;
  for (; !session.heard.Of(book).ended; ++n) {
    session.engine.Abort(session.Submit(LongPrompt(3, 2, 1)));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK_EQ(session.heard.Of(book).ending.n_generated, 3);
  session.heard.WaitForEnds(n);
}

TEST("who has lost its place reads what it had, and says the same as alone") {
  EngineOptions options = SmallEngine();
  options.n_ctx = 256;
  options.n_batch = 32;
  const std::vector<RequestSpec> specs = {Ask("What is 7 * 8?", 120), Ask("Name a colour.", 120),
                                          Ask("What color is an elephant?", 120), Ask("What is 2 + 4?", 120)};
  std::vector<std::vector<llama_token>> alone;
  {
    Session session(options);
    for (const RequestSpec& spec : specs) alone.push_back(session.heard.WaitForEnd(session.Submit(spec)).tokens);
    CHECK_EQ(session.engine.stats().preemptions, uint64_t{0});
  }
  Session session(options);
  std::vector<uint32_t> ids;
  for (const RequestSpec& spec : specs) ids.push_back(session.Submit(spec));
  for (size_t i = 0; i < ids.size(); ++i) {
    const Recorder::Heard heard = session.heard.WaitForEnd(ids[i]);
    CHECK_EQ(heard.tokens, alone[i]);
    CHECK_EQ(heard.ending.n_generated, 120);
  }
  const uint64_t preemptions = session.engine.stats().preemptions;
  CHECK(preemptions >= 2 && preemptions < 20);
}

TEST("a reproducible answer is not preempted by others, which are") {
  EngineOptions options = SmallEngine();
  options.n_ctx = 256;
  options.n_seq_max = 4;
  Session session(options);
  RequestSpec spec = LongPrompt(8, 0, 150);
  spec.reproducible = true;
  const uint32_t reproducible = session.Submit(spec);
  for (int32_t i = 1; i < 4; ++i) session.Submit(LongPrompt(8, i, 100));
  session.heard.WaitForEnds(4);
  CHECK(session.engine.stats().preemptions > 0);
  std::vector<size_t> readings(8 + 149);
  for (const Step& step : session.heard.steps()) {
    const auto own = step.find(reproducible);
    if (own == step.end()) continue;
    for (size_t i = 0; i < own->second.count; ++i) ++readings[own->second.first + i];
  }
  CHECK_EQ(readings, std::vector<size_t>(8 + 149, 1));
}

TEST("with many more answers than cells all come to their ends, each after a few interruptions") {
  EngineOptions options = SmallEngine();
  options.n_ctx = 256;
  options.n_seq_max = 16;
  Session session(options);
  std::vector<uint32_t> ids;
  for (int32_t i = 0; i < 24; ++i) ids.push_back(session.Submit(LongPrompt(8, i, 100)));
  for (const uint32_t id : ids) CHECK_EQ(session.heard.WaitForEnd(id).ending.n_generated, 100);
  // Promised 32, 64 and 128 further tokens: never more than two interruptions each.
  CHECK(session.engine.stats().preemptions <= 2 * ids.size());
}

TEST("a lower priority waits while a higher one does, and runs when none does") {
  EngineOptions options = SmallEngine();
  options.n_seq_max = 1;
  Session session(options);
  std::vector<uint32_t> order;  // filled on the engine thread, read when that has ended
  session.heard.on_end = [&](uint32_t id) { order.push_back(id); };
  RequestSpec low = LongPrompt(10, 1, 40);
  low.priority = -5;
  RequestSpec high = LongPrompt(10, 2, 5);
  high.priority = 5;
  const uint32_t first_low = session.Submit(low);
  session.heard.WaitForChunks(first_low, 1);
  const uint32_t second_low = session.Submit(low);
  const uint32_t normal = session.Submit(LongPrompt(10, 3, 5));
  const uint32_t highest = session.Submit(high);
  session.heard.WaitForEnds(4);
  session.engine.Close();
  CHECK_EQ(order.size(), size_t{4});
  CHECK(order[0] == normal || order[0] == highest);  // normal can have ended before the highest came
  CHECK_EQ(order[2], first_low);
  CHECK_EQ(order[3], second_low);
}

}  // namespace

TEST_MAIN()
