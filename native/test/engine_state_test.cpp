// What other threads ask of the engine thread between two steps: work of their own, and cells of the cache.
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "core/error.h"
#include "recorder.h"
#include "tiny.h"

namespace {

using phi2::Engine;
using phi2::EngineOptions;
using phi2::RequestSpec;
using phi2::test::CodeOf;
using phi2::test::LongPrompt;
using phi2::test::Recorder;
using phi2::test::SmallEngine;
using phi2::test::Tiny;
using phi2::test::WithoutEnd;

constexpr size_t kTokens = 40;

void Ignore(uint32_t) {}

std::vector<llama_token> Tokens(int32_t salt) { return LongPrompt(kTokens, salt, 0).tokens; }

std::vector<uint8_t> Room(const Engine& engine) {
  return std::vector<uint8_t>(kTokens * engine.kv_shape().cell_bytes());
}

/// The cells of a prompt that the engine has just read.
std::vector<uint8_t> Cells(Engine& engine, Recorder& heard, int32_t salt) {
  heard.WaitForEnd(engine.Submit(LongPrompt(kTokens, salt, 0)));
  std::vector<uint8_t> cells = Room(engine);
  CHECK(engine.ReadCells(Tokens(salt), 0, kTokens, cells.data()));
  return cells;
}

TEST("cells that one engine gives and another takes are read no more, and go on to the same text") {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_F32}) {
    for (const llama_flash_attn_type attention : {LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED}) {
      EngineOptions options = SmallEngine();
      options.type_kv = type;
      options.flash_attn = attention;
      Recorder heard;
      Engine from(Tiny(), options, &heard);
      const std::vector<uint8_t> cells = Cells(from, heard, 1);
      Recorder heard_there;
      Engine to(Tiny(), options, &heard_there);
      CHECK_EQ(to.CachedPrefix(Tokens(1)), 0U);
      CHECK(to.WriteCells(Tokens(1), 0, cells.data(), Ignore));
      CHECK_EQ(to.CachedPrefix(Tokens(1)), kTokens);

      RequestSpec spec = WithoutEnd(LongPrompt(kTokens, 1, 8));
      spec.tokens.push_back(11);
      const Recorder::Heard here = heard.WaitForEnd(from.Submit(spec));
      const Recorder::Heard there = heard_there.WaitForEnd(to.Submit(spec));
      CHECK_EQ(there.ending.n_cached, static_cast<int32_t>(kTokens));
      CHECK_EQ(there.tokens, here.tokens);
    }
  }
}

TEST("cells that are not there, do not join on to what is, or hold no numbers are not taken") {
  Recorder heard;
  Engine engine(Tiny(), SmallEngine(), &heard);
  std::vector<uint8_t> cells = Cells(engine, heard, 1);
  CHECK(!engine.ReadCells(Tokens(2), 0, kTokens, cells.data()));
  CHECK(!engine.WriteCells(Tokens(2), 10, cells.data(), Ignore));
  CHECK_EQ(engine.CachedPrefix(Tokens(2)), 0U);
  for (size_t i = 0; i < 4; ++i) cells[i] = 0xFF;  // F16: no number
  CHECK_EQ(CodeOf([&] { engine.WriteCells(Tokens(2), 0, cells.data(), Ignore); }), "PHI2_INVALID_STATE");
}

TEST("work between two steps runs in its turn, and what it throws reaches who waits for it") {
  Recorder heard;
  Engine engine(Tiny(), SmallEngine(), &heard);
  const uint32_t id = engine.Submit(WithoutEnd(LongPrompt(10, 1, 200)));
  std::vector<std::thread> threads;
  int sum = 0;  // of the engine thread
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) engine.RunBetweenSteps([&sum] { ++sum; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(sum, 30);
  std::string said;
  try {
    engine.RunBetweenSteps([] { throw std::runtime_error("broken"); });
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  CHECK_EQ(said, "broken");
  engine.Abort(id);
  heard.WaitForEnd(id);
}

TEST("whoever waits for cells or for work hears PHI2_CLOSED when the engine closes, silently or not") {
  for (int round = 0; round < 6; ++round) {
    Recorder heard;
    Engine engine(Tiny(), SmallEngine(1 + round % 2), &heard);
    const std::vector<uint8_t> cells = Cells(engine, heard, 1);
    engine.Submit(WithoutEnd(LongPrompt(20, 3, 400)));
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&engine, &cells, i] {
        std::vector<uint8_t> room = Room(engine);
        const std::string code = CodeOf([&] {
          for (int32_t salt = 2;; ++salt) {
            if (i == 0) engine.ReadCells(Tokens(1), 0, kTokens, room.data());
            if (i == 1) engine.CachedPrefix(Tokens(salt % 5));
            if (i == 2) {
              const auto on_start = [&engine, salt](uint32_t id) {
                if (salt % 3 == 0) engine.Abort(id);
              };
              try {
                engine.WriteCells(Tokens(10 + salt % 9), 0, cells.data(), on_start);
              } catch (const phi2::Error& error) {
                if (std::string(error.code()) != "PHI2_ABORTED") throw;
              }
            }
          }
        });
        CHECK_EQ(code, "PHI2_CLOSED");
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 * round));
    round % 3 == 0 ? engine.CloseSilently() : engine.Close();
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(CodeOf([&] { engine.RunBetweenSteps([] {}); }), "PHI2_CLOSED");
  }
}

}  // namespace

TEST_MAIN()
