#pragma once

#include <napi.h>

#include "core/engine.h"

namespace phi2 {

/// `loadModel(options)`: `{ promise, cancel() }`. The promise gives a NativeEngine.
Napi::Value LoadModel(const Napi::CallbackInfo& info);

/// `measureMemory(options)`, with the options of `loadModel`: `{ promise, cancel() }`. The promise gives a
/// `NativeMemoryNeed` of src/native.ts.
Napi::Value MeasureLoad(const Napi::CallbackInfo& info);

/// `NativeModelInfo` of src/native.ts.
Napi::Object DescribeModel(Napi::Env env, const Engine& engine);

}  // namespace phi2
