#pragma once

#include <napi.h>

namespace phi2 {

/// `perplexity(options)` and `importance(options)`: `{ promise, cancel() }`, as src/native.ts describes them.
Napi::Value MeasurePerplexity(const Napi::CallbackInfo& info);
Napi::Value MeasureImportance(const Napi::CallbackInfo& info);

}  // namespace phi2
