#include "core/quantize.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "core/gguf_check.h"
#include "core/log.h"
#include "llama.h"

namespace phi2 {
namespace {

constexpr std::array<std::pair<const char*, llama_ftype>, 18> kTypes = {{
    {"f32", LLAMA_FTYPE_ALL_F32},
    {"f16", LLAMA_FTYPE_MOSTLY_F16},
    {"bf16", LLAMA_FTYPE_MOSTLY_BF16},
    {"q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"q6_k", LLAMA_FTYPE_MOSTLY_Q6_K},
    {"q5_k_m", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"q5_k_s", LLAMA_FTYPE_MOSTLY_Q5_K_S},
    {"q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
    {"q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"q4_k_s", LLAMA_FTYPE_MOSTLY_Q4_K_S},
    {"q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    {"q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"iq4_nl", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"q3_k_l", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    {"q3_k_m", LLAMA_FTYPE_MOSTLY_Q3_K_M},
    {"q3_k_s", LLAMA_FTYPE_MOSTLY_Q3_K_S},
    {"q2_k", LLAMA_FTYPE_MOSTLY_Q2_K},
}};

llama_ftype FileType(const std::string& name) {
  std::string known;
  for (const auto& [type_name, type] : kTypes) {
    if (name == type_name) return type;
    known += known.empty() ? "" : ", ";
    known += type_name;
  }
  throw Error("PHI2_QUANTIZE_FAILED",
              "Expected one of " + known + " as the type to quantize to, but received \"" + name + "\".");
}

}  // namespace

void Quantize(const QuantizeOptions& options) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = FileType(options.type);
  params.nthread = options.n_threads;
  params.allow_requantize = options.allow_requantize;
  params.pure = options.pure;
  CheckGguf(options.path_in);
  LogCapture log;
  if (llama_model_quantize(options.path_in.c_str(), options.path_out.c_str(), &params) != 0) {
    throw Error("PHI2_QUANTIZE_FAILED",
                "The engine could not quantize " + options.path_in + " to " + options.type + ": " + log.Summary());
  }
}

}  // namespace phi2
