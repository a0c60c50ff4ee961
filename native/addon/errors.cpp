#include "addon/errors.h"

namespace phi2 {

Napi::Error ToJs(Napi::Env env, const std::exception& failure) {
  const auto* coded = dynamic_cast<const Error*>(&failure);
  return ToJs(env, coded != nullptr ? Failure(*coded) : Failure(failure.what()));
}

Napi::Error ToJs(Napi::Env env, const Failure& failure) {
  // An empty message would read as "no error" in some of Node-API's helpers.
  Napi::Error error = Napi::Error::New(env, failure.message().empty() ? "unknown native error" : failure.message());
  if (failure.code() != nullptr) error.Set("code", Napi::String::New(env, failure.code()));
  return error;
}

Napi::Error BadArgument(Napi::Env env, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "PHI2_INVALID_OPTION"));
  return error;
}

}  // namespace phi2
