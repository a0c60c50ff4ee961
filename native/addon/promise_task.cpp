#include "addon/promise_task.h"

#include <memory>
#include <optional>
#include <thread>

#include "addon/addon_data.h"
#include "addon/errors.h"

namespace phi2 {
namespace {

class Runner final : private StopsAtExit {
 public:
  // Owned by its thread-safe function: deleted in the finalizer, whichever way the function ends.
  static Napi::Promise Start(Napi::Env env, const char* name, PromiseTask task) {
    auto* runner = new Runner(env, std::move(task));
    const Napi::Promise promise = runner->deferred_.Promise();
    runner->channel_ = Channel::New(
        env, name, 0, 1, runner, [](Napi::Env, void*, Runner* self) { delete self; }, static_cast<void*>(nullptr));
    // Hooks run last in, first out: this one joins the thread before the thread-safe function's own hook frees it.
    napi_add_env_cleanup_hook(env, OnEnvironmentEnd, runner);
    try {
      runner->thread_ = std::thread([runner] { runner->Work(); });
    } catch (...) {  // no thread to be had
      napi_remove_env_cleanup_hook(env, OnEnvironmentEnd, runner);
      runner->channel_.Release();
      throw;
    }
    env.GetInstanceData<AddonData>()->to_stop.insert(runner);
    return promise;
  }

 private:
  static void OnDone(Napi::Env env, Napi::Function callback, Runner* self, void* data);
  using Channel = Napi::TypedThreadSafeFunction<Runner, void, OnDone>;

  Runner(Napi::Env env, PromiseTask task)
      : env_(env), deferred_(Napi::Promise::Deferred::New(env)), task_(std::move(task)) {}

  void Work() {
    try {
      task_.work();
    } catch (...) {
      failure_ = Failure::Current();
    }
    channel_.NonBlockingCall();
  }

  void StopForExit() override {
    if (task_.leave_at_exit && task_.leave_at_exit()) return;
    if (task_.cancel) task_.cancel();
    Join();
  }

  static void OnEnvironmentEnd(void* data) {
    auto* self = static_cast<Runner*>(data);
    if (self->task_.cancel) self->task_.cancel();
    self->Join();
  }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  void Settle(Napi::Env env) {
    Join();
    napi_remove_env_cleanup_hook(env_, OnEnvironmentEnd, this);
    try {
      Napi::HandleScope scope(env);
      env.GetInstanceData<AddonData>()->to_stop.erase(this);
      Report(env);
    } catch (const Napi::Error&) {
      // Only in an environment that is being terminated: there nobody can be told any more.
    }
    channel_.Release();
  }

  void Report(Napi::Env env) {
    bool failed = failure_.has_value();
    Napi::Value value;
    try {
      value = failed ? ToJs(env, *failure_).Value() : task_.result(env);
    } catch (const Napi::Error& error) {
      failed = true;
      value = error.Value();
    }
    if (failed) {
      deferred_.Reject(value);
    } else {
      deferred_.Resolve(value);
    }
    if (task_.settled) task_.settled(env, failed);
  }

  Napi::Env env_;
  Napi::Promise::Deferred deferred_;
  PromiseTask task_;
  Channel channel_;
  std::optional<Failure> failure_;
  std::thread thread_;
};

// Without an environment the hook has joined the thread already and the finalizer follows.
void Runner::OnDone(Napi::Env env, Napi::Function, Runner* self, void*) {
  if (env != nullptr) self->Settle(env);
}

}  // namespace

Napi::Promise RunTask(Napi::Env env, const char* name, PromiseTask task) {
  return Runner::Start(env, name, std::move(task));
}

Napi::Object RunCancellableTask(Napi::Env env, const char* name, PromiseTask task, std::function<void()> cancel) {
  if (!cancel) cancel = task.cancel;
  Napi::Object running = Napi::Object::New(env);
  running.Set("cancel", Napi::Function::New(env, [cancel](const Napi::CallbackInfo&) { cancel(); }));
  running.Set("promise", RunTask(env, name, std::move(task)));
  return running;
}

}  // namespace phi2
