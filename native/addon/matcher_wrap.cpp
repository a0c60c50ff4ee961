#include "addon/matcher_wrap.h"

#include <string_view>

#include "addon/arrays.h"
#include "addon/errors.h"
#include "addon/options.h"
#include "core/stop_matcher.h"
#include "core/utf8.h"

namespace phi2 {
namespace {

std::string_view BytesArgument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw BadArgument(info.Env(), "Expected a Uint8Array for bytes.");
  }
  const auto bytes = info[0].As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

class StopMatcherWrap : public Napi::ObjectWrap<StopMatcherWrap> {
 public:
  explicit StopMatcherWrap(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<StopMatcherWrap>(info),
        matcher_(ReadStopSpec(info[0], info.Length() > 1 && info[1].ToBoolean().Value())) {}

  Napi::Value Push(const Napi::CallbackInfo& info) {
    matcher_.Push(BytesArgument(info));
    return Released(info.Env());
  }

  Napi::Value Finish(const Napi::CallbackInfo& info) {
    matcher_.Finish();
    return Released(info.Env());
  }

  Napi::Value Rule(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), matcher_.fired_rule()); }

 private:
  Napi::Value Released(Napi::Env env) { return BytesToJs(env, matcher_.TakeReleased()); }

  StopMatcher matcher_;
};

class Utf8AssemblerWrap : public Napi::ObjectWrap<Utf8AssemblerWrap> {
 public:
  explicit Utf8AssemblerWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Utf8AssemblerWrap>(info) {}

  Napi::Value Push(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), utf8_.Push(BytesArgument(info)));
  }

  Napi::Value Finish(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), utf8_.Finish()); }

 private:
  Utf8Assembler utf8_;
};

}  // namespace

Napi::Function DefineStopMatcher(Napi::Env env) {
  return StopMatcherWrap::DefineClass(env, "StopMatcher",
                                      {
                                          StopMatcherWrap::InstanceMethod<&StopMatcherWrap::Push>("push"),
                                          StopMatcherWrap::InstanceMethod<&StopMatcherWrap::Finish>("finish"),
                                          StopMatcherWrap::InstanceAccessor<&StopMatcherWrap::Rule>("rule"),
                                      });
}

Napi::Function DefineUtf8Assembler(Napi::Env env) {
  return Utf8AssemblerWrap::DefineClass(env, "Utf8Assembler",
                                        {
                                            Utf8AssemblerWrap::InstanceMethod<&Utf8AssemblerWrap::Push>("push"),
                                            Utf8AssemblerWrap::InstanceMethod<&Utf8AssemblerWrap::Finish>("finish"),
                                        });
}

}  // namespace phi2
