#pragma once

#include <napi.h>

namespace phi2 {

/// The engine's stop matcher and UTF-8 assembler as classes of their own (`NativeStopMatcher`, `NativeUtf8Assembler`).
Napi::Function DefineStopMatcher(Napi::Env env);
Napi::Function DefineUtf8Assembler(Napi::Env env);

}  // namespace phi2
