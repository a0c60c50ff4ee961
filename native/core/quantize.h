#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/cancellation.h"
#include "core/weight_check.h"
#include "llama.h"

namespace phi2 {

/// How much each column of one matrix matters.
struct ColumnWeights {
  std::string name;
  std::vector<float> values;
};

/// A key of the new file: a number, or a text of at most 127 bytes.
struct QuantizeKey {
  std::string name;
  bool is_text = false;
  uint32_t number = 0;
  std::string text;
};

struct QuantizeOptions {
  std::string path_in;
  std::string path_out;
  llama_ftype ftype = LLAMA_FTYPE_MOSTLY_Q8_0;
  int32_t n_threads = 0;
  bool allow_requantize = false;
  bool quantize_output_tensor = true;
  bool pure = false;
  bool dry_run = false;                              ///< nothing is written, no weight is read
  ggml_type output_tensor_type = GGML_TYPE_COUNT;    ///< GGML_TYPE_COUNT: the engine's choice
  ggml_type token_embedding_type = GGML_TYPE_COUNT;  ///< the same
  std::vector<StoredTensor> tensors;                 ///< of path_in: for the check of the weights and for the progress
  std::vector<ColumnWeights> imatrix;
  std::vector<QuantizeKey> keys;
  std::function<void(float)> on_progress;  ///< 0 to 1, by bytes, on the calling thread
  Cancellation* cancellation = nullptr;    ///< never null; heeded between two tensors
};

/// What the engine said of one tensor.
struct TensorChange {
  std::string name;
  std::string type;    ///< ggml's name
  std::string wanted;  ///< of a fallback: the type that its rows do not fit
};

struct QuantizeReport {
  std::vector<TensorChange> changes;    ///< of a dry run: the tensors that get another type
  std::vector<TensorChange> fallbacks;  ///< those whose rows do not fill whole blocks of the type they should have
};

/// The engine's own quantizer. Blocks: for worker threads. The caller has made sure that every type fits the rows that
/// it is asked for and that matrices of the types which need an importance matrix have one: the engine asserts it.
/// Throws the codes of CheckGguf, PHI2_QUANTIZE_FAILED and PHI2_ABORTED; path_out is then half a file, or none.
QuantizeReport Quantize(const QuantizeOptions& options);

}  // namespace phi2
