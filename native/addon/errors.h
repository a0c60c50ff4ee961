#pragma once

#include <napi.h>

#include <exception>
#include <utility>

#include "core/failure.h"

namespace phi2 {

/// A JavaScript Error with a `code`, for any C++ exception.
Napi::Error ToJs(Napi::Env env, const std::exception& failure);
Napi::Error ToJs(Napi::Env env, const Failure& failure);

/// A TypeError with the code PHI2_INVALID_OPTION: for arguments that the TypeScript layer should have refused.
Napi::Error BadArgument(Napi::Env env, const std::string& message);

/// Runs a method body; exceptions of core become JavaScript errors with their code.
template <typename Body>
auto Guard(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& failure) {
    throw ToJs(env, failure);
  }
}

}  // namespace phi2
