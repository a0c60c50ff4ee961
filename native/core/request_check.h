#pragma once

#include <cstdint>

#include "core/model.h"
#include "core/sequence.h"

namespace phi2 {

/// What an engine can serve.
struct RequestLimits {
  uint32_t n_ctx_seq = 0;  ///< tokens that one sequence may hold
  bool has_draft_model = false;
};

/// Makes a request out of what a caller wants: what was left open is decided, positions that the prompt does not have
/// are left out. Throws PHI2_INVALID_OPTION (unknown token ids, empty prompt, drafts that nothing could make) and
/// PHI2_CONTEXT_FULL (prompt longer than a sequence may be).
void CheckRequest(RequestSpec& spec, const Model& model, const RequestLimits& limits);

}  // namespace phi2
