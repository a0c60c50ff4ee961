#include "addon/options.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "addon/errors.h"

namespace phi2 {
namespace {

constexpr uint32_t kMaxBreakers = 32;  // each is compared with the whole vocabulary
constexpr float kMaxBias = 1000;
constexpr uint32_t kMaxChoices = 64;

Napi::Error Wrong(const Napi::Object& object, const std::string& key, const char* expected) {
  return BadArgument(object.Env(), "Expected " + std::string(expected) + " for " + key + ".");
}

double Number(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsNumber()) throw Wrong(object, key, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (std::isnan(number)) throw Wrong(object, key, "a number that is not NaN");
  return number;
}

int32_t Integer(const Napi::Object& object, const char* key, int32_t low, int32_t high) {
  const double number = Number(object, key);
  if (number != std::floor(number) || number < low || number > high) {
    throw Wrong(object, key, ("an integer from " + std::to_string(low) + " to " + std::to_string(high)).c_str());
  }
  return static_cast<int32_t>(number);
}

float Float(const Napi::Object& object, const char* key) {
  const double number = Number(object, key);
  if (!std::isfinite(number)) throw Wrong(object, key, "a finite number");
  return static_cast<float>(number);
}

bool Boolean(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsBoolean()) throw Wrong(object, key, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string Text(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsString()) throw Wrong(object, key, "a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object Object(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsObject()) throw Wrong(object, key, "an object");
  return value.As<Napi::Object>();
}

std::vector<Napi::Value> Items(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsArray()) throw Wrong(object, key, "an array");
  const auto list = value.As<Napi::Array>();
  std::vector<Napi::Value> items;
  for (uint32_t i = 0; i < list.Length(); ++i) items.push_back(list.Get(i));
  return items;
}

std::vector<Napi::Object> Objects(const Napi::Object& object, const char* key) {
  std::vector<Napi::Object> objects;
  for (const Napi::Value& item : Items(object, key)) {
    if (!item.IsObject()) throw Wrong(object, key, "an array of objects");
    objects.push_back(item.As<Napi::Object>());
  }
  return objects;
}

/// A tensor type by its number; GGML_TYPE_COUNT where it is left out.
ggml_type OptionalType(const Napi::Object& object, const char* key) {
  if (object.Get(key).IsUndefined()) return GGML_TYPE_COUNT;
  return static_cast<ggml_type>(Integer(object, key, 0, GGML_TYPE_COUNT - 1));
}

std::vector<std::string> Texts(const Napi::Object& object, const char* key) {
  std::vector<std::string> texts;
  for (const Napi::Value& item : Items(object, key)) {
    if (!item.IsString()) throw Wrong(object, key, "an array of strings");
    texts.push_back(item.As<Napi::String>().Utf8Value());
  }
  return texts;
}

/// Shares of the layers; empty where they are left out.
std::vector<float> TensorSplit(const Napi::Object& options) {
  const Napi::Value value = options.Get("tensor_split");
  std::vector<float> shares;
  if (value.IsUndefined()) return shares;
  if (!value.IsArray()) throw Wrong(options, "tensor_split", "an array");
  const auto list = value.As<Napi::Array>();
  if (list.Length() > llama_max_devices()) throw Wrong(options, "tensor_split", "fewer shares");
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value item = list.Get(i);
    const double share = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    if (!(share >= 0 && share <= 1e6)) throw Wrong(options, "tensor_split", "numbers from 0 to 1000000");
    shares.push_back(static_cast<float>(share));
  }
  return shares;
}

std::string OptionalText(const Napi::Object& object, const char* key) {
  return object.Get(key).IsUndefined() ? std::string() : Text(object, key);
}

ggml_type KvType(const Napi::Object& options) {
  const std::string name = Text(options, "type_kv");
  if (name == "f16") return GGML_TYPE_F16;
  if (name == "bf16") return GGML_TYPE_BF16;
  if (name == "f32") return GGML_TYPE_F32;
  throw Error("PHI2_UNSUPPORTED_KV_TYPE",
              "Expected f16, bf16 or f32 as the type of the KV cache but received \"" + name +
                  "\". Phi-2's head size of 80 is not a multiple of the block size 32 of the quantized types.");
}

Speculate ReadSpeculate(const Napi::Object& request) {
  const std::string name = OptionalText(request, "speculate");
  if (name.empty()) return Speculate::kAuto;
  if (name == "none") return Speculate::kNone;
  if (name == "lookup") return Speculate::kLookup;
  if (name == "draft") return Speculate::kDraft;
  throw Wrong(request, "speculate", "none, lookup or draft");
}

SamplerSpec ReadSampler(const Napi::Object& from) {
  SamplerSpec spec;
  spec.temp = Float(from, "temp");
  spec.top_k = Integer(from, "top_k", 0, INT32_MAX);
  spec.top_p = Float(from, "top_p");
  spec.min_p = Float(from, "min_p");
  spec.typical_p = Float(from, "typical_p");
  spec.penalty_repeat = Float(from, "penalty_repeat");
  spec.penalty_freq = Float(from, "penalty_freq");
  spec.penalty_present = Float(from, "penalty_present");
  spec.penalty_last_n = Integer(from, "penalty_last_n", -1, INT32_MAX);
  if (spec.penalty_repeat <= 0) throw Wrong(from, "penalty_repeat", "a positive number");
  spec.dry_multiplier = Float(from, "dry_multiplier");
  spec.dry_base = Float(from, "dry_base");
  spec.dry_allowed_length = Integer(from, "dry_allowed_length", 0, 1 << 20);
  spec.dry_last_n = Integer(from, "dry_last_n", -1, 1 << 20);
  spec.dry_breakers = Texts(from, "dry_breakers");
  if (spec.dry_breakers.size() > kMaxBreakers) throw Wrong(from, "dry_breakers", "at most 32 strings");
  spec.mirostat = Boolean(from, "mirostat");
  spec.mirostat_tau = Float(from, "mirostat_tau");
  spec.mirostat_eta = Float(from, "mirostat_eta");

  const std::vector<llama_token> ids = ReadTokens(from.Get("bias_tokens"), "bias_tokens");
  const Napi::Value values = from.Get("bias_values");
  if (!values.IsTypedArray() || values.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      values.As<Napi::TypedArray>().ElementLength() != ids.size()) {
    throw Wrong(from, "bias_values", "a Float32Array as long as bias_tokens");
  }
  const auto biases = values.As<Napi::Float32Array>();
  for (size_t i = 0; i < ids.size(); ++i) {
    // The engine's samplers sort logits into buckets by their value: huge ones overflow.
    if (!(std::abs(biases[i]) <= kMaxBias) && biases[i] != -std::numeric_limits<float>::infinity()) {
      throw Wrong(from, "bias_values", "numbers from -1000 to 1000, or -Infinity,");
    }
    spec.logit_bias.emplace_back(ids[i], biases[i]);
  }
  return spec;
}

}  // namespace

std::vector<llama_token> ReadTokens(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw BadArgument(value.Env(), std::string("Expected an Int32Array for ") + name + ".");
  }
  const auto array = value.As<Napi::Int32Array>();
  return std::vector<llama_token>(array.Data(), array.Data() + array.ElementLength());
}

LoadRequest ReadLoadOptions(const Napi::Object& options) {
  LoadRequest request;
  request.model.path = Text(options, "path_model");
  request.model.n_gpu_layers = Integer(options, "n_gpu_layers", -1, 1 << 16);
  request.model.devices = Texts(options, "devices");
  request.model.tensor_split = TensorSplit(options);
  request.engine.n_ctx = static_cast<uint32_t>(Integer(options, "n_ctx", 32, 1 << 24));
  request.engine.n_batch = static_cast<uint32_t>(Integer(options, "n_batch", 32, 2048));
  request.engine.n_ubatch = static_cast<uint32_t>(Integer(options, "n_ubatch", 32, 2048));
  request.engine.n_seq_max = static_cast<uint32_t>(Integer(options, "n_seq_max", 1, 64));
  if (!options.Get("n_queue_max").IsUndefined()) {
    request.engine.n_queue_max = static_cast<uint32_t>(Integer(options, "n_queue_max", 0, INT32_MAX));
  }
  request.engine.n_threads = Integer(options, "n_threads", 1, GGML_MAX_N_THREADS);
  request.engine.flash_attn = static_cast<llama_flash_attn_type>(Integer(options, "flash_attn", -1, 1));
  request.engine.type_kv = KvType(options);
  request.path_draft = OptionalText(options, "path_draft");
  if (!request.path_draft.empty()) {
    request.n_threads_draft = Integer(options, "n_threads_draft", 1, GGML_MAX_N_THREADS);
  }
  return request;
}

ModelOptions LoadRequest::draft() const {
  ModelOptions options = model;
  options.path = path_draft;
  if (options.n_gpu_layers > 0) options.n_gpu_layers = -1;
  return options;
}

StopSpec ReadStopSpec(const Napi::Value& rules, bool at_line_start) {
  if (!rules.IsArray()) throw BadArgument(rules.Env(), "Expected an array for rules.");
  StopSpec spec;
  spec.at_line_start = at_line_start;
  const auto list = rules.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value item = list.Get(i);
    if (!item.IsObject()) throw BadArgument(rules.Env(), "Expected an object for every rule.");
    const auto from = item.As<Napi::Object>();
    StopRule rule;
    if (from.Has("dedent")) {
      rule.dedent = Integer(from, "dedent", 0, 1 << 16);
      rule.at = StopRule::At::kLineStart;
    } else {
      rule.text = Text(from, "text");
      if (rule.text.empty()) throw Wrong(from, "text", "a string that is not empty");
      rule.at = OptionalText(from, "at") == "line-start" ? StopRule::At::kLineStart : StopRule::At::kAnywhere;
      rule.after_sentence = OptionalText(from, "after") == "sentence";
      rule.heading = from.Get("heading").ToBoolean().Value();
    }
    spec.rules.push_back(std::move(rule));
  }
  return spec;
}

RequestSpec ReadRequest(const Napi::Object& request) {
  RequestSpec spec;
  spec.tokens = ReadTokens(request.Get("tokens"), "tokens");
  spec.n_predict = Integer(request, "n_predict", 0, INT32_MAX);
  spec.sampler = ReadSampler(Object(request, "sampler"));
  spec.stop = ReadStopSpec(request.Get("rules"), Boolean(request, "at_line_start"));
  spec.n_probs = Integer(request, "n_probs", -1, 100);
  spec.prompt_logprobs = Boolean(request, "prompt_logprobs");
  spec.reproducible = Boolean(request, "reproducible");
  spec.speculate = ReadSpeculate(request);
  spec.n_draft = Integer(request, "n_draft", 0, 1 << 16);
  spec.priority = Integer(request, "priority", INT32_MIN, INT32_MAX);
  spec.logit_positions = ReadTokens(request.Get("logit_positions"), "logit_positions");
  std::sort(spec.logit_positions.begin(), spec.logit_positions.end());
  return spec;
}

std::vector<uint32_t> ReadSeeds(const Napi::Object& request) {
  const Napi::Value value = request.Get("seeds");
  if (!value.IsArray()) throw Wrong(request, "seeds", "an array");
  const auto list = value.As<Napi::Array>();
  if (list.Length() < 1 || list.Length() > kMaxChoices) throw Wrong(request, "seeds", "1 to 64 numbers");
  std::vector<uint32_t> seeds;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value item = list.Get(i);
    const double seed = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    // The highest stands for a random one in the engine.
    if (!(seed >= 0 && seed < UINT32_MAX)) throw Wrong(request, "seeds", "numbers from 0 to 4294967294");
    seeds.push_back(static_cast<uint32_t>(seed));
  }
  return seeds;
}

QuantizeOptions ReadQuantizeOptions(const Napi::Object& from) {
  QuantizeOptions options;
  options.path_in = Text(from, "path_in");
  options.path_out = Text(from, "path_out");
  options.ftype = static_cast<llama_ftype>(Integer(from, "ftype", 0, 1023));
  options.n_threads = Integer(from, "n_threads", 1, GGML_MAX_N_THREADS);
  options.allow_requantize = Boolean(from, "allow_requantize");
  options.quantize_output_tensor = Boolean(from, "quantize_output_tensor");
  options.pure = Boolean(from, "pure");
  options.dry_run = Boolean(from, "dry_run");
  options.output_tensor_type = OptionalType(from, "output_tensor_type");
  options.token_embedding_type = OptionalType(from, "token_embedding_type");
  for (const Napi::Object& item : Objects(from, "tensors")) {
    StoredTensor tensor;
    tensor.name = Text(item, "name");
    tensor.type = static_cast<ggml_type>(Integer(item, "type", 0, GGML_TYPE_COUNT - 1));
    tensor.offset = static_cast<uint64_t>(std::max(0.0, Number(item, "offset")));
    tensor.bytes = static_cast<uint64_t>(std::max(0.0, Number(item, "bytes")));
    tensor.limit = static_cast<float>(Number(item, "limit"));
    options.tensors.push_back(std::move(tensor));
  }
  for (const Napi::Object& item : Objects(from, "imatrix")) {
    ColumnWeights weights;
    weights.name = Text(item, "name");
    const Napi::Value values = item.Get("values");
    if (!values.IsTypedArray() || values.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
      throw Wrong(item, "values", "a Float32Array");
    const auto floats = values.As<Napi::Float32Array>();
    weights.values.assign(floats.Data(), floats.Data() + floats.ElementLength());
    options.imatrix.push_back(std::move(weights));
  }
  for (const Napi::Object& item : Objects(from, "keys")) {
    QuantizeKey key;
    key.name = Text(item, "name");
    key.is_text = item.Get("value").IsString();
    if (key.is_text) {
      key.text = Text(item, "value");
    } else {
      const double number = Number(item, "value");
      if (number < 0 || number > UINT32_MAX) throw Wrong(item, "value", "a text or a number of 32 bits");
      key.number = static_cast<uint32_t>(number);
    }
    options.keys.push_back(std::move(key));
  }
  return options;
}

namespace {

ReadingOptions ReadReadingOptions(const Napi::Object& from) {
  const LoadRequest request = ReadLoadOptions(from);
  ReadingOptions options;
  options.model = request.model;
  options.context = request.engine;
  options.text = Text(from, "text");
  options.n_chunks = static_cast<uint32_t>(Integer(from, "n_chunks", 0, INT32_MAX));
  return options;
}

}  // namespace

PerplexityOptions ReadPerplexityOptions(const Napi::Object& from) {
  PerplexityOptions options;
  options.reading = ReadReadingOptions(from);
  options.path_base = OptionalText(from, "path_base");
  return options;
}

ImportanceOptions ReadImportanceOptions(const Napi::Object& from) {
  ImportanceOptions options;
  options.reading = ReadReadingOptions(from);
  options.process_output = Boolean(from, "process_output");
  return options;
}

}  // namespace phi2
