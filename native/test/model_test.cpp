#include "core/model.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

#include "check.h"
#include "core/error.h"
#include "tiny.h"

namespace {

namespace fs = std::filesystem;

using phi2::Model;
using phi2::ModelOptions;
using phi2::test::CodeOf;
using phi2::test::Tiny;
using phi2::test::TinyOptions;

TEST("a load reports its progress and can be cancelled at any point of it") {
  std::vector<float> reported;
  ModelOptions options = TinyOptions();
  options.on_progress = [&](float progress) { reported.push_back(progress); };
  Model::Load(options);
  CHECK(reported.size() > 2);
  CHECK_EQ(reported.back(), 1.0F);

  for (size_t at = 0; at < reported.size(); at += 1 + reported.size() / 5) {
    std::atomic<bool> cancelled{false};
    size_t n = 0;
    options.cancelled = &cancelled;
    options.on_progress = [&](float) { cancelled = n++ == at; };
    CHECK_EQ(CodeOf([&] { Model::Load(options); }), "PHI2_ABORTED");
    CHECK_EQ(n, at + 1);
  }
}

TEST("loads of several threads, some of them cancelled from another thread, do not disturb each other") {
  std::atomic<bool> cancelled{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&cancelled, i] {
      ModelOptions options = TinyOptions();
      if (i % 2 == 0) options.cancelled = &cancelled;
      const std::string code = CodeOf([&] {
        const auto model = Model::Load(options);
        CHECK_EQ(model->n_vocab(), Tiny()->n_vocab());
      });
      CHECK(code.empty() || (i % 2 == 0 && code == "PHI2_ABORTED"));
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  cancelled = true;
  for (std::thread& thread : threads) thread.join();
}

TEST("every thread splits a text into the same tokens, whose pieces are the text") {
  const std::string text = "Instruct: Why is the sky blue? \xF0\x9F\x98\x80\nOutput:<|endoftext|>";
  const std::vector<llama_token> expected = Tiny()->Tokenize(text, true);
  CHECK_EQ(expected.back(), 50256);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        const std::vector<llama_token> tokens = Tiny()->Tokenize(text, true);
        CHECK_EQ(tokens, expected);
        std::string pieces;
        for (const llama_token token : tokens) pieces += Tiny()->Piece(token);
        CHECK_EQ(pieces, text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(Tiny()->Tokenize("", true).empty());
  CHECK(Tiny()->Tokenize("<|endoftext|>", false).size() > 1);
}

TEST("padding is no token that may be sampled") {
  CHECK_EQ(Tiny()->n_vocab(), 51200);
  CHECK_EQ(Tiny()->n_sampleable(), 50295);
  CHECK_EQ(Tiny()->sampleable().size(), 1U);
  CHECK_EQ(Tiny()->sampleable().back().end, 50295);
  CHECK(Tiny()->IsEog(50256));
  CHECK(!Tiny()->IsToken(-1));
  CHECK(!Tiny()->IsToken(51200));
}

TEST("a file that is not there or ends too soon is refused with its code") {
  ModelOptions options = TinyOptions();
  options.path += ".missing";
  CHECK_EQ(CodeOf([&] { Model::Load(options); }), "PHI2_MODEL_NOT_FOUND");

  const fs::path cut = fs::temp_directory_path() / ("phi2-cut-" + std::to_string(std::random_device{}()) + ".gguf");
  fs::copy_file(phi2::test::TinyPath(), cut);
  options.path = cut.string();
  for (const uintmax_t size : {fs::file_size(cut) - 1, uintmax_t{1000}, uintmax_t{0}}) {
    fs::resize_file(cut, size);
    CHECK_EQ(CodeOf([&] { Model::Load(options); }), "PHI2_INVALID_GGUF");
  }
  fs::remove(cut);
}

}  // namespace

TEST_MAIN()
