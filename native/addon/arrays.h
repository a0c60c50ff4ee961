#pragma once

#include <napi.h>

#include <cstring>
#include <string>
#include <vector>

namespace phi2 {

/// Typed arrays with a copy of the values: external buffers are forbidden in Electron.
template <typename Array, typename Values>
Array CopyToArray(Napi::Env env, const Values& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(values[0]));
  return array;
}

inline Napi::Int32Array ToJs(Napi::Env env, const std::vector<int32_t>& values) {
  return CopyToArray<Napi::Int32Array>(env, values);
}

inline Napi::Float32Array ToJs(Napi::Env env, const std::vector<float>& values) {
  return CopyToArray<Napi::Float32Array>(env, values);
}

/// Bytes, which need not be text.
inline Napi::Uint8Array BytesToJs(Napi::Env env, const std::string& bytes) {
  return CopyToArray<Napi::Uint8Array>(env, bytes);
}

}  // namespace phi2
