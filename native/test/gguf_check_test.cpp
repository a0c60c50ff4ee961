#include "core/gguf_check.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "gguf_header.h"

// Read by AddressSanitizer: an allocation of more than this is an error. The longest text that is read has 16 MB.
extern "C" const char* __asan_default_options() { return "max_allocation_size_mb=64"; }  // NOLINT

namespace {

namespace fs = std::filesystem;

using phi2::test::HeaderMutator;
using phi2::test::HeaderWriter;

constexpr uint64_t kWidth = 64;

/// A sound Phi-2 of one layer with six tokens.
HeaderWriter SoundHeader(bool fused) {
  const std::vector<std::string> tokens = {"a", "b", "ab", "\xC4\xA0", ",", "<|endoftext|>"};
  HeaderWriter header;
  header.Begin(fused ? 15 : 19, 15);
  header.Text("general.architecture", "phi2");
  header.Text("general.name", "sound");
  header.Number("phi2.context_length", 2048);
  header.Number("phi2.embedding_length", kWidth);
  header.Number("phi2.feed_forward_length", kWidth);
  header.Number("phi2.block_count", 1);
  header.Number("phi2.attention.head_count", 2);
  header.Number("phi2.rope.dimension_count", 32);
  header.Real("phi2.attention.layer_norm_epsilon", 1e-5F);
  header.Text("tokenizer.ggml.model", "gpt2");
  header.Text("tokenizer.ggml.pre", "phi-2");
  header.Texts("tokenizer.ggml.tokens", tokens);
  header.Ints("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 3});
  header.Texts("tokenizer.ggml.merges", {"a b"});
  header.Number("tokenizer.ggml.eos_token_id", 5);

  const auto add = [&header](const std::string& module, const std::vector<uint64_t>& weight, uint64_t bias) {
    header.Tensor(module + ".weight", weight);
    header.Tensor(module + ".bias", {bias});
  };
  header.Tensor("token_embd.weight", {kWidth, tokens.size()});
  add("output_norm", {kWidth}, kWidth);
  add("output", {kWidth, tokens.size()}, tokens.size());
  add("blk.0.attn_norm", {kWidth}, kWidth);
  if (fused) {
    add("blk.0.attn_qkv", {kWidth, 3 * kWidth}, 3 * kWidth);
  } else {
    for (const char* matrix : {"q", "k", "v"}) add(std::string("blk.0.attn_") + matrix, {kWidth, kWidth}, kWidth);
  }
  for (const char* matrix : {"attn_output", "ffn_up", "ffn_down"})
    add(std::string("blk.0.") + matrix, {kWidth, kWidth}, kWidth);
  return header;
}

/// A file for one content after the other, gone at the end of the program. It is never emptied in between: a file
/// system that writes an emptied file out at once would make the test ten times as slow.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(fs::temp_directory_path() / ("phi2-check-" + std::to_string(std::random_device{}()) + ".gguf")),
        file_(path_, std::ios::binary | std::ios::out) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    file_.close();
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

  /// These bytes, and zeros up to `size`.
  std::string Write(std::string bytes, uint64_t size) {
    bytes.resize(std::max<uint64_t>(bytes.size(), size));
    file_.seekp(0).write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
    if (bytes.size() < largest_) fs::resize_file(path_, bytes.size());
    largest_ = std::max(largest_, bytes.size());
    return path_.string();
  }

 private:
  fs::path path_;
  std::ofstream file_;
  size_t largest_ = 0;
};

TEST("a sound header passes, with q, k and v apart or in one") {
  TemporaryFile file;
  for (const bool fused : {false, true}) {
    const HeaderWriter header = SoundHeader(fused);
    const phi2::GgufSummary summary = phi2::CheckGguf(file.Write(header.bytes(), header.FileSize()));
    CHECK_EQ(summary.name, "sound");
    CHECK_EQ(summary.layers, 1U);
    CHECK_EQ(summary.missing_end_of_text, -1);
  }
}

TEST("10,000 damaged headers pass or are refused with a code, without a large allocation") {
  TemporaryFile file;
  size_t n_passed = 0;
  size_t n_refused = 0;
  for (const bool fused : {false, true}) {
    const HeaderWriter header = SoundHeader(fused);
    HeaderMutator mutator(header, fused ? 2 : 1);
    for (int i = 0; i < 5000; ++i) {
      const std::string path = file.Write(mutator.Next(), header.FileSize());
      try {
        CHECK(phi2::CheckGguf(path).layers > 0);
        ++n_passed;
      } catch (const phi2::Error& error) {
        const std::string code = error.code();
        CHECK(code == "PHI2_INVALID_GGUF" || code == "PHI2_NOT_PHI2");
        ++n_refused;
      }
    }
  }
  std::printf("  %zu passed, %zu refused\n", n_passed, n_refused);
  // Neither is rare: the mutations reach the far end of the header, and they do damage.
  CHECK(n_passed > 500);
  CHECK(n_refused > 5000);
}

}  // namespace

TEST_MAIN()
