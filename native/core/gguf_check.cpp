#include "core/gguf_check.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "llama.h"

namespace phi2 {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxNameBytes = 65535;
constexpr uint64_t kMaxTextBytes = 1 << 24;
constexpr uint64_t kMaxTensors = 65536;
constexpr uint64_t kMaxKeys = 4096;          // the engine compares each with all before it
constexpr uint32_t kMaxLayers = 512;         // LLAMA_MAX_LAYERS
constexpr uint32_t kMaxDimension = 1 << 20;  // of any model number: keeps every product in 64 bits
constexpr size_t kMaxTensorName = GGML_MAX_NAME - 1;
// The engine spells out a token once for each of its characters that stands for no byte.
constexpr uint64_t kMaxSpelledBytes = uint64_t{1} << 28;

struct Value {
  gguf_type type = GGUF_TYPE_COUNT;
  gguf_type item_type = GGUF_TYPE_COUNT;  // of an array
  uint64_t count = 0;                     // of an array
  uint64_t number = 0;                    // unsigned and bool scalars
  double real = 0;                        // float scalars
  std::string text;
};

size_t ScalarSize(uint32_t type) {
  switch (type) {
    case GGUF_TYPE_UINT8:
    case GGUF_TYPE_INT8:
    case GGUF_TYPE_BOOL:
      return 1;
    case GGUF_TYPE_UINT16:
    case GGUF_TYPE_INT16:
      return 2;
    case GGUF_TYPE_UINT32:
    case GGUF_TYPE_INT32:
    case GGUF_TYPE_FLOAT32:
      return 4;
    case GGUF_TYPE_UINT64:
    case GGUF_TYPE_INT64:
    case GGUF_TYPE_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

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

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

class Checker {
 public:
  explicit Checker(const std::string& path) : path_(path) {
    const fs::path file = fs::u8path(path);
    std::error_code failure;
    const fs::file_status status = fs::status(file, failure);
    if (!fs::exists(status)) {
      throw Error("PHI2_MODEL_NOT_FOUND",
                  "No model file at " + path + ". Give the path of a Phi-2 GGUF file, or 'tiny'.");
    }
    if (!fs::is_regular_file(status)) {
      throw Error("PHI2_MODEL_NOT_FOUND", "Expected a GGUF file but " + path + " is not a regular file.");
    }
    size_ = fs::file_size(file, failure);
    in_.open(file, std::ios::binary);
    if (failure || !in_) {
      throw Error("PHI2_MODEL_NOT_FOUND",
                  "The model file " + path + " cannot be opened for reading: " + std::strerror(errno));
    }
  }

  GgufSummary Check() {
    char magic[4] = {};
    if (size_ < 4) NotGguf("it has only " + std::to_string(size_) + " bytes");
    Read(magic, 4);
    if (std::memcmp(magic, "GGUF", 4) != 0) NotGguf("it does not begin with the bytes GGUF");
    const uint32_t version = U32();
    if (version != 2 && version != 3) {
      Corrupt("expected GGUF version 2 or 3 but found " + std::to_string(version));
    }
    const uint64_t n_tensors = U64();
    const uint64_t n_keys = U64();
    if (n_tensors > kMaxTensors || n_keys > kMaxKeys) {
      Corrupt("its header claims " + std::to_string(n_tensors) + " tensors and " + std::to_string(n_keys) + " keys");
    }
    for (uint64_t i = 0; i < n_keys; ++i) ReadKey();
    CheckArchitecture();
    CheckHyperparameters();
    CheckTokenizer();
    CheckTensors(n_tensors);
    return summary_;
  }

 private:
  // --- reading, bounded by what is left of the file ---
  uint64_t Left() const { return size_ - at_; }

  void Read(void* to, uint64_t n) {
    if (n > Left()) Truncated();
    in_.read(static_cast<char*>(to), static_cast<std::streamsize>(n));
    if (!in_) Truncated();
    at_ += n;
  }

  void Skip(uint64_t n) {
    if (n > Left()) Truncated();
    in_.seekg(static_cast<std::streamoff>(n), std::ios::cur);
    if (!in_) Truncated();
    at_ += n;
  }

  uint32_t U32() {
    uint32_t value;
    Read(&value, 4);
    return value;
  }

  uint64_t U64() {
    uint64_t value;
    Read(&value, 8);
    return value;
  }

  std::string String(uint64_t limit) {
    const uint64_t n = U64();
    if (n > Left()) Truncated();
    if (n > limit)
      Corrupt("a string of " + std::to_string(n) + " bytes where at most " + std::to_string(limit) + " make sense");
    std::string text(n, '\0');
    if (n > 0) Read(text.data(), n);
    return text;
  }

  void ReadKey() {
    const std::string key = String(kMaxNameBytes);
    // The engine reads keys up to a NUL: one behind it would hide the key from the checks below.
    if (key.empty() || HasNul(key)) Corrupt("a key is empty or holds a NUL byte");
    Value value;
    const uint32_t type = U32();
    if (type >= GGUF_TYPE_COUNT) Corrupt("key " + key + " has the unknown type " + std::to_string(type));
    value.type = static_cast<gguf_type>(type);
    if (value.type == GGUF_TYPE_ARRAY) {
      ReadArray(key, value);
    } else if (value.type == GGUF_TYPE_STRING) {
      value.text = String(kMaxTextBytes);
    } else {
      ReadScalar(value);
    }
    if (!values_.emplace(key, std::move(value)).second) Corrupt("key " + key + " occurs twice");
  }

  void ReadScalar(Value& value) {
    unsigned char raw[8] = {};
    Read(raw, ScalarSize(value.type));
    if (value.type == GGUF_TYPE_FLOAT32) {
      float real;
      std::memcpy(&real, raw, 4);
      value.real = real;
    } else if (value.type == GGUF_TYPE_FLOAT64) {
      std::memcpy(&value.real, raw, 8);
    } else {
      std::memcpy(&value.number, raw, 8);
    }
  }

  void ReadArray(const std::string& key, Value& value) {
    const uint32_t type = U32();
    value.count = U64();
    if (type >= GGUF_TYPE_COUNT || type == GGUF_TYPE_ARRAY) {
      Corrupt("array " + key + " has items of the type " + std::to_string(type));
    }
    value.item_type = static_cast<gguf_type>(type);
    if (value.item_type != GGUF_TYPE_STRING) {
      const size_t item = ScalarSize(type);
      if (value.count > Left() / item) Truncated();
      Skip(value.count * item);
      return;
    }
    if (value.count > Left() / 8) Truncated();
    // The engine keeps tokens in a map by text and asserts that none is lost.
    const bool tokens = key == "tokenizer.ggml.tokens";
    std::unordered_set<std::string> seen;
    uint64_t spelled = 0;
    for (uint64_t i = 0; i < value.count; ++i) {
      if (!tokens) {
        Skip(U64());
        continue;
      }
      std::string token = String(kMaxNameBytes);
      if (token.empty() || HasNul(token)) Corrupt("token " + std::to_string(i) + " is empty or holds a NUL byte");
      spelled += token.size() * (token.size() + 16);
      if (spelled > kMaxSpelledBytes) Corrupt("its tokens are too long");
      if (token == "<|endoftext|>") end_of_text_ = static_cast<int64_t>(i);
      if (!seen.insert(std::move(token)).second)
        Corrupt("token " + std::to_string(i) + " occurs twice in the vocabulary");
    }
  }

  // --- meaning ---
  const Value* Find(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  uint32_t Number(const std::string& key, uint32_t low, uint32_t high) {
    const Value* value = Find(key);
    if (value == nullptr || value->type != GGUF_TYPE_UINT32)
      Corrupt("expected an unsigned number under the key " + key);
    if (value->number < low || value->number > high) {
      Corrupt("expected " + key + " between " + std::to_string(low) + " and " + std::to_string(high) + " but found " +
              std::to_string(value->number));
    }
    return static_cast<uint32_t>(value->number);
  }

  void Expect(const std::string& key, uint64_t wanted) {
    const Value* value = Find(key);
    if (value != nullptr && (value->type != GGUF_TYPE_UINT32 || value->number != wanted)) {
      Corrupt("expected " + key + " to be " + std::to_string(wanted) + ", as for every Phi-2");
    }
  }

  void ExpectReal(const std::string& key, bool may_be_zero) {
    const Value* value = Find(key);
    if (value == nullptr) return;
    const bool sound = value->type == GGUF_TYPE_FLOAT32 && std::isfinite(value->real) && value->real >= 0;
    if (!sound || (value->real == 0 && !may_be_zero)) Corrupt("expected a positive number under the key " + key);
  }

  void CheckArchitecture() {
    const Value* value = Find("general.architecture");
    if (value == nullptr || value->type != GGUF_TYPE_STRING) Corrupt("it has no general.architecture");
    if (value->text != "phi2") {
      throw Error("PHI2_NOT_PHI2", "Expected a GGUF of the architecture phi2 but " + path_ + " holds \"" +
                                       value->text.substr(0, 40) + "\". This package runs Phi-2 only.");
    }
    const Value* split = Find("split.count");
    if (split != nullptr && split->number > 1) {
      Corrupt("it is one part of a split model; merge the parts into one file first");
    }
    const Value* name = Find("general.name");
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
    const Value* causal = Find("phi2.attention.causal");
    if (causal != nullptr && (causal->type != GGUF_TYPE_BOOL || causal->number == 0))
      Corrupt("expected phi2.attention.causal to be true, as for every Phi-2");
    CheckRope();
    const Value* epsilon = Find("phi2.attention.layer_norm_epsilon");
    if (epsilon == nullptr || epsilon->type != GGUF_TYPE_FLOAT32 || !std::isfinite(epsilon->real) ||
        epsilon->real < 0) {
      Corrupt("expected a number that is not negative under the key phi2.attention.layer_norm_epsilon");
    }
  }

  void CheckRope() {
    const Value* scaling = Find("phi2.rope.scaling.type");
    if (scaling != nullptr && scaling->text != "none" && scaling->text != "linear")
      Corrupt("expected \"none\" or \"linear\" as phi2.rope.scaling.type");
    ExpectReal("phi2.rope.freq_base", false);
    ExpectReal("phi2.rope.scaling.attn_factor", false);
    ExpectReal("phi2.rope.scaling.factor", true);  // 0 stands for no scaling
    ExpectReal("phi2.rope.scale_linear", true);
  }

  const Value& Array(const std::string& key, gguf_type item) {
    const Value* value = Find(key);
    if (value == nullptr || value->type != GGUF_TYPE_ARRAY || value->item_type != item) {
      Corrupt("its vocabulary lacks the list " + key);
    }
    return *value;
  }

  void CheckTokenizer() {
    const Value* model = Find("tokenizer.ggml.model");
    if (model == nullptr || model->text != "gpt2") Corrupt("expected the tokenizer gpt2, which is Phi-2's");
    const uint64_t n_tokens = Array("tokenizer.ggml.tokens", GGUF_TYPE_STRING).count;
    if (n_tokens < 1 || n_tokens > kMaxDimension) Corrupt("its vocabulary has " + std::to_string(n_tokens) + " tokens");
    Array("tokenizer.ggml.merges", GGUF_TYPE_STRING);
    if (Array("tokenizer.ggml.token_type", GGUF_TYPE_INT32).count != n_tokens) {
      Corrupt("tokenizer.ggml.token_type and tokenizer.ggml.tokens differ in length");
    }
    const Value* scores = Find("tokenizer.ggml.scores");
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
    const Value* pre = Find("tokenizer.ggml.pre");
    if (pre != nullptr) summary_.pre_tokenizer = pre->text;
  }

  void CheckTensors(uint64_t n_tensors) {
    uint64_t alignment = GGUF_DEFAULT_ALIGNMENT;
    if (const Value* value = Find("general.alignment")) {
      alignment = value->number;
      if (value->type != GGUF_TYPE_UINT32 || alignment == 0 || (alignment & (alignment - 1)) != 0 ||
          alignment > (1 << 20)) {
        Corrupt("general.alignment is not a power of two");
      }
      // The engine maps the file and computes in place: ggml's tensors want 32 bytes.
      if (alignment < GGUF_DEFAULT_ALIGNMENT) Corrupt("general.alignment is less than 32");
    }
    struct Extent {
      std::string name;
      uint64_t offset;
      uint64_t bytes;
    };
    const auto known = TensorsOfPhi2(summary_.layers);
    std::vector<Extent> extents;
    std::unordered_set<std::string> names;
    std::string unknown;
    for (uint64_t i = 0; i < n_tensors; ++i) {
      Extent extent;
      extent.name = String(kMaxTensorName);
      if (extent.name.empty() || HasNul(extent.name)) Corrupt("a tensor's name is empty or holds a NUL byte");
      if (!names.insert(extent.name).second) Corrupt("the tensor " + extent.name + " occurs twice");
      const auto kind = known.find(extent.name);
      if (kind == known.end()) unknown = extent.name;
      extent.bytes = TensorBytes(extent.name, kind != known.end() && kind->second == TensorKind::kVector);
      extent.offset = U64();
      if (extent.offset % alignment != 0) Corrupt("the tensor " + extent.name + " is not aligned");
      extents.push_back(std::move(extent));
    }
    if (extents.empty()) Corrupt("it holds no tensors");
    // One that is there under another name is told by its right name: by the engine, which misses it.
    if (!unknown.empty() && IsComplete(known, names))
      Corrupt("it holds the tensor " + unknown + ", which Phi-2 does not have");
    const uint64_t data = (at_ + alignment - 1) / alignment * alignment;
    for (const Extent& extent : extents) {
      if (data > size_ || extent.offset > size_ - data || extent.bytes > size_ - data - extent.offset) {
        throw Error("PHI2_INVALID_GGUF", path_ + " is truncated: the tensor " + extent.name + " ends at byte " +
                                             std::to_string(data + extent.offset + extent.bytes) +
                                             " but the file has " + std::to_string(size_) +
                                             ". Download or convert it again.");
      }
    }
  }

  static bool IsComplete(const std::unordered_map<std::string, TensorKind>& known,
                         const std::unordered_set<std::string>& names) {
    for (const auto& [name, kind] : known) {
      if (names.count(name) > 0 || name.find(".attn_qkv.") != std::string::npos) continue;
      // q, k and v may be one matrix, and the engine takes them without biases.
      const size_t attention = name.find(".attn_");
      const bool is_qkv = attention != std::string::npos && name.find('.', attention + 1) == attention + 7;
      const bool may_lack =
          is_qkv && (kind == TensorKind::kVector || names.count(name.substr(0, attention) + ".attn_qkv.weight") > 0);
      if (!may_lack) return false;
    }
    return true;
  }

  uint64_t TensorBytes(const std::string& name, bool is_vector) {
    const uint32_t n_dims = U32();
    if (n_dims < 1 || n_dims > GGML_MAX_DIMS)
      Corrupt("the tensor " + name + " has " + std::to_string(n_dims) + " dimensions");
    uint64_t first = 1;
    uint64_t elements = 1;
    for (uint32_t d = 0; d < n_dims; ++d) {
      const uint64_t n = U64();
      if (n < 1 || n > (uint64_t{1} << 32) || elements > (uint64_t{1} << 46) / n)
        Corrupt("the tensor " + name + " has an impossible shape");
      if (d == 0) first = n;
      elements *= n;
    }
    const uint32_t type = U32();
    if (type >= GGML_TYPE_COUNT) Corrupt("the tensor " + name + " has the unknown type " + std::to_string(type));
    const auto ggml = static_cast<ggml_type>(type);
    const int64_t block = ggml_blck_size(ggml);
    if (block <= 0 || ggml_type_size(ggml) == 0)
      Corrupt("the tensor " + name + " has a type that is no longer supported");
    if (is_vector && ggml != GGML_TYPE_F32)
      Corrupt("expected the tensor " + name + " as f32 but found " + ggml_type_name(ggml));
    if (!IsMatrixType(ggml))
      Corrupt("the tensor " + name + " has the type " + ggml_type_name(ggml) + ", which cannot be computed with");
    if (first % static_cast<uint64_t>(block) != 0)
      Corrupt("the rows of the tensor " + name + " do not fill whole blocks");
    return elements / static_cast<uint64_t>(block) * ggml_type_size(ggml);
  }

  // --- errors ---
  [[noreturn]] void NotGguf(const std::string& found) {
    throw Error("PHI2_INVALID_GGUF", "Expected a GGUF file but " + path_ + " is none: " + found + ".");
  }
  [[noreturn]] void Truncated() {
    throw Error("PHI2_INVALID_GGUF", path_ + " is truncated: its header goes on past the end of the file (" +
                                         std::to_string(size_) + " bytes). Download or convert it again.");
  }
  [[noreturn]] void Corrupt(const std::string& what) {
    throw Error("PHI2_INVALID_GGUF", path_ + " is not a sound Phi-2 GGUF: " + what + ".");
  }

  std::string path_;
  std::ifstream in_;
  uint64_t size_ = 0;
  uint64_t at_ = 0;
  int64_t end_of_text_ = -1;  // id of <|endoftext|>
  std::map<std::string, Value> values_;
  GgufSummary summary_;
};

}  // namespace

GgufSummary CheckGguf(const std::string& path) { return Checker(path).Check(); }

}  // namespace phi2
