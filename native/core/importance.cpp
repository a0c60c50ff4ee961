#include "core/importance.h"

#include <cmath>
#include <exception>
#include <map>
#include <memory>

#include "core/chunk_scorer.h"
#include "core/error.h"

namespace phi2 {
namespace {

/// `CUDA0#blk.0.attn_k.weight#0`, a copy on a device, stands for `blk.0.attn_k.weight`.
std::string WeightName(const ggml_tensor* weight) {
  const std::string name = weight->name;
  const size_t begin = name.find('#');
  return begin == std::string::npos ? name : name.substr(begin + 1, name.find('#', begin + 1) - begin - 1);
}

/// Sums up what the engine shows of each multiplication while it decodes, on the decoding thread.
class Collector {
 public:
  explicit Collector(bool process_output) : process_output_(process_output) {}

  /// ggml_backend_sched_eval_callback: asked first whether a tensor is wanted, then called when it was computed.
  static bool OnTensor(ggml_tensor* tensor, bool ask, void* data) {
    auto* self = static_cast<Collector*>(data);
    try {
      if (ask) return self->IsWanted(tensor);
      self->Add(tensor);
      return true;
    } catch (...) {  // nothing may be thrown through the engine
      self->failure_ = std::current_exception();
      return false;  // leaves out the rest of the step
    }
  }

  void ThrowFailure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  std::vector<TensorImportance> Take() const {
    std::vector<TensorImportance> tensors;
    tensors.reserve(entries_.size());
    for (const auto& [name, entry] : entries_) {
      tensors.push_back({name, {entry.sums.begin(), entry.sums.end()}, entry.count});
    }
    return tensors;
  }

 private:
  struct Entry {
    std::vector<double> sums;
    uint64_t count = 0;
  };

  bool IsWanted(const ggml_tensor* tensor) const {
    if (tensor->op != GGML_OP_MUL_MAT || tensor->src[1]->type != GGML_TYPE_F32) return false;
    const std::string name = WeightName(tensor->src[0]);
    return name.compare(0, 4, "blk.") == 0 || (process_output_ && name == "output.weight");
  }

  void Add(const ggml_tensor* tensor) {
    const std::string name = WeightName(tensor->src[0]);
    const ggml_tensor* inputs = tensor->src[1];
    const char* data = static_cast<const char*>(inputs->data);
    if (!ggml_backend_buffer_is_host(inputs->buffer)) {
      copy_.resize(ggml_nbytes(inputs));
      ggml_backend_tensor_get(inputs, copy_.data(), 0, copy_.size());
      data = copy_.data();
    }
    Entry& entry = entries_[name];
    const auto n_columns = static_cast<size_t>(inputs->ne[0]);
    entry.sums.resize(n_columns);
    for (int64_t i3 = 0; i3 < inputs->ne[3]; ++i3) {
      for (int64_t i2 = 0; i2 < inputs->ne[2]; ++i2) {
        for (int64_t i1 = 0; i1 < inputs->ne[1]; ++i1) {
          const char* row = data + i1 * inputs->nb[1] + i2 * inputs->nb[2] + i3 * inputs->nb[3];
          const auto* values = reinterpret_cast<const float*>(row);
          for (size_t j = 0; j < n_columns; ++j) entry.sums[j] += static_cast<double>(values[j]) * values[j];
        }
      }
    }
    entry.count += static_cast<uint64_t>(ggml_nrows(inputs));
    for (const double sum : entry.sums) {
      if (!std::isfinite(sum)) {
        throw Error("PHI2_DECODE_FAILED", "The inputs of " + name +
                                              " are not finite: the model file is damaged, or its numbers overflow on "
                                              "this device.");
      }
    }
  }

  bool process_output_;
  std::map<std::string, Entry> entries_;
  std::vector<char> copy_;
  std::exception_ptr failure_;
};

}  // namespace

Importance ComputeImportance(const ImportanceOptions& options) {
  const ReadingOptions& reading = options.reading;
  const std::shared_ptr<const Model> model = Model::Load(reading.model);
  const ChunkedText text = CutIntoChunks(*model, reading);

  // The last block computes its feed-forward part only for the positions that give logits: all of them.
  const PositionRange all = {0, text.n_ctx};
  Collector collector(options.process_output);
  ChunkDecoder decoder(model, reading, all, Collector::OnTensor, &collector);

  ChunkScorer scorer(text, reading, false);
  ReadChunks(text, reading, [&](const ChunkStep& step) {
    decoder.Decode(text, step);
    collector.ThrowFailure();
    scorer.Score(step, decoder, nullptr);
    return scorer.perplexity();
  });
  return {text.n_chunks, scorer.perplexity(), collector.Take(), llama_model_n_ctx_train(model->get()),
          model->warnings()};
}

}  // namespace phi2
