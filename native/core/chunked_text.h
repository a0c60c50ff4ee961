#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/chunk_plan.h"
#include "core/context.h"
#include "core/model.h"

namespace phi2 {

/// A text that a model reads chunk by chunk, to be measured.
struct ReadingOptions {
  ModelOptions model;
  EngineOptions context;  ///< n_ctx: tokens of one chunk; n_seq_max: chunks decoded together at most
  std::string text;
  uint32_t n_chunks = 0;  ///< at most; 0: all
  const std::atomic<bool>* cancelled = nullptr;
  /// The share done, and the perplexity so far (0 before there is one). On the working thread.
  std::function<void(float fraction, float perplexity)> on_progress;
};

/// The tokens of a text in whole chunks of n_ctx; what is left at the end is dropped, as llama.cpp's tools do.
struct ChunkedText {
  std::vector<llama_token> tokens;
  uint32_t n_ctx = 0;
  uint32_t n_chunks = 0;

  llama_token At(uint32_t chunk, uint32_t pos) const { return tokens[static_cast<size_t>(chunk) * n_ctx + pos]; }
};

/// The text's tokens, as far as its chunks need them. Throws PHI2_ABORTED.
std::vector<llama_token> TokenizeText(const Model& model, const ReadingOptions& options);

/// Throws PHI2_TEXT_TOO_SHORT for less than two chunks, PHI2_ABORTED.
ChunkedText CutIntoChunks(const Model& model, const ReadingOptions& options);

/// Calls `read` for every step of the text in order; it gives the perplexity so far. Reports progress.
void ReadChunks(const ChunkedText& text, const ReadingOptions& options,
                const std::function<float(const ChunkStep&)>& read);

/// A model's context that decodes chunks, each from an empty cache. For one thread.
class ChunkDecoder {
 public:
  /// `outputs`: the positions of a chunk that give logits. Throws PHI2_CONTEXT_FAILED. `options` must outlive it.
  ChunkDecoder(std::shared_ptr<const Model> model, const ReadingOptions& options, PositionRange outputs,
               ggml_backend_sched_eval_callback on_tensor = nullptr, void* on_tensor_data = nullptr);

  /// Throws PHI2_ABORTED when cancelled, PHI2_DECODE_FAILED.
  void Decode(const ChunkedText& text, const ChunkStep& step);

  /// After Decode(), until the next: a row of the step's chunk (0 for its first), at a position that gives logits.
  const float* Logits(const ChunkStep& step, uint32_t chunk, uint32_t pos) const;

  int32_t n_vocab() const { return model_->n_vocab(); }

 private:
  std::shared_ptr<const Model> model_;
  const ReadingOptions& options_;
  PositionRange outputs_;
  Context context_;
  Batch batch_;
  const float* logits_ = nullptr;
};

}  // namespace phi2
