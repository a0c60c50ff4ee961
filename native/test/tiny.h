#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/engine.h"
#include "core/error.h"
#include "core/model.h"

/// The embedded model, for tests that run the whole core. CMake defines where it and the engine's libraries lie.
namespace phi2::test {

inline const char* TinyPath() { return PHI2_TEST_MODEL; }

inline ModelOptions TinyOptions() {
  InitBackend(PHI2_TEST_ENGINE);
  ModelOptions options;
  options.path = TinyPath();
  options.n_gpu_layers = 0;
  return options;
}

/// Loaded once per program.
inline const std::shared_ptr<Model>& Tiny() {
  static const std::shared_ptr<Model> model = Model::Load(TinyOptions());
  return model;
}

/// Small enough that requests wait for each other. More compute threads than free cores spin in each other's way, and
/// under a sanitizer that takes seconds: one, where threads of the engine's own are not the point.
inline EngineOptions SmallEngine(int32_t n_threads = 1) {
  EngineOptions options;
  options.n_threads = n_threads;
  options.n_ctx = 512;
  options.n_batch = 64;
  options.n_seq_max = 4;
  options.n_outputs = 16;
  return options;
}

/// A prompt of the model's own form; greedy and without stop rules, so its length is known beforehand but for
/// <|endoftext|>.
inline RequestSpec Ask(const std::string& question, int32_t n_predict) {
  RequestSpec spec;
  spec.tokens = Tiny()->Tokenize("Instruct: " + question + "\nOutput:", true);
  spec.n_predict = n_predict;
  return spec;
}

/// A prompt of so many tokens, another one for every salt.
inline RequestSpec LongPrompt(size_t n_tokens, int32_t salt, int32_t n_predict) {
  RequestSpec spec;
  for (size_t i = 0; i < n_tokens; ++i) {
    spec.tokens.push_back(static_cast<llama_token>((1000 + 7 * i + 131 * static_cast<size_t>(salt)) % 50000));
  }
  spec.n_predict = n_predict;
  return spec;
}

/// No token is left to be drawn.
inline void BanAll(SamplerSpec& spec) {
  for (const auto& [begin, end] : Tiny()->sampleable()) {
    for (llama_token token = begin; token < end; ++token) {
      spec.logit_bias.emplace_back(token, -std::numeric_limits<float>::infinity());
    }
  }
}

/// Never ends by itself before n_predict tokens.
inline RequestSpec WithoutEnd(RequestSpec spec) {
  spec.sampler.logit_bias.emplace_back(50256, -1000.0F);
  return spec;
}

/// Of what `call` throws; empty if it does not.
template <typename Call>
std::string CodeOf(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

}  // namespace phi2::test
