#pragma once

#include <napi.h>

namespace phi2 {

/// Quantizes a file on a thread of its own: `{ promise, cancel }`.
Napi::Value QuantizeFile(const Napi::CallbackInfo& info);

/// What the engine calls a file type.
Napi::Value FileTypeName(const Napi::CallbackInfo& info);

}  // namespace phi2
