#include "core/quantize.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/gguf_check.h"
#include "core/log.h"

namespace phi2 {
namespace {

/// Rows of one tensor that the engine holds at a time. Its default is 8 GiB: all of them.
constexpr size_t kMaxBufferBytes = size_t{64} << 20;

/// Text between two others, without the spaces that pad it. Empty: not such a line.
std::string Between(const std::string& text, const std::string& before, const std::string& after) {
  const size_t from = text.find(before);
  if (from == std::string::npos) return {};
  const size_t start = text.find_first_not_of(' ', from + before.size());
  const size_t end = start == std::string::npos ? start : text.find(after, start);
  if (end == std::string::npos) return {};
  return text.substr(start, text.find_last_not_of(' ', end - 1) + 1 - start);
}

/// Follows the engine through its log, which is all that it tells of its progress. It logs a tensor's name before it
/// touches the tensor, with no thread of its own running and everything else owned by objects: an exception thrown
/// there is caught by llama_model_quantize as one of its own, and nothing leaks.
class Follower {
 public:
  explicit Follower(const QuantizeOptions& options)
      : options_(options), cancellation_(*options.cancellation), weights_(options.path_in, options.tensors) {}

  void Hear(const std::string& text) {
    cancellation_.EndLeavable();
    if (text.rfind("warning: ", 0) == 0) {  // "warning: NAME - ncols 80 not divisible by 256 (required for type q4_K) "
      fallback_ = {Between(text, "warning: ", " - ncols"), {}, Between(text, "(required for type", ")")};
    } else if (text.rfind("-> falling back to", 0) == 0) {  // "-> falling back to    q5_0\n"
      fallback_.type = Between(text, "-> falling back to", "\n");
      report_.fallbacks.push_back(fallback_);
    } else if (text.rfind('[', 0) == 0) {  // "[   4/ 453] NAME - [ 2560, 51200, 1, 1], type = f16, "
      OnTensor(Between(text, "] ", " - ["));
    } else if (options_.dry_run && text.rfind("size = ", 0) == 0) {  // "size = 250.00 MiB -> 70.31 MiB (q4_K)\n"
      const std::string type = Between(text, "(", ")");
      if (!type.empty()) report_.changes.push_back({name_, type, {}});
    } else if (text.rfind("converting to ", 0) == 0) {
      // Arithmetic on memory and writes to a stream, up to the next word: no look into a registry or a map of names.
      cancellation_.BeginLeavable();
    }
  }

  /// What an exception of OnTensor said: the engine only gives a line of its log.
  const std::optional<Error>& failure() const { return failure_; }
  QuantizeReport& report() { return report_; }

 private:
  void OnTensor(const std::string& name) {
    name_ = name;
    if (options_.dry_run) return;
    try {
      if (cancellation_.cancelled()) throw Error("PHI2_ABORTED", "Quantizing was aborted.");
      if (options_.on_progress) {
        const double total = std::max<double>(1, static_cast<double>(weights_.total_bytes()));
        options_.on_progress(static_cast<float>(static_cast<double>(done_) / total));
      }
      const StoredTensor* tensor = weights_.Find(name);
      if (tensor == nullptr) return;
      weights_.Check(*tensor);
      done_ += tensor->bytes;
    } catch (const Error& error) {
      failure_ = error;
      throw;
    }
  }

  const QuantizeOptions& options_;
  Cancellation& cancellation_;
  WeightCheck weights_;
  QuantizeReport report_;
  TensorChange fallback_;
  std::string name_;
  uint64_t done_ = 0;
  std::optional<Error> failure_;
};

std::vector<llama_model_imatrix_data> ImatrixOf(const QuantizeOptions& options) {
  std::vector<llama_model_imatrix_data> data;
  data.reserve(options.imatrix.size() + 1);
  for (const ColumnWeights& entry : options.imatrix)
    data.push_back({entry.name.c_str(), entry.values.data(), entry.values.size()});
  if (!data.empty()) data.push_back({nullptr, nullptr, 0});
  return data;
}

std::vector<llama_model_kv_override> OverridesOf(const QuantizeOptions& options) {
  std::vector<llama_model_kv_override> overrides;
  for (const QuantizeKey& key : options.keys) {
    llama_model_kv_override item = {};
    std::strncpy(item.key, key.name.c_str(), sizeof(item.key) - 1);
    if (key.is_text) {
      item.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
      std::strncpy(item.val_str, key.text.c_str(), sizeof(item.val_str) - 1);
    } else {
      item.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
      item.val_i64 = key.number;
    }
    overrides.push_back(item);
  }
  if (!overrides.empty()) overrides.push_back({});  // an empty name ends the list
  return overrides;
}

}  // namespace

QuantizeReport Quantize(const QuantizeOptions& options) {
  const auto imatrix = ImatrixOf(options);
  const auto overrides = OverridesOf(options);
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = options.ftype;
  params.nthread = options.n_threads;
  params.allow_requantize = options.allow_requantize;
  params.quantize_output_tensor = options.quantize_output_tensor;
  params.pure = options.pure;
  params.dry_run = options.dry_run;
  params.output_tensor_type = options.output_tensor_type;
  params.token_embedding_type = options.token_embedding_type;
  params.imatrix = imatrix.empty() ? nullptr : imatrix.data();
  params.kv_overrides = overrides.empty() ? nullptr : overrides.data();
  params.max_buf_size = kMaxBufferBytes;

  CheckGguf(options.path_in);
  Follower follower(options);
  LogCapture log;
  const LogListener listener([&follower](const std::string& text) { follower.Hear(text); });
  if (llama_model_quantize(options.path_in.c_str(), options.path_out.c_str(), &params) != 0) {
    if (const std::optional<Error>& failure = follower.failure()) throw *failure;
    throw Error("PHI2_QUANTIZE_FAILED", "The engine could not quantize " + options.path_in + " to " +
                                            llama_ftype_name(options.ftype) + ": " + log.Summary());
  }
  return std::move(follower.report());
}

}  // namespace phi2
