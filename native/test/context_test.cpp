#include "core/context.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "tiny.h"

namespace {

using phi2::Batch;
using phi2::Context;
using phi2::EngineOptions;
using phi2::test::CodeOf;
using phi2::test::LongPrompt;
using phi2::test::SmallEngine;
using phi2::test::Tiny;

bool ShouldAbort(void* data) { return static_cast<std::atomic<bool>*>(data)->load(std::memory_order_relaxed); }

/// The whole batch as one prompt from position 0 on, with logits of the last.
void Fill(Batch& batch, size_t n_tokens) {
  const std::vector<llama_token> tokens = LongPrompt(n_tokens, 1, 0).tokens;
  batch->n_tokens = static_cast<int32_t>(n_tokens);
  for (size_t i = 0; i < n_tokens; ++i) {
    batch->token[i] = tokens[i];
    batch->pos[i] = static_cast<llama_pos>(i);
    batch->n_seq_id[i] = 1;
    batch->seq_id[i][0] = 0;
    batch->logits[i] = i + 1 == n_tokens ? 1 : 0;
  }
}

std::vector<float> Logits(const EngineOptions& options) {
  std::atomic<bool> aborted{false};
  Context context(*Tiny(), options, ShouldAbort, &aborted);
  Batch batch(static_cast<int32_t>(context.n_batch()));
  Fill(batch, context.n_batch());
  CHECK_EQ(llama_decode(context.get(), *batch), 0);
  llama_synchronize(context.get());
  const float* logits = llama_get_logits_ith(context.get(), -1);
  return {logits, logits + Tiny()->n_vocab()};
}

TEST("contexts that are made, used and freed at once by several threads give the same logits") {
  const std::vector<float> expected = Logits(SmallEngine());
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2; ++round) CHECK(Logits(SmallEngine()) == expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST("another thread can abort a step, and the context works on afterwards") {
  EngineOptions options = SmallEngine(2);
  options.n_batch = 512;
  std::atomic<bool> aborted{false};
  Context context(*Tiny(), options, ShouldAbort, &aborted);
  Batch batch(512);
  for (int round = 0; round < 6; ++round) {
    aborted = false;
    llama_memory_clear(context.memory(), false);
    Fill(batch, 512);
    std::thread other([&aborted, round] {
      std::this_thread::sleep_for(std::chrono::milliseconds(round * 10));
      aborted = true;
    });
    const int32_t status = llama_decode(context.get(), *batch);
    other.join();
    CHECK(status == 0 || status == 2);
    if (round == 0) {  // before it began
      aborted = true;
      CHECK_EQ(llama_decode(context.get(), *batch), 2);
    }
  }
  aborted = false;
  llama_memory_clear(context.memory(), false);
  CHECK_EQ(llama_decode(context.get(), *batch), 0);
}

TEST("one thread alone needs no pool, and every type of cache and attention works") {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_F32}) {
    for (const llama_flash_attn_type attention : {LLAMA_FLASH_ATTN_TYPE_DISABLED, LLAMA_FLASH_ATTN_TYPE_ENABLED}) {
      EngineOptions options = SmallEngine();
      options.n_threads = type == GGML_TYPE_F16 ? 1 : 2;
      options.type_kv = type;
      options.flash_attn = attention;
      CHECK_EQ(Logits(options).size(), static_cast<size_t>(Tiny()->n_vocab()));
    }
  }
}

TEST("a cache larger than the machine's memory is refused before it is asked for") {
  EngineOptions options = SmallEngine();
  options.n_ctx = 1U << 31;
  CHECK_EQ(CodeOf([&] { const Context context(*Tiny(), options, nullptr, nullptr); }), "PHI2_CONTEXT_FAILED");
}

}  // namespace

TEST_MAIN()
