#include "core/gguf_check.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/gguf_reader.h"
#include "llama.h"

namespace phi2 {
namespace {

constexpr uint32_t kMaxLayers = 512;         // LLAMA_MAX_LAYERS
constexpr uint32_t kMaxDimension = 1 << 20;  // of any model number: keeps every product in 64 bits
// The engine spells out a token once for each of its characters that stands for no byte.
constexpr uint64_t kMaxSpelledBytes = uint64_t{1} << 28;

// Those that the CPU backend both multiplies (`vec_dot` in ggml-cpu.c) and reads rows of (`get_rows` in ops.cpp): it
// aborts, or calls a null pointer, on the others.
bool IsMatrixType(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
    case GGML_TYPE_Q1_0:
    case GGML_TYPE_Q2_0:
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q2_K:
    case GGML_TYPE_Q3_K:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_IQ1_S:
    case GGML_TYPE_IQ1_M:
    case GGML_TYPE_IQ2_XXS:
    case GGML_TYPE_IQ2_XS:
    case GGML_TYPE_IQ2_S:
    case GGML_TYPE_IQ3_XXS:
    case GGML_TYPE_IQ3_S:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_IQ4_XS:
    case GGML_TYPE_TQ1_0:
    case GGML_TYPE_TQ2_0:
    case GGML_TYPE_MXFP4:
    case GGML_TYPE_NVFP4:
      return true;
    default:
      return false;
  }
}

enum class TensorKind { kMatrix, kVector };

/// Every tensor that a Phi-2 may have. `attn_qkv` is q, k and v in one, as in files of before 2024.
std::unordered_map<std::string, TensorKind> TensorsOfPhi2(uint32_t n_layers) {
  std::unordered_map<std::string, TensorKind> tensors = {{"token_embd.weight", TensorKind::kMatrix}};
  const auto add = [&tensors](const std::string& module, TensorKind weight) {
    tensors.emplace(module + ".weight", weight);
    tensors.emplace(module + ".bias", TensorKind::kVector);
  };
  add("output_norm", TensorKind::kVector);
  add("output", TensorKind::kMatrix);
  for (uint32_t layer = 0; layer < n_layers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    add(block + "attn_norm", TensorKind::kVector);
    for (const char* matrix : {"attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_up", "ffn_down"})
      add(block + matrix, TensorKind::kMatrix);
  }
  return tensors;
}

class Checker {
 public:
  explicit Checker(const std::string& path) : path_(path), reader_(path, "Phi-2") {}

  GgufSummary Check() {
    const GgufCounts counts = reader_.Counts();
    ReadValues(counts.keys);
    CheckArchitecture();
    CheckHyperparameters();
    CheckTokenizer();
    CheckTensors(counts.tensors);
    return summary_;
  }

 private:
  // The engine keeps tokens in a map by text and asserts that none is lost.
  void ReadValues(uint64_t n_keys) {
    std::unordered_set<std::string> seen;
    uint64_t spelled = 0;
    values_ = reader_.Values(n_keys, "tokenizer.ggml.tokens", [&](uint64_t id, std::string token) {
      if (id == 0) {  // a second list is refused for its key, not for its tokens
        seen.clear();
        spelled = 0;
      }
      if (!IsGgufName(token)) Corrupt("token " + std::to_string(id) + " is empty or holds a NUL byte");
      spelled += token.size() * (token.size() + 16);
      if (spelled > kMaxSpelledBytes) Corrupt("its tokens are too long");
      if (token == "<|endoftext|>") end_of_text_ = static_cast<int64_t>(id);
      if (!seen.insert(std::move(token)).second)
        Corrupt("token " + std::to_string(id) + " occurs twice in the vocabulary");
    });
  }

  const GgufValue* Find(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  uint32_t Number(const std::string& key, uint32_t low, uint32_t high) {
    const GgufValue* value = Find(key);
    if (value == nullptr || value->type != GGUF_TYPE_UINT32)
      Corrupt("expected an unsigned number under the key " + key);
    if (value->number < low || value->number > high) {
      Corrupt("expected " + key + " between " + std::to_string(low) + " and " + std::to_string(high) + " but found " +
              std::to_string(value->number));
    }
    return static_cast<uint32_t>(value->number);
  }

  void Expect(const std::string& key, uint64_t wanted) {
    const GgufValue* value = Find(key);
    if (value != nullptr && (value->type != GGUF_TYPE_UINT32 || value->number != wanted)) {
      Corrupt("expected " + key + " to be " + std::to_string(wanted) + ", as for every Phi-2");
    }
  }

  void ExpectReal(const std::string& key, bool may_be_zero) {
    const GgufValue* value = Find(key);
    if (value == nullptr) return;
    const bool sound = value->type == GGUF_TYPE_FLOAT32 && std::isfinite(value->real) && value->real >= 0;
    if (!sound || (value->real == 0 && !may_be_zero)) Corrupt("expected a positive number under the key " + key);
  }

  void CheckArchitecture() {
    const GgufValue* value = Find("general.architecture");
    if (value == nullptr || value->type != GGUF_TYPE_STRING) Corrupt("it has no general.architecture");
    if (value->text != "phi2") {
      throw Error("PHI2_NOT_PHI2", "Expected a GGUF of the architecture phi2 but " + path_ + " holds \"" +
                                       value->text.substr(0, 40) + "\". This package runs Phi-2 only.");
    }
    const GgufValue* split = Find("split.count");
    if (split != nullptr && split->number > 1) {
      Corrupt("it is one part of a split model; merge the parts into one file first");
    }
    const GgufValue* name = Find("general.name");
    if (name != nullptr) summary_.name = name->text;  // the engine gets another one: see model.cpp
  }

  void CheckHyperparameters() {
    summary_.context_length = Number("phi2.context_length", 1, kMaxDimension);
    summary_.layers = Number("phi2.block_count", 1, kMaxLayers);
    summary_.heads = Number("phi2.attention.head_count", 1, 4096);
    const uint32_t width = summary_.embedding_length = Number("phi2.embedding_length", 1, kMaxDimension);
    Number("phi2.feed_forward_length", 1, kMaxDimension);
    if (width % summary_.heads != 0) Corrupt("phi2.embedding_length is not a multiple of phi2.attention.head_count");
    const uint32_t head = width / summary_.heads;
    const uint32_t rotary = Number("phi2.rope.dimension_count", 2, head);
    if (rotary % 2 != 0) Corrupt("phi2.rope.dimension_count is odd");
    Expect("phi2.attention.head_count_kv", summary_.heads);
    Expect("phi2.attention.key_length", head);
    Expect("phi2.attention.value_length", head);
    Expect("phi2.embedding_length_out", width);
    for (const char* key :
         {"phi2.expert_count", "phi2.expert_used_count", "phi2.expert_group_count", "phi2.expert_group_used_count",
          "phi2.attention.sliding_window", "phi2.nextn_predict_layers", "phi2.pooling_type"}) {
      Expect(key, 0);
    }
    const GgufValue* causal = Find("phi2.attention.causal");
    if (causal != nullptr && (causal->type != GGUF_TYPE_BOOL || causal->number == 0))
      Corrupt("expected phi2.attention.causal to be true, as for every Phi-2");
    CheckRope();
    const GgufValue* epsilon = Find("phi2.attention.layer_norm_epsilon");
    if (epsilon == nullptr || epsilon->type != GGUF_TYPE_FLOAT32 || !std::isfinite(epsilon->real) ||
        epsilon->real < 0) {
      Corrupt("expected a number that is not negative under the key phi2.attention.layer_norm_epsilon");
    }
  }

  void CheckRope() {
    const GgufValue* scaling = Find("phi2.rope.scaling.type");
    if (scaling != nullptr && scaling->text != "none" && scaling->text != "linear")
      Corrupt("expected \"none\" or \"linear\" as phi2.rope.scaling.type");
    ExpectReal("phi2.rope.freq_base", false);
    ExpectReal("phi2.rope.scaling.attn_factor", false);
    ExpectReal("phi2.rope.scaling.factor", true);  // 0 stands for no scaling
    ExpectReal("phi2.rope.scale_linear", true);
  }

  const GgufValue& Array(const std::string& key, gguf_type item) {
    const GgufValue* value = Find(key);
    if (value == nullptr || value->type != GGUF_TYPE_ARRAY || value->item_type != item) {
      Corrupt("its vocabulary lacks the list " + key);
    }
    return *value;
  }

  void CheckTokenizer() {
    const GgufValue* model = Find("tokenizer.ggml.model");
    if (model == nullptr || model->text != "gpt2") Corrupt("expected the tokenizer gpt2, which is Phi-2's");
    const uint64_t n_tokens = Array("tokenizer.ggml.tokens", GGUF_TYPE_STRING).count;
    if (n_tokens < 1 || n_tokens > kMaxDimension) Corrupt("its vocabulary has " + std::to_string(n_tokens) + " tokens");
    Array("tokenizer.ggml.merges", GGUF_TYPE_STRING);
    if (Array("tokenizer.ggml.token_type", GGUF_TYPE_INT32).count != n_tokens) {
      Corrupt("tokenizer.ggml.token_type and tokenizer.ggml.tokens differ in length");
    }
    const GgufValue* scores = Find("tokenizer.ggml.scores");
    if (scores != nullptr &&
        (scores->type != GGUF_TYPE_ARRAY || scores->item_type != GGUF_TYPE_FLOAT32 || scores->count < n_tokens)) {
      Corrupt("tokenizer.ggml.scores does not fit the vocabulary");
    }
    for (const auto& [key, value] : values_) {
      const bool is_id =
          key.rfind("tokenizer.ggml.", 0) == 0 && key.size() > 9 && key.compare(key.size() - 9, 9, "_token_id") == 0;
      if (is_id && (value.type != GGUF_TYPE_UINT32 || value.number >= n_tokens)) {
        Corrupt(key + " is not the id of a token");
      }
    }
    // Otherwise the engine would take token 11, which is a comma.
    if (Find("tokenizer.ggml.eos_token_id") == nullptr) {
      if (end_of_text_ < 0) Corrupt("it has neither tokenizer.ggml.eos_token_id nor the token <|endoftext|>");
      summary_.missing_end_of_text = end_of_text_;
    }
    const GgufValue* pre = Find("tokenizer.ggml.pre");
    if (pre != nullptr) summary_.pre_tokenizer = pre->text;
  }

  uint64_t Alignment() {
    const GgufValue* value = Find("general.alignment");
    if (value == nullptr) return GGUF_DEFAULT_ALIGNMENT;
    const uint64_t alignment = value->number;
    if (value->type != GGUF_TYPE_UINT32 || alignment == 0 || (alignment & (alignment - 1)) != 0 ||
        alignment > (1 << 20)) {
      Corrupt("general.alignment is not a power of two");
    }
    // The engine maps the file and computes in place: ggml's tensors want 32 bytes.
    if (alignment < GGUF_DEFAULT_ALIGNMENT) Corrupt("general.alignment is less than 32");
    return alignment;
  }

  void CheckTensors(uint64_t n_tensors) {
    const uint64_t alignment = Alignment();
    const auto known = TensorsOfPhi2(summary_.layers);
    std::vector<GgufExtent> extents;
    std::unordered_set<std::string> names;
    std::string unknown;
    for (uint64_t i = 0; i < n_tensors; ++i) {
      GgufExtent extent;
      extent.name = reader_.TensorName();
      if (!names.insert(extent.name).second) Corrupt("the tensor " + extent.name + " occurs twice");
      const auto kind = known.find(extent.name);
      if (kind == known.end()) unknown = extent.name;
      extent.bytes = TensorBytes(extent.name, kind != known.end() && kind->second == TensorKind::kVector);
      extent.offset = reader_.TensorOffset(extent.name, alignment);
      extents.push_back(std::move(extent));
    }
    if (extents.empty()) Corrupt("it holds no tensors");
    // One that is there under another name is told by its right name: by the engine, which misses it.
    if (!unknown.empty() && IsComplete(known, names))
      Corrupt("it holds the tensor " + unknown + ", which Phi-2 does not have");
    reader_.CheckExtents(extents, alignment);
  }

  static bool IsComplete(const std::unordered_map<std::string, TensorKind>& known,
                         const std::unordered_set<std::string>& names) {
    return std::all_of(known.begin(), known.end(), [&](const auto& entry) {
      const auto& [name, kind] = entry;
      if (names.count(name) > 0 || name.find(".attn_qkv.") != std::string::npos) return true;
      // q, k and v may be one matrix, and the engine takes them without biases.
      const size_t attention = name.find(".attn_");
      const bool is_qkv = attention != std::string::npos && name.find('.', attention + 1) == attention + 7;
      return is_qkv && (kind == TensorKind::kVector || names.count(name.substr(0, attention) + ".attn_qkv.weight") > 0);
    });
  }

  uint64_t TensorBytes(const std::string& name, bool is_vector) {
    const GgufShape shape = reader_.TensorShape(name);
    if (is_vector && shape.type != GGML_TYPE_F32)
      Corrupt("expected the tensor " + name + " as f32 but found " + ggml_type_name(shape.type));
    if (!IsMatrixType(shape.type))
      Corrupt("the tensor " + name + " has the type " + ggml_type_name(shape.type) + ", which cannot be computed with");
    const auto block = static_cast<uint64_t>(ggml_blck_size(shape.type));
    if (shape.row % block != 0) Corrupt("the rows of the tensor " + name + " do not fill whole blocks");
    return shape.elements / block * ggml_type_size(shape.type);
  }

  [[noreturn]] void Corrupt(const std::string& what) const { reader_.Corrupt(what); }

  std::string path_;
  GgufReader reader_;
  int64_t end_of_text_ = -1;  // id of <|endoftext|>
  GgufValues values_;
  GgufSummary summary_;
};

}  // namespace

GgufSummary CheckGguf(const std::string& path) { return Checker(path).Check(); }

}  // namespace phi2
