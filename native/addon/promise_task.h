#pragma once

#include <napi.h>

#include <functional>

namespace phi2 {

/// One promise whose work runs on a thread of its own: libuv's pool belongs to the application (fs, dns), and Node
/// waits for pool jobs when an environment ends, while these are cancelled and joined by a cleanup hook.
struct PromiseTask {
  /// Runs on the task's thread. An exception rejects the promise.
  std::function<void()> work;
  /// Runs on the JS thread afterwards and gives the promise's value.
  std::function<Napi::Value(Napi::Env)> result;
  /// Runs on the JS thread last of all, whether the promise was resolved or not.
  std::function<void(Napi::Env, bool failed)> settled;
  /// Called on the JS thread when the environment ends early; must make `work` return soon.
  std::function<void()> cancel;
  /// Called on the JS thread when the process exits, where there is one: whether the work is left to run, because it is
  /// at something that takes long and must not hold up the end. Otherwise it is cancelled and waited for.
  std::function<bool()> leave_at_exit;
};

/// Starts the task. JS thread. The process stays alive until the promise is settled. Throws std::system_error when
/// there can be no further thread.
Napi::Promise RunTask(Napi::Env env, const char* name, PromiseTask task);

/// The same for a task that JavaScript can cancel: `{ promise, cancel }`, by `cancel` or else as at the end.
Napi::Object RunCancellableTask(Napi::Env env, const char* name, PromiseTask task, std::function<void()> cancel = {});

}  // namespace phi2
