#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "llama-cpp.h"

namespace phi2 {

struct ModelOptions {
  std::string path;
  int32_t n_gpu_layers = -1;         ///< negative: all
  std::vector<std::string> devices;  ///< names of the GPUs that share them, in this order; none: the CPU has them all
  std::vector<float> tensor_split;   ///< each device's share of the layers; empty: by its free memory
  bool no_alloc = false;             ///< nothing but to measure what it would take: no weights, no words
  const std::atomic<bool>* cancelled = nullptr;  ///< read while loading
  std::function<void(float)> on_progress;        ///< 0 to 1, on the loading thread
};

/// Token ids from `begin` up to `end`, which is not one of them.
struct TokenRange {
  llama_token begin;
  llama_token end;
};

/// What llama_sampler_init_dry() is given, in its order.
using DryParams = std::tuple<float, float, int32_t, int32_t, std::vector<std::string>>;

/// Weights and vocabulary. Nothing of it changes after loading, so every method may be called from any thread. Shared
/// by the engine and the wrappers; the last owner frees it.
class Model {
 public:
  /// Blocks while the file is checked and read: for worker threads. Throws the codes of CheckGguf, PHI2_ABORTED when
  /// cancelled, PHI2_MODEL_LOAD_FAILED with the engine's own reason, PHI2_MODE_UNAVAILABLE for a device that is not
  /// there.
  static std::shared_ptr<Model> Load(const ModelOptions& options);

  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  llama_model* get() const { return model_.get(); }
  const llama_vocab* vocab() const { return vocab_; }
  int32_t n_vocab() const { return static_cast<int32_t>(pieces_.size()); }

  /// Ids that may be sampled: all but the padding rows, which the tokenizer does not know. Ascending.
  const std::vector<TokenRange>& sampleable() const { return sampleable_; }
  int32_t n_sampleable() const;

  bool IsToken(int64_t id) const { return id >= 0 && id < n_vocab(); }
  bool IsEog(llama_token id) const { return llama_vocab_is_eog(vocab_, id); }

  /// Bytes of the longest token: a text of more than n times as many has more than n tokens.
  size_t longest_piece() const { return longest_piece_; }

  /// Bytes of one token, `<|endoftext|>` as text. The id must be valid.
  const std::string& Piece(llama_token id) const { return pieces_[static_cast<size_t>(id)]; }

  /// No BOS is added: Phi-2 has none. With `special`, `<|endoftext|>` in the text becomes the token.
  std::vector<llama_token> Tokenize(const std::string& text, bool special) const;

  /// A sampler of its own for every caller. The engine compares the breakers with the whole vocabulary, which takes
  /// tens of milliseconds: the last one is kept and copied.
  llama_sampler_ptr DrySampler(const DryParams& params) const;

  /// Without GPUs 0. The output layer counts as one.
  int32_t n_gpu_layers() const { return n_gpu_layers_; }
  /// Whether everything is computed there: only the CPU heeds the abort callback.
  bool on_cpu() const { return n_gpu_layers_ == 0; }
  /// In their order; none when on_cpu().
  const std::vector<ggml_backend_dev_t>& gpus() const { return gpus_; }
  bool no_alloc() const { return no_alloc_; }
  const std::string& name() const { return name_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  Model() = default;
  void ReadVocabulary();

  llama_model_ptr model_;
  const llama_vocab* vocab_ = nullptr;  // owned by model_
  std::vector<std::string> pieces_;
  size_t longest_piece_ = 1;
  std::vector<TokenRange> sampleable_;
  int32_t n_gpu_layers_ = 0;
  std::vector<ggml_backend_dev_t> gpus_;
  bool no_alloc_ = false;
  std::string name_;
  std::vector<std::string> warnings_;

  mutable std::mutex dry_mutex_;  // guards the next two
  mutable DryParams dry_params_;
  mutable llama_sampler_ptr dry_;
};

}  // namespace phi2
