#include "addon/errors.h"

namespace phi2 {

Napi::Error ToJs(Napi::Env env, const std::exception& failure) {
  // An empty message would read as "no error" in some of Node-API's helpers.
  const char* text = failure.what();
  Napi::Error error = Napi::Error::New(env, text != nullptr && *text != '\0' ? text : "unknown native error");
  const auto* coded = dynamic_cast<const Error*>(&failure);
  if (coded != nullptr) error.Set("code", Napi::String::New(env, coded->code()));
  return error;
}

Napi::Error ToJs(Napi::Env env, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& inner) {
    return ToJs(env, inner);
  } catch (...) {
    return Napi::Error::New(env, "unknown native error");
  }
}

Napi::Error BadArgument(Napi::Env env, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "PHI2_INVALID_OPTION"));
  return error;
}

}  // namespace phi2
