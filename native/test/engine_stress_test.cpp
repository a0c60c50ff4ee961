// Threads that use an engine at random moments, with fixed seeds: what the sanitizers are there for. The seeds fix what
// each thread does, not when.
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/error.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::DraftOptions;
using phi2::Engine;
using phi2::EngineOptions;
using phi2::RequestSpec;
using phi2::Speculate;
using phi2::test::CodeOf;
using phi2::test::LongPrompt;
using phi2::test::Recorder;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::WithoutEnd;

constexpr int kThreads = 3;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }

 private:
  std::mt19937 engine_;
};

RequestSpec AnyRequest(Random& random) {
  const auto salt = static_cast<int32_t>(random.Below(3));  // few, so that prompts share their beginnings
  RequestSpec spec = LongPrompt(1 + random.Below(80), salt, static_cast<int32_t>(random.Below(12)));
  if (random.Below(3) > 0) spec = WithoutEnd(std::move(spec));
  if (random.Below(3) == 0) {
    spec.sampler.temp = 0.9F;
    spec.sampler.top_p = 0.9F;
    spec.sampler.seed = random.Below(1000);
  }
  if (random.Below(4) == 0) spec.n_probs = static_cast<int32_t>(random.Below(4));
  if (random.Below(6) == 0) spec.prompt_logprobs = true;
  if (random.Below(6) == 0) spec.reproducible = true;
  constexpr Speculate kWays[] = {Speculate::kNone, Speculate::kLookup, Speculate::kDraft};
  spec.speculate = kWays[random.Below(3)];
  if (spec.speculate != Speculate::kNone) spec.n_draft = static_cast<int32_t>(random.Below(6));
  spec.priority = static_cast<int32_t>(random.Below(3)) - 1;
  return spec;
}

/// What one thread does until it has done its share or the engine is closed.
class User {
 public:
  User(Engine& engine, uint32_t seed, std::atomic<uint32_t>& n_submitted)
      : engine_(engine), random_(seed), n_submitted_(n_submitted) {}

  void Run(int n_calls) {
    for (int i = 0; i < n_calls; ++i) {
      const std::string code = CodeOf([this] { Call(); });
      if (code == "PHI2_CLOSED") return;
      CHECK(code.empty() || code == "PHI2_BUSY");
      if (random_.Below(4) == 0) std::this_thread::sleep_for(std::chrono::microseconds(random_.Below(3000)));
    }
    // Nothing stays paused, else it would not end.
    for (const uint32_t id : ids_) engine_.Resume(id);
  }

 private:
  void Call() {
    switch (random_.Below(7)) {
      case 0:
      case 1:
        Submit();
        break;
      case 2:
        engine_.Abort(AnyId());
        break;
      case 3:
        engine_.Pause(AnyId());
        break;
      case 4:
      case 5:
        engine_.Resume(AnyId());
        break;
      default:
        CHECK(engine_.stats().active <= engine_.n_seq_max());
    }
  }

  void Submit() {
    std::vector<uint32_t> seeds(1 + random_.Below(8) / 6 * 2);  // seldom three answers to one prompt
    for (uint32_t& seed : seeds) seed = random_.Below(1000);
    const uint32_t first = engine_.Submit(AnyRequest(random_), seeds);
    for (uint32_t i = 0; i < seeds.size(); ++i) ids_.push_back(first + i);
    n_submitted_ += static_cast<uint32_t>(seeds.size());
  }

  /// One of its own, or one of somebody else, or of nobody.
  uint32_t AnyId() {
    return ids_.empty() || random_.Below(4) == 0 ? random_.Below(30)
                                                 : ids_[random_.Below(static_cast<uint32_t>(ids_.size()))];
  }

  Engine& engine_;
  Random random_;
  std::atomic<uint32_t>& n_submitted_;
  std::vector<uint32_t> ids_;
};

enum class Finish { kDrain, kClose, kCloseSilently, kDestroy };

/// So small that requests are refused, and give up their places to others.
EngineOptions Crowded(uint32_t seed) {
  EngineOptions options = SmallEngine(1 + static_cast<int32_t>(seed % 2));
  options.n_ctx = 192;
  options.n_queue_max = 10;
  return options;
}

void Stress(uint32_t seed, Finish finish) {
  Random random(seed);
  Recorder heard;
  std::atomic<uint32_t> n_submitted{0};
  const EngineOptions options = Crowded(seed);
  auto engine = std::make_unique<Engine>(Tiny(), options, &heard, DraftOptions{Tiny(), options.n_threads});
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { User(*engine, seed * 100 + i, n_submitted).Run(18); });
  }
  if (finish == Finish::kClose || finish == Finish::kCloseSilently) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random.Below(60)));
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] { finish == Finish::kClose ? engine->Close() : engine->CloseSilently(); });
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (finish == Finish::kDrain) {
    // Another thread may have paused a request after its owner resumed it.
    for (uint32_t id = 1; id <= n_submitted; ++id) engine->Resume(id);
    heard.WaitForEnds(n_submitted);
    CHECK_EQ(engine->stats().active, 0U);
    CHECK_EQ(engine->stats().queued, 0U);
  }
  engine.reset();
  if (finish != Finish::kCloseSilently) CHECK_EQ(heard.n_ended(), n_submitted.load());
}

TEST("requests from several threads at random moments each end once") {
  for (uint32_t seed = 1; seed <= 2; ++seed) Stress(seed, Finish::kDrain);
}

TEST("close in the midst of calls from several threads ends every request once") {
  for (uint32_t seed = 11; seed <= 18; ++seed) Stress(seed, Finish::kClose);
}

TEST("a silent close in the midst of calls from several threads is harmless") {
  for (uint32_t seed = 21; seed <= 26; ++seed) Stress(seed, Finish::kCloseSilently);
}

TEST("an engine destroyed with requests on their way ends every one once") {
  for (uint32_t seed = 31; seed <= 36; ++seed) Stress(seed, Finish::kDestroy);
}

TEST("whoever lets go of an engine last destroys it, in the midst of its steps") {
  for (uint32_t seed = 41; seed <= 46; ++seed) {
    Recorder heard;
    std::atomic<uint32_t> n_submitted{0};
    const EngineOptions options = Crowded(seed);
    auto engine = std::make_shared<Engine>(Tiny(), options, &heard, DraftOptions{Tiny(), options.n_threads});
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([held = engine, &n_submitted, seed, i]() mutable {
        User(*held, seed * 100 + i, n_submitted).Run(6);
        held.reset();
      });
    }
    engine.reset();
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(heard.n_ended(), n_submitted.load());
  }
}

TEST("engines that come and go beside each other on one model do not disturb each other") {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([i] {
      for (int round = 0; round < 3; ++round) {
        Recorder heard;
        Engine engine(Tiny(), SmallEngine(), &heard);
        const uint32_t id = engine.Submit(WithoutEnd(LongPrompt(40, static_cast<int32_t>(i), 5)));
        CHECK_EQ(heard.WaitForEnd(id).ending.n_generated, 5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_MAIN()
