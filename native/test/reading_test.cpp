// Long work that another thread cancels: perplexity, importance matrix, quantization.
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "check.h"
#include "core/cancellation.h"
#include "core/error.h"
#include "core/importance.h"
#include "core/perplexity.h"
#include "core/quantize.h"
#include "tiny.h"

namespace {

namespace fs = std::filesystem;

using phi2::Cancellation;
using phi2::ReadingOptions;
using phi2::test::CodeOf;
using phi2::test::TinyOptions;

ReadingOptions Reading(uint32_t n_chunks, int32_t n_threads = 1) {
  ReadingOptions options;
  options.model = TinyOptions();
  options.context.n_ctx = 64;
  options.context.n_batch = 128;
  options.context.n_seq_max = 4;
  options.context.n_threads = n_threads;
  options.n_chunks = n_chunks;
  for (int i = 0; i < 300; ++i) options.text += "The sky is blue because air scatters the light of the sun. ";
  return options;
}

/// Sets a flag from a thread of its own after a while.
class Later {
 public:
  template <typename Call>
  Later(int milliseconds, Call call)
      : thread_([milliseconds, call] {
          std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
          call();
        }) {}
  ~Later() { thread_.join(); }

 private:
  std::thread thread_;
};

TEST("perplexity with a reference is the same whether chunks are read together or alone") {
  phi2::PerplexityOptions options;
  options.reading = Reading(2);
  options.path_base = options.reading.model.path;
  const phi2::PerplexityResult together = phi2::Perplexity(options);
  options.reading.context.n_batch = 64;
  const phi2::PerplexityResult alone = phi2::Perplexity(options);
  CHECK_EQ(together.scores.nll.size(), 2U * 31U);
  for (size_t i = 0; i < together.scores.nll.size(); ++i) {
    CHECK(std::abs(together.scores.nll[i] - alone.scores.nll[i]) < 0.05);
    CHECK(std::abs(together.scores.kld[i]) < 1e-3);
  }
}

TEST("perplexity and importance can be cancelled from another thread at any moment") {
  for (const int milliseconds : {0, 50, 150, 400}) {
    std::atomic<bool> cancelled{false};
    phi2::PerplexityOptions perplexity;
    perplexity.reading = Reading(0, 2);
    perplexity.reading.cancelled = perplexity.reading.model.cancelled = &cancelled;
    {
      const Later later(milliseconds, [&] { cancelled = true; });
      const std::string code = CodeOf([&] { phi2::Perplexity(perplexity); });
      CHECK(code.empty() || code == "PHI2_ABORTED");
    }
    cancelled = false;
    phi2::ImportanceOptions importance;
    importance.reading = perplexity.reading;
    const Later later(milliseconds, [&] { cancelled = true; });
    const std::string code = CodeOf([&] { phi2::ComputeImportance(importance); });
    CHECK(code.empty() || code == "PHI2_ABORTED");
  }
}

TEST("an importance matrix has one finite sum for every column of every matrix of the blocks") {
  phi2::ImportanceOptions options;
  options.reading = Reading(2);
  options.process_output = true;
  const phi2::Importance importance = phi2::ComputeImportance(options);
  CHECK_EQ(importance.tensors.size(), 5U * 6U + 1U);
  for (const phi2::TensorImportance& tensor : importance.tensors) {
    CHECK_EQ_IN(tensor.count, 128U, tensor.name);
    for (const float sum : tensor.sums) CHECK(std::isfinite(sum));
  }
}

TEST("quantizing can be cancelled from another thread at any moment, and left alone only while it is at one tensor") {
  const fs::path out = fs::temp_directory_path() / ("phi2-quantized-" + std::to_string(std::random_device{}()));
  phi2::QuantizeOptions options;
  TinyOptions();
  options.path_in = phi2::test::TinyPath();
  options.path_out = out.string();
  options.ftype = LLAMA_FTYPE_MOSTLY_Q4_0;
  options.n_threads = 2;
  options.allow_requantize = true;
  for (const int milliseconds : {0, 10, 100, 5000}) {
    Cancellation cancellation;
    options.cancellation = &cancellation;
    if (milliseconds == 0) cancellation.Cancel();
    std::atomic<bool> done{false};
    const Later later(0, [&] {
      for (int i = 0; i < milliseconds && !done; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        cancellation.cancelled();
      }
      cancellation.Leave();  // it stops behind its tensor until it is cancelled
      cancellation.Cancel();
    });
    const std::string code = CodeOf([&] { phi2::Quantize(options); });
    done = true;
    CHECK(code.empty() || code == "PHI2_ABORTED");
    if (milliseconds == 0) CHECK_EQ(code, "PHI2_ABORTED");
  }
  fs::remove(out);
}

}  // namespace

TEST_MAIN()
