#include "core/model.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "core/gguf_check.h"
#include "core/log.h"

namespace phi2 {
namespace {

llama_model_kv_override Override(const char* key, llama_model_kv_override_type type) {
  llama_model_kv_override override = {};
  override.tag = type;
  std::snprintf(override.key, sizeof(override.key), "%s", key);
  return override;
}

llama_model_kv_override TextOverride(const char* key, const char* text) {
  llama_model_kv_override override = Override(key, LLAMA_KV_OVERRIDE_TYPE_STR);
  std::snprintf(override.val_str, sizeof(override.val_str), "%s", text);
  return override;
}

// What the engine reads instead of the file's own words, where those would make it split or end texts wrongly, or fail.
// Ends with an entry whose key is empty.
std::vector<llama_model_kv_override> Overrides(const GgufSummary& summary, std::vector<std::string>& warnings) {
  std::vector<llama_model_kv_override> overrides;
  // The engine gives tokens attributes by the model's name: a file named after Phi-3 would need Phi-3's tokens.
  overrides.push_back(TextOverride("general.name", "phi-2"));

  overrides.push_back(TextOverride("tokenizer.ggml.pre", "phi-2"));
  const std::string& pre = summary.pre_tokenizer;
  if (pre.empty() || pre == "default") {
    warnings.push_back(
        "The file does not name its pre-tokenizer (it was made before September 2024); phi-2's is used.");
  } else if (pre != "phi-2" && pre != "gpt-2") {  // two names of one
    warnings.push_back("The file names the pre-tokenizer \"" + pre.substr(0, 40) + "\", not Phi-2's; phi-2's is used.");
  }

  if (summary.missing_end_of_text >= 0) {
    llama_model_kv_override end = Override("tokenizer.ggml.eos_token_id", LLAMA_KV_OVERRIDE_TYPE_INT);
    end.val_i64 = summary.missing_end_of_text;
    overrides.push_back(end);
    warnings.push_back("The file does not say which token ends a text; <|endoftext|> (" +
                       std::to_string(summary.missing_end_of_text) + ") is used.");
  }
  overrides.push_back({});
  return overrides;
}

std::vector<ggml_backend_dev_t> FindDevices(const std::vector<std::string>& names) {
  if (names.size() > llama_max_devices()) {
    throw Error("PHI2_MODE_UNAVAILABLE", "Expected at most " + std::to_string(llama_max_devices()) +
                                             " devices but received " + std::to_string(names.size()) + ".");
  }
  std::vector<ggml_backend_dev_t> devices;
  for (const std::string& name : names) {
    ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
    const bool is_gpu = device != nullptr && (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU ||
                                              ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_IGPU);
    if (!is_gpu) throw Error("PHI2_MODE_UNAVAILABLE", "There is no GPU named " + name + ".");
    devices.push_back(device);
  }
  return devices;
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
  model->n_gpu_layers_ = options.devices.empty() ? 0 : all ? n_layers : options.n_gpu_layers;
  if (!model->on_cpu()) model->gpus_ = FindDevices(options.devices);
  model->no_alloc_ = options.no_alloc;

  const std::vector<llama_model_kv_override> overrides = Overrides(summary, model->warnings_);

  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = model->n_gpu_layers_;
  // None at all for the CPU: left to itself llama.cpp gives a GPU some of the work even if no layer is to lie there.
  std::vector<ggml_backend_dev_t> devices = model->gpus_;
  devices.push_back(nullptr);
  params.devices = devices.data();
  std::vector<float> tensor_split = options.tensor_split;
  tensor_split.resize(llama_max_devices());
  if (!options.tensor_split.empty()) params.tensor_split = tensor_split.data();
  params.no_alloc = options.no_alloc;
  if (options.no_alloc) params.load_mode = LLAMA_LOAD_MODE_NONE;  // to map the file would be to allocate
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
  if (!options.no_alloc) model->ReadVocabulary();
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
    longest_piece_ = std::max(longest_piece_, pieces_.back().size());

    // Padding rows are marked unused by today's converter; older ones made them ordinary tokens named [PADn].
    const bool unused = (llama_vocab_get_attr(vocab_, id) & LLAMA_TOKEN_ATTR_UNUSED) != 0;
    const std::string padding = "[PAD" + std::to_string(id) + "]";
    if (unused || padding == llama_vocab_get_text(vocab_, id)) continue;
    if (sampleable_.empty() || sampleable_.back().end != id) sampleable_.push_back({id, id});
    ++sampleable_.back().end;
  }
  if (sampleable_.empty()) {
    throw Error("PHI2_MODEL_LOAD_FAILED", "Every token of the vocabulary is marked as padding: the file is unusable.");
  }
}

int32_t Model::n_sampleable() const {
  int32_t n = 0;
  for (const TokenRange& range : sampleable_) n += range.end - range.begin;
  return n;
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

llama_sampler_ptr Model::DrySampler(const DryParams& params) const {
  const std::lock_guard<std::mutex> lock(dry_mutex_);
  if (!dry_ || params != dry_params_) {
    const auto& [multiplier, base, allowed_length, last_n, texts] = params;
    std::vector<const char*> breakers;
    breakers.reserve(texts.size());
    for (const std::string& text : texts) breakers.push_back(text.c_str());
    dry_.reset(
        llama_sampler_init_dry(vocab_, multiplier, base, allowed_length, last_n, breakers.data(), breakers.size()));
    dry_params_ = params;
  }
  return llama_sampler_ptr(llama_sampler_clone(dry_.get()));
}

}  // namespace phi2
