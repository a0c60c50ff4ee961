#include "core/model.h"

#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "core/gguf_check.h"
#include "core/log.h"

namespace phi2 {
namespace {

// Files made before September 2024 do not name their pre-tokenizer; the engine's fallback splits text differently.
llama_model_kv_override PreTokenizerOverride() {
  llama_model_kv_override override = {};
  override.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
  std::snprintf(override.key, sizeof(override.key), "tokenizer.ggml.pre");
  std::snprintf(override.val_str, sizeof(override.val_str), "phi-2");
  return override;
}

bool OnProgress(float progress, void* data) {
  const auto& options = *static_cast<const ModelOptions*>(data);
  if (options.on_progress) options.on_progress(progress);
  return options.cancelled == nullptr || !options.cancelled->load(std::memory_order_relaxed);
}

}  // namespace

std::shared_ptr<Model> Model::Load(const ModelOptions& options) {
  const GgufSummary summary = CheckGguf(options.path);
  std::shared_ptr<Model> model(new Model());
  model->name_ = summary.name;
  // The output layer counts as one more.
  const auto n_layers = static_cast<int32_t>(summary.layers) + 1;
  const bool all = options.n_gpu_layers < 0 || options.n_gpu_layers > n_layers;
  model->n_gpu_layers_ = !llama_supports_gpu_offload() ? 0 : all ? n_layers : options.n_gpu_layers;

  // Ends with an entry whose key is empty.
  std::vector<llama_model_kv_override> overrides;
  if (!summary.has_pre_tokenizer) {
    overrides.push_back(PreTokenizerOverride());
    model->warnings_.push_back(
        "The file does not name its pre-tokenizer (it was made before September 2024); phi-2's is used.");
  }
  overrides.push_back({});

  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = model->n_gpu_layers_;
  params.kv_overrides = overrides.data();
  params.progress_callback = OnProgress;
  params.progress_callback_user_data = const_cast<ModelOptions*>(&options);

  LogCapture log;
  model->model_.reset(llama_model_load_from_file(options.path.c_str(), params));
  if (!model->model_) {
    if (options.cancelled != nullptr && options.cancelled->load()) {
      throw Error("PHI2_ABORTED", "The load of " + options.path + " was aborted.");
    }
    throw Error("PHI2_MODEL_LOAD_FAILED", "The engine could not load " + options.path + ": " + log.Summary());
  }
  model->ReadVocabulary();
  return model;
}

void Model::ReadVocabulary() {
  vocab_ = llama_model_get_vocab(model_.get());
  const int32_t n = llama_vocab_n_tokens(vocab_);
  pieces_.reserve(static_cast<size_t>(n));
  std::string buffer(256, '\0');
  for (llama_token id = 0; id < n; ++id) {
    int32_t length = llama_token_to_piece(vocab_, id, buffer.data(), static_cast<int32_t>(buffer.size()), 0, true);
    if (length < 0) {
      buffer.resize(static_cast<size_t>(-length));
      length = llama_token_to_piece(vocab_, id, buffer.data(), static_cast<int32_t>(buffer.size()), 0, true);
    }
    pieces_.emplace_back(buffer.data(), static_cast<size_t>(length > 0 ? length : 0));

    // Padding rows are marked unused by today's converter; older ones made them ordinary tokens named [PADn].
    const bool unused = (llama_vocab_get_attr(vocab_, id) & LLAMA_TOKEN_ATTR_UNUSED) != 0;
    const std::string padding = "[PAD" + std::to_string(id) + "]";
    if (!unused && padding != llama_vocab_get_text(vocab_, id)) sampleable_.push_back(id);
  }
  if (sampleable_.empty()) {
    throw Error("PHI2_MODEL_LOAD_FAILED", "Every token of the vocabulary is marked as padding: the file is unusable.");
  }
}

std::vector<llama_token> Model::Tokenize(const std::string& text, bool special) const {
  std::vector<llama_token> tokens(text.size() / 3 + 8);
  const auto length = static_cast<int32_t>(text.size());
  int32_t n =
      llama_tokenize(vocab_, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), false, special);
  if (n < 0 && n != INT32_MIN) {
    tokens.resize(static_cast<size_t>(-n));
    n = llama_tokenize(vocab_, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), false, special);
  }
  if (n < 0) throw Error("PHI2_CONTEXT_FULL", "The text is too long to tokenize.");
  tokens.resize(static_cast<size_t>(n));
  return tokens;
}

}  // namespace phi2
