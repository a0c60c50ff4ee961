#pragma once

#include <napi.h>

#include "core/engine.h"
#include "core/importance.h"
#include "core/perplexity.h"
#include "core/quantize.h"

namespace phi2 {

/// Copies plain objects from JavaScript into core's structs. Types are checked again here, because a wrong one would
/// become garbage in C++; ranges are the TypeScript schema's business, except where the engine would assert.
struct LoadRequest {
  ModelOptions model;

  /// The draft model lies where the model does, with all of its layers, however few the model has there.
  ModelOptions draft() const;
  EngineOptions engine;
  std::string path_draft;  ///< empty: no draft model
  int32_t n_threads_draft = 1;
};

LoadRequest ReadLoadOptions(const Napi::Object& options);
RequestSpec ReadRequest(const Napi::Object& request);
/// Of a request: one for each answer.
std::vector<uint32_t> ReadSeeds(const Napi::Object& request);
StopSpec ReadStopSpec(const Napi::Value& rules, bool at_line_start);
QuantizeOptions ReadQuantizeOptions(const Napi::Object& from);
PerplexityOptions ReadPerplexityOptions(const Napi::Object& from);
ImportanceOptions ReadImportanceOptions(const Napi::Object& from);

std::vector<llama_token> ReadTokens(const Napi::Value& value, const char* name);

}  // namespace phi2
