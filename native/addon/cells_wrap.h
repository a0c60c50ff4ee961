#pragma once

#include <napi.h>

#include <memory>

#include "core/engine.h"

namespace phi2 {

/// `cachedPrefix`, `readCells` and `writeCells` of `NativeEngine` in src/native.ts. JS thread.
Napi::Value CachedPrefix(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine);
Napi::Value ReadCells(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine);
Napi::Value WriteCells(const Napi::CallbackInfo& info, std::shared_ptr<Engine> engine);

}  // namespace phi2
